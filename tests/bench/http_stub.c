/*
 * What the HTTP transport alone can do, over the echoing stub service:
 *
 *     http_stub                      serves until its standard input ends; prints its address (for wrk)
 *     http_stub CONNECTIONS SECONDS  loads itself; prints the figures
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>

#include "base/json_guard.h"
#include "bench/http_load.h"
#include "http/http.h"
#include "unit/stub_service.h"

static const char suspended[] =
    "POST /requestStack HTTP/1.1\r\nHost: x\r\nX-API-Key: good\r\nContent-Length: 22\r\n\r\n"
    "{\"branch\":\"feature/x\"}";
static const char at_once[] = "POST /requestStack HTTP/1.1\r\nHost: x\r\nX-API-Key: good\r\nContent-Length: 20\r\n\r\n"
                              "{\"branch\":\"at-once\"}";
static const char page[] = "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n";

static double cpu_us(int who) {
    struct rusage usage = {0};
    (void)getrusage(who, &usage);
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1e6 +
           (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec);
}

/* The processor time of all threads but this one, which is the load's: it tells more than the rate on a busy machine. */
static double server_cpu_us(void) {
    return cpu_us(RUSAGE_SELF) - cpu_us(RUSAGE_THREAD);
}

static void measure(const char *name, const char *request, const char *address, size_t connections, int64_t seconds) {
    HttpLoad load = {.address = address,
                     .requests = {request},
                     .connections = connections,
                     .duration_ms = seconds * 1000,
                     .stall_ms = 1000};
    HttpLoadResult result;
    double before_us = server_cpu_us();
    if (http_load_run(&load, &result) != 0) {
        (void)fprintf(stderr, "cannot connect to %s\n", address);
        return;
    }
    (void)printf("%-10s %8.0f/s  server's cpu %.1f us each  p50 %lld us  p99 %lld us  longest %lld us  failures %llu  "
                 "stalls %llu\n",
                 name, (double)result.answers * 1000 / (double)result.duration_ms,
                 (server_cpu_us() - before_us) / (double)(result.answers + (result.answers == 0)),
                 (long long)result.p50_us, (long long)result.p99_us, (long long)result.longest_us,
                 (unsigned long long)result.failures, (unsigned long long)result.stalls);
}

int main(int argc, char **argv) {
    json_guard_init();
    Logger log = {.fd = 2, .level = LOG_WARNING, .style = LOG_PLAIN, .clock = clock_system(), .name = "http_stub"};
    Buffer reason;
    buffer_init(&reason, 1024);
    Service *service = stub_service_new();
    HttpOptions options = {.address = "127.0.0.1:0", .service = service, .log = &log};
    Http *http = NULL;
    if (http_new(&http, &options, &reason) != 0) {
        (void)fprintf(stderr, "%s\n", buffer_text(&reason));
        return 1;
    }
    if (argc < 3) {
        (void)printf("%s\n", http_address(http));
        (void)fflush(stdout);
        while (getchar() != EOF)
            continue;
    } else {
        size_t connections = (size_t)atoi(argv[1]);
        measure("page", page, http_address(http), connections, atoi(argv[2]));
        measure("at once", at_once, http_address(http), connections, atoi(argv[2]));
        measure("suspended", suspended, http_address(http), connections, atoi(argv[2]));
    }
    http_quiesce(http);
    http_flush(http, 1000);
    http = http_free(http);
    stub_service_free(service);
    buffer_deinit(&reason);
    return 0;
}
