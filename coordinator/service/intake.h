/*
 * What other threads bring the worker: operations in order of arrival, who hung up, who was served elsewhere. Private to
 * service/.
 */
#pragma once

#include <pthread.h>

#include "base/limits.h"
#include "service/operation.h"
#include "store/store.h"

#define CALLED_MAX 256 /* told at once; more are found out by a look */

typedef struct HangUpList { /* operations */
    uint64_t *ids;
    size_t count, capacity;
} HangUpList;

typedef struct Called { /* a request that waits here was served elsewhere */
    char project[PROJECT_NAME_MAX + 1];
    int64_t ticket, stack_number;
} Called;

typedef struct Intake {
    const Clock *clock;
    pthread_mutex_t mutex;
    pthread_cond_t wake;
    Work *first, **last; /* linked by shown.next */
    HangUpList hung_up;
    Called called[CALLED_MAX];
    size_t called_count;
} Intake;

/* 0 | -ENOMEM. */
int intake_init(Intake *intake, const Clock *clock) MUST_USE;
void intake_deinit(Intake *intake);

/* ---- any thread ---- */

void intake_put(Intake *intake, Work *work);
/* Without memory for it, it is found out by its request's silence. */
void intake_hang_up(Intake *intake, uint64_t operation_id);
void intake_call(Intake *intake, const StoreCall *call);
/* The worker looks again at what it waits for. */
void intake_wake(Intake *intake);

/* ---- the worker ---- */

/* Until something was brought, `is_enough`, or that time. */
void intake_wait(Intake *intake, int64_t until_boot_ms, bool (*is_enough)(void *arg), void *arg);
bool intake_is_empty(Intake *intake);
/* Take what was brought, at most `most` operations and all of the others. Their number. */
size_t intake_take(Intake *intake, Work **out, size_t most);
/* In exchange for a list that has been seen. */
void intake_take_hang_ups(Intake *intake, HangUpList *seen);
void hang_up_list_deinit(HangUpList *list);
size_t intake_take_calls(Intake *intake, Called out[CALLED_MAX]);

typedef enum Fitting { FITS, FITS_NOT, FITS_NOBODY /* nor does anything behind it */ } Fitting;
typedef Fitting FitsFn(const void *arg, const Work *work);
/* Whether any that waits fits. */
bool intake_has(Intake *intake, FitsFn *fits, const void *arg);
/* Takes those that fit, at most `most`, and none if they are less than `least`. */
size_t intake_take_fitting(Intake *intake, FitsFn *fits, const void *arg, size_t least, Work **out, size_t most);
