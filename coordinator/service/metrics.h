/*
 * Counters for Prometheus, text format 0.0.4. Incremented from any thread without a lock; labels are closed sets, so no
 * name from outside ever becomes one.
 */
#pragma once

#include "base/buffer.h"
#include "protocol/messages.h"
#include "store/store.h"

typedef struct Metrics Metrics;

int metrics_new(Metrics **out) MUST_USE;
Metrics *metrics_free(Metrics *metrics);

/* CLOCK_MONOTONIC in microseconds. Measuring is not deciding: this clock need not be faked. */
int64_t metrics_now_us(void);
void metrics_operation(Metrics *m, OperationId operation, Outcome outcome, int64_t microseconds);
void metrics_batch(Metrics *m, size_t operations);
void metrics_store_error(Metrics *m, int store_result);
/* How long a request waited before the queue served it; a lease was held. Negative ones (wall time stepped) count as 0. */
void metrics_waited(Metrics *m, int64_t milliseconds);
void metrics_held(Metrics *m, int64_t milliseconds);
/* From the COMMIT that granted a waiting request to its answer. */
void metrics_handed_off(Metrics *m, int64_t microseconds);
/* What time, or nobody's coming, did. */
typedef enum LeaseMishap { MISHAP_LOST, MISHAP_UNCOLLECTED, MISHAP_ABANDONED, MISHAP_COUNT } LeaseMishap;
void metrics_mishap(Metrics *m, LeaseMishap mishap);
/* A request that waits here was served by another coordinator, which said so. */
void metrics_called(Metrics *m);
void metrics_waiting(Metrics *m, int64_t requests, int64_t connections);
/* The gauges start from a count of the store and then follow the rows the worker saves. */
void metrics_start_counts(Metrics *m, const StoreCounts *counts);
void metrics_stack_moved(Metrics *m, StackState from, StackState to); /* STACK_GONE: not there */
void metrics_write(const Metrics *m, const char *version, Buffer *out);
