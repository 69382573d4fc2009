#include "service/intake.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int intake_init(Intake *in, const Clock *clock) {
    in->clock = clock;
    in->last = &in->first;
    if (pthread_mutex_init(&in->mutex, NULL) != 0)
        return -ENOMEM;
    if (clock_condition_init(&in->wake) < 0) {
        (void)pthread_mutex_destroy(&in->mutex);
        return -ENOMEM;
    }
    return 0;
}

void intake_deinit(Intake *in) {
    hang_up_list_deinit(&in->hung_up);
    (void)pthread_cond_destroy(&in->wake);
    (void)pthread_mutex_destroy(&in->mutex);
}

void hang_up_list_deinit(HangUpList *list) {
    free(list->ids);
    *list = (HangUpList){.ids = NULL};
}

/* ---- any thread ---- */

void intake_put(Intake *in, Work *work) {
    work->shown.next = NULL;
    (void)pthread_mutex_lock(&in->mutex);
    bool was_empty = in->first == NULL;
    *in->last = work;
    in->last = (Work **)&work->shown.next;
    if (was_empty)
        (void)pthread_cond_signal(&in->wake);
    (void)pthread_mutex_unlock(&in->mutex);
}

static bool has_room(HangUpList *list) {
    if (list->count < list->capacity)
        return true;
    size_t capacity = list->capacity > 0 ? 2 * list->capacity : 64;
    uint64_t *ids = realloc(list->ids, capacity * sizeof *ids);
    if (ids == NULL)
        return false;
    list->ids = ids;
    list->capacity = capacity;
    return true;
}

void intake_hang_up(Intake *in, uint64_t operation_id) {
    (void)pthread_mutex_lock(&in->mutex);
    if (has_room(&in->hung_up))
        in->hung_up.ids[in->hung_up.count++] = operation_id;
    (void)pthread_cond_signal(&in->wake);
    (void)pthread_mutex_unlock(&in->mutex);
}

void intake_call(Intake *in, const StoreCall *call) {
    (void)pthread_mutex_lock(&in->mutex);
    if (in->called_count < CALLED_MAX && call->project.len <= PROJECT_NAME_MAX) {
        Called *called = &in->called[in->called_count++];
        (void)snprintf(called->project, sizeof called->project, "%.*s", SLICE_PRINT(call->project));
        called->ticket = call->ticket;
        called->stack_number = call->stack_number;
    }
    (void)pthread_cond_signal(&in->wake);
    (void)pthread_mutex_unlock(&in->mutex);
}

void intake_wake(Intake *in) {
    (void)pthread_mutex_lock(&in->mutex);
    (void)pthread_cond_signal(&in->wake);
    (void)pthread_mutex_unlock(&in->mutex);
}

/* ---- the worker ---- */

void intake_wait(Intake *in, int64_t until_boot_ms, bool (*is_enough)(void *arg), void *arg) {
    (void)pthread_mutex_lock(&in->mutex);
    while (in->first == NULL && in->hung_up.count == 0 && in->called_count == 0 && !is_enough(arg) &&
           clock_boot_ms(in->clock) < until_boot_ms)
        in->clock->vtable->wait(in->clock, &in->wake, &in->mutex, until_boot_ms);
    (void)pthread_mutex_unlock(&in->mutex);
}

bool intake_is_empty(Intake *in) {
    (void)pthread_mutex_lock(&in->mutex);
    bool is_empty = in->first == NULL;
    (void)pthread_mutex_unlock(&in->mutex);
    return is_empty;
}

void intake_take_hang_ups(Intake *in, HangUpList *seen) {
    (void)pthread_mutex_lock(&in->mutex);
    HangUpList brought = in->hung_up;
    in->hung_up = *seen;
    in->hung_up.count = 0;
    (void)pthread_mutex_unlock(&in->mutex);
    *seen = brought;
}

size_t intake_take_calls(Intake *in, Called out[CALLED_MAX]) {
    (void)pthread_mutex_lock(&in->mutex);
    size_t count = in->called_count;
    memcpy(out, in->called, count * sizeof *out);
    in->called_count = 0;
    (void)pthread_mutex_unlock(&in->mutex);
    return count;
}

/* Takes the one at *at out of the queue. */
static Work *unlink_at(Intake *in, Work **at) {
    Work *work = *at;
    *at = work_of(work->shown.next);
    if (*at == NULL)
        in->last = at;
    return work;
}

size_t intake_take(Intake *in, Work **out, size_t most) {
    size_t count = 0;
    (void)pthread_mutex_lock(&in->mutex);
    while (in->first != NULL && count < most)
        out[count++] = unlink_at(in, &in->first);
    (void)pthread_mutex_unlock(&in->mutex);
    return count;
}

/* Those that fit, `most` of them at most; with the mutex locked. */
static size_t count_fitting(const Intake *in, FitsFn *fits, const void *arg, size_t most) {
    size_t count = 0;
    for (const Work *work = in->first; work != NULL && count < most; work = work_of(work->shown.next)) {
        Fitting fitting = fits(arg, work);
        if (fitting == FITS_NOBODY)
            break;
        count += fitting == FITS;
    }
    return count;
}

bool intake_has(Intake *in, FitsFn *fits, const void *arg) {
    (void)pthread_mutex_lock(&in->mutex);
    bool has = count_fitting(in, fits, arg, 1) > 0;
    (void)pthread_mutex_unlock(&in->mutex);
    return has;
}

size_t intake_take_fitting(Intake *in, FitsFn *fits, const void *arg, size_t least, Work **out, size_t most) {
    size_t taken = 0;
    (void)pthread_mutex_lock(&in->mutex);
    size_t count = count_fitting(in, fits, arg, SIZE_MAX);
    count = count < least ? 0 : count < most ? count : most;
    for (Work **at = &in->first; *at != NULL && taken < count;) {
        if (fits(arg, *at) == FITS)
            out[taken++] = unlink_at(in, at);
        else
            at = (Work **)&(*at)->shown.next;
    }
    (void)pthread_mutex_unlock(&in->mutex);
    return taken;
}
