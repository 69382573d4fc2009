/*
 * The coordinator's metrics and their rendering. Histogram buckets are kept per bucket and summed when rendered.
 */
#include "service/metrics.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>

static const int64_t latency_bounds_us[] = {250,   500,    1000,   2500,   5000,    10000,   25000,
                                            50000, 100000, 250000, 500000, 1000000, 2500000, 10000000};
static const char *const latency_labels[] = {"0.00025", "0.0005", "0.001", "0.0025", "0.005", "0.01", "0.025",
                                             "0.05",    "0.1",    "0.25",  "0.5",    "1",     "2.5",  "10"};
static const int64_t batch_bounds[] = {1, 2, 4, 8, 16, 32, 64, 128, 256};
static const char *const batch_labels[] = {"1", "2", "4", "8", "16", "32", "64", "128", "256"};

static const int64_t span_bounds_ms[] = {1000,    5000,    15000,   60000,    300000,  900000,
                                         1800000, 3600000, 7200000, 21600000, 86400000};
static const char *const span_labels[] = {"1", "5", "15", "60", "300", "900", "1800", "3600", "7200", "21600", "86400"};

#define BUCKETS_MAX 16

typedef struct Histogram {
    atomic_llong buckets[BUCKETS_MAX]; /* the last one in use: above all bounds */
    atomic_llong sum, count;
} Histogram;

typedef enum StoreError {
    ERROR_FULL,
    ERROR_IO,
    ERROR_UNKNOWN,
    ERROR_CONFLICT,
    ERROR_BROKEN,
    ERROR_BUSY,
    ERROR_MEMORY,
    ERROR_KINDS
} StoreError;
static const char *const store_error_names[] = {"full", "io", "unknown_commit", "conflict", "broken", "busy", "memory"};

struct Metrics {
    atomic_llong operations[OP_COUNT][OUTCOME_COUNT];
    Histogram latency, batches, waited, held, handed_off;
    atomic_llong mishaps[MISHAP_COUNT], waiting, parked, called;
    atomic_llong store_errors[ERROR_KINDS];
    atomic_llong stacks[STACK_GONE];
};

int metrics_new(Metrics **out) {
    Metrics *m = calloc(1, sizeof *m);
    if (m == NULL)
        return -ENOMEM;
    *out = m;
    return 0;
}

Metrics *metrics_free(Metrics *m) {
    free(m);
    return NULL;
}

