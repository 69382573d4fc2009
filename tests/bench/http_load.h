/* A load generator for HTTP: many keep-alive connections on one thread, each asking again once it was answered. */
#pragma once

#include <stddef.h>
#include <stdint.h>

typedef struct HttpLoad {
    const char *address;     /* "127.0.0.1:7878" */
    const char *requests[8]; /* whole requests, sent in turn; NULL ends the list */
    size_t connections;
    int64_t duration_ms;
    int64_t stall_ms; /* a connection without an answer for so long counts as stalled */
} HttpLoad;

typedef struct HttpLoadResult {
    uint64_t answers, failures; /* failures: answers of 400 and above, connections lost */
    uint64_t stalls;            /* connections that stalled */
    int64_t duration_ms;
    int64_t p50_us, p99_us, longest_us;
} HttpLoadResult;

/* 0 | -errno: it could not be set up. */
int http_load_run(const HttpLoad *load, HttpLoadResult *result);