int64_t metrics_now_us(void) {
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

static void bump(atomic_llong *counter, int64_t by) {
    atomic_fetch_add_explicit(counter, by, memory_order_relaxed);
}

static int64_t value(const atomic_llong *counter) {
    return atomic_load_explicit((atomic_llong *)counter, memory_order_relaxed);
}

static void observe(Histogram *h, const int64_t *bounds, size_t count, int64_t observed) {
    size_t i = 0;
    while (i < count && observed > bounds[i])
        i++;
    bump(&h->buckets[i], 1);
    bump(&h->sum, observed);
    bump(&h->count, 1);
}

void metrics_operation(Metrics *m, OperationId operation, Outcome outcome, int64_t microseconds) {
    if (operation >= OP_COUNT || outcome >= OUTCOME_COUNT)
        return;
    bump(&m->operations[operation][outcome], 1);
    observe(&m->latency, latency_bounds_us, COUNT_OF(latency_bounds_us), microseconds);
}

void metrics_batch(Metrics *m, size_t operations) {
    observe(&m->batches, batch_bounds, COUNT_OF(batch_bounds), (int64_t)operations);
}

void metrics_store_error(Metrics *m, int store_result) {
    StoreError kind = store_result == STORE_FULL       ? ERROR_FULL
                      : store_result == STORE_IO       ? ERROR_IO
                      : store_result == STORE_UNKNOWN  ? ERROR_UNKNOWN
                      : store_result == STORE_CONFLICT ? ERROR_CONFLICT
                      : store_result == STORE_BROKEN   ? ERROR_BROKEN
                      : store_result == STORE_BUSY     ? ERROR_BUSY
                                                       : ERROR_MEMORY;
    bump(&m->store_errors[kind], 1);
}

void metrics_waited(Metrics *m, int64_t milliseconds) {
    observe(&m->waited, span_bounds_ms, COUNT_OF(span_bounds_ms), milliseconds > 0 ? milliseconds : 0);
}

void metrics_held(Metrics *m, int64_t milliseconds) {
    observe(&m->held, span_bounds_ms, COUNT_OF(span_bounds_ms), milliseconds > 0 ? milliseconds : 0);
}

void metrics_handed_off(Metrics *m, int64_t microseconds) {
    observe(&m->handed_off, latency_bounds_us, COUNT_OF(latency_bounds_us), microseconds);
}

void metrics_called(Metrics *m) {
    bump(&m->called, 1);
}

void metrics_mishap(Metrics *m, LeaseMishap mishap) {
    bump(&m->mishaps[mishap], 1);
}

void metrics_waiting(Metrics *m, int64_t requests, int64_t connections) {
    atomic_store_explicit(&m->waiting, requests, memory_order_relaxed);
    atomic_store_explicit(&m->parked, connections, memory_order_relaxed);
}

void metrics_start_counts(Metrics *m, const StoreCounts *counts) {
    for (size_t s = 0; s < STACK_GONE; s++)
        atomic_store(&m->stacks[s], counts->stacks[s]);
}

void metrics_stack_moved(Metrics *m, StackState from, StackState to) {
    if (from != STACK_GONE)
        bump(&m->stacks[from], -1);
    if (to != STACK_GONE)
        bump(&m->stacks[to], 1);
}

static void write_head(Buffer *out, const char *name, const char *type, const char *help) {
    buffer_printf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void write_buckets(Buffer *out, const char *name, const Histogram *h, const char *const *labels, size_t count) {
    int64_t running = 0;
    for (size_t i = 0; i < count; i++) {
        running += value(&h->buckets[i]);
        buffer_printf(out, "%s_bucket{le=\"%s\"} %lld\n", name, labels[i], (long long)running);
    }
    running += value(&h->buckets[count]);
    buffer_printf(out, "%s_bucket{le=\"+Inf\"} %lld\n", name, (long long)running);
}

/* Bounds in units of which `second` are one second. */
static void write_seconds(Buffer *out, const char *name, const char *help, const Histogram *h,
                          const char *const *labels, size_t count, int64_t second) {
    write_head(out, name, "histogram", help);
    write_buckets(out, name, h, labels, count);
    int64_t us = value(&h->sum) * (1000000 / second);
    buffer_printf(out, "%s_sum %lld.%06lld\n%s_count %lld\n", name, (long long)(us / 1000000),
                  (long long)(us % 1000000), name, (long long)value(&h->count));
}

static void write_waiting(const Metrics *m, Buffer *out) {
    write_head(out, "stack_coordinator_waiting_requests", "gauge", "Requests in the queues of all projects.");
    buffer_printf(out, "stack_coordinator_waiting_requests %lld\n", (long long)value(&m->waiting));
    write_head(out, "stack_coordinator_waiting_connections", "gauge", "Connections that wait for a stack.");
    buffer_printf(out, "stack_coordinator_waiting_connections %lld\n", (long long)value(&m->parked));
    write_seconds(out, "stack_coordinator_wait_duration_seconds", "How long requests waited that the queue served.",
                  &m->waited, span_labels, COUNT_OF(span_bounds_ms), 1000);
    write_seconds(out, "stack_coordinator_hold_duration_seconds", "How long leases were held that ended.", &m->held,
                  span_labels, COUNT_OF(span_bounds_ms), 1000);
    write_seconds(out, "stack_coordinator_handoff_duration_seconds",
                  "From the commit that served a waiting connection to its answer.", &m->handed_off, latency_labels,
                  COUNT_OF(latency_bounds_us), 1000000);
    const char *called = "stack_coordinator_waiters_called_total";
    write_head(out, called, "counter", "Requests that wait here, served by another coordinator, which called.");
    buffer_printf(out, "%s %lld\n", called, (long long)value(&m->called));
    static const char *const mishaps[][2] = {
        [MISHAP_LOST] = {"stack_coordinator_leases_lost_total", "Leases that nobody renewed, or that lasted too long."},
        [MISHAP_UNCOLLECTED] = {"stack_coordinator_grants_uncollected_total",
                                "Grants from the queue that nobody came for."},
        [MISHAP_ABANDONED] = {"stack_coordinator_requests_abandoned_total",
                              "Queued requests not heard of for too long."},
    };
    for (size_t i = 0; i < MISHAP_COUNT; i++) {
        write_head(out, mishaps[i][0], "counter", mishaps[i][1]);
        buffer_printf(out, "%s %lld\n", mishaps[i][0], (long long)value(&m->mishaps[i]));
    }
}

static void write_operations(const Metrics *m, Buffer *out) {
    write_head(out, "stack_coordinator_operations_total", "counter", "Operations answered, by outcome.");
    for (OperationId op = 0; op < OP_COUNT; op++) {
        for (Outcome outcome = 0; outcome < OUTCOME_COUNT; outcome++) {
            int64_t n = value(&m->operations[op][outcome]);
            if (n != 0)
                buffer_printf(out, "stack_coordinator_operations_total{operation=\"%s\",outcome=\"%s\"} %lld\n",
                              operation_row(op)->name, outcome_row(outcome)->code, (long long)n);
        }
    }
}

void metrics_write(const Metrics *m, const char *version, Buffer *out) {
    write_head(out, "stack_coordinator_build_info", "gauge", "Always 1; the version is in the label.");
    buffer_printf(out, "stack_coordinator_build_info{version=\"%s\"} 1\n", version);
    write_operations(m, out);

    write_seconds(out, "stack_coordinator_operation_duration_seconds",
                  "From an operation's arrival, or the end of its wait for a stack, to its answer.", &m->latency,
                  latency_labels, COUNT_OF(latency_bounds_us), 1000000);
    write_waiting(m, out);

    const char *batch = "stack_coordinator_batch_operations";
    write_head(out, batch, "histogram", "Operations decided in one transaction.");
    write_buckets(out, batch, &m->batches, batch_labels, COUNT_OF(batch_bounds));
    buffer_printf(out, "%s_sum %lld\n%s_count %lld\n", batch, (long long)value(&m->batches.sum), batch,
                  (long long)value(&m->batches.count));

    write_head(out, "stack_coordinator_stacks", "gauge", "Stacks of all projects, by state.");
    for (size_t s = 0; s < STACK_GONE; s++)
        buffer_printf(out, "stack_coordinator_stacks{state=\"%s\"} %lld\n", stack_state_name((StackState)s),
                      (long long)value(&m->stacks[s]));
    write_head(out, "stack_coordinator_store_errors_total", "counter",
               "Transactions that failed in the store, by kind.");
    for (size_t kind = 0; kind < ERROR_KINDS; kind++)
        buffer_printf(out, "stack_coordinator_store_errors_total{kind=\"%s\"} %lld\n", store_error_names[kind],
                      (long long)value(&m->store_errors[kind]));
}
