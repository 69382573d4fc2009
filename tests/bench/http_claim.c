/*
 * A load generator for the HTTP interface: one thread, epoll, N keep-alive connections, each with one request under way.
 *
 *     http_claim HOST PORT KEY CONNECTIONS SECONDS claim|ids|list
 *     http_claim HOST PORT KEY CONNECTIONS COUNT fill|hold
 *
 * claim   each connection requests a stack under a branch of its own and releases it, over and over
 * ids     the same with requestId and leaseSeconds, released by its secret: what the agent does
 * list    listStacks
 * fill    makes COUNT stacks by requesting them all, then releases test-1 to test-COUNT: they lie there available
 *
 * hold    requests COUNT bound leases, a day long each, and keeps them
 *
 * Prints one JSON line: operations, seconds, operations per second, latency percentiles in ms, errors. The clock stops at
 * the last answer. Any answer but 200 counts as an error, and makes the exit status 1.
 */
#include <errno.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define ANSWER_ROOM (256 * 1024)
#define SAMPLES_MAX (8 * 1024 * 1024)

typedef enum Mode { MODE_CLAIM, MODE_IDS, MODE_LIST, MODE_FILL, MODE_HOLD } Mode;

typedef struct Connection {
    int fd, index;
    bool holds;
    unsigned round;
    char stack[128], secret[512];
    char *answer;
    size_t got;
    double sent_at;
} Connection;

typedef struct Run {
    const char *host, *key;
    Mode mode;
    double end;
    long fill_count, requested, released; /* MODE_FILL, MODE_HOLD */
    float *samples;
    size_t count;
    long errors;
    int open;
    unsigned salt;
} Run;

static double now(void) {
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void die(const char *what) {
    (void)fprintf(stderr, "http_claim: %s: %s\n", what, strerror(errno));
    exit(2);
}

static size_t make_body(Run *run, Connection *c, char *out, size_t size) {
    int n;
    if (run->mode == MODE_LIST)
        return 0;
    if (run->mode == MODE_FILL) {
        c->holds = run->requested == run->fill_count;
        (void)snprintf(c->stack, sizeof c->stack, "test-%ld", c->holds ? ++run->released : ++run->requested);
    }
    if (run->mode == MODE_HOLD)
        n = snprintf(out, size, "{\"requestId\":\"bench-%08x-%08ld\",\"leaseSeconds\":86400}", run->salt,
                     ++run->requested);
    else if (c->holds && run->mode == MODE_IDS)
        n = snprintf(out, size, "{\"stackName\":\"%s\",\"lease\":\"%s\"}", c->stack, c->secret);
    else if (c->holds)
        n = snprintf(out, size, "{\"stackName\":\"%s\"}", c->stack);
    else if (run->mode == MODE_IDS)
        n = snprintf(out, size, "{\"branch\":\"feat/%d\",\"requestId\":\"bench-%08x-%d-%u\",\"leaseSeconds\":300}",
                     c->index, run->salt, c->index, c->round);
    else
        n = snprintf(out, size, "{\"branch\":\"feat/%d\"}", c->index);
    return (size_t)n;
}

static void send_next(Run *run, Connection *c) {
    char body[1024], text[2048];
    size_t len = make_body(run, c, body, sizeof body); /* first: it may say what comes next */
    const char *path = run->mode == MODE_LIST ? "GET /listStacks"
                       : c->holds             ? "POST /releaseStack"
                                              : "POST /requestStack";
    int n = snprintf(text, sizeof text, "%s HTTP/1.1\r\nHost: %s\r\nX-API-Key: %s\r\nContent-Length: %zu\r\n\r\n%.*s",
                     path, run->host, run->key, len, (int)len, body);
    c->got = 0;
    c->sent_at = now();
    if (send(c->fd, text, (size_t)n, MSG_NOSIGNAL) != n)
        die("send");
}

/* Copies the text behind `"name":"` up to the next quote. */
static bool take_text(const char *answer, const char *name, char *out, size_t size) {
    const char *at = strstr(answer, name);
    if (at == NULL)
        return false;
    at += strlen(name);
    const char *end = strchr(at, '"');
    if (end == NULL || (size_t)(end - at) >= size)
        return false;
    memcpy(out, at, (size_t)(end - at));
    out[end - at] = '\0';
    return true;
}

/* The whole length of the answer in the buffer; 0 while it is not known or not all there. */
static size_t complete_length(const Connection *c) {
    c->answer[c->got] = '\0';
    const char *head_end = strstr(c->answer, "\r\n\r\n");
    if (head_end == NULL)
        return 0;
    const char *length = strcasestr(c->answer, "content-length:");
    if (length == NULL || length > head_end)
        return 0;
    size_t whole = (size_t)(head_end - c->answer) + 4 + strtoul(length + 15, NULL, 10);
    return c->got >= whole ? whole : 0;
}

static void answered(Run *run, Connection *c) {
    double t = now();
    if (run->count < SAMPLES_MAX)
        run->samples[run->count++] = (float)((t - c->sent_at) * 1000);
    bool is_ok = strncmp(c->answer, "HTTP/1.1 200", 12) == 0;
    if (!is_ok) {
        if (run->errors++ == 0)
            (void)fprintf(stderr, "http_claim: %s\n", c->answer);
        c->holds = false;
    } else if (run->mode == MODE_CLAIM || run->mode == MODE_IDS) {
        c->holds = !c->holds;
        if (c->holds &&
            (!take_text(c->answer, "\"stackName\":\"", c->stack, sizeof c->stack) ||
             (run->mode == MODE_IDS && !take_text(c->answer, "\"secret\":\"", c->secret, sizeof c->secret))))
            run->errors++;
        c->round += c->holds ? 0u : 1u;
    }
    /* Whoever holds a stack at the end gives it back first. */
    bool goes_on = run->mode == MODE_FILL   ? run->released < run->fill_count
                   : run->mode == MODE_HOLD ? run->requested < run->fill_count
                                            : t < run->end || c->holds;
    if (goes_on) {
        send_next(run, c);
    } else {
        (void)close(c->fd);
        run->open--;
    }
}

static void readable(Run *run, Connection *c) {
    ssize_t n = recv(c->fd, c->answer + c->got, ANSWER_ROOM - 1 - c->got, 0);
    if (n <= 0) {
        run->errors++;
        (void)close(c->fd);
        run->open--;
        return;
    }
    c->got += (size_t)n;
    if (complete_length(c) != 0)
        answered(run, c);
}

static int connect_to(const char *host, const char *port) {
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *found;
    if (getaddrinfo(host, port, &hints, &found) != 0)
        die("resolving");
    int fd = socket(found->ai_family, SOCK_STREAM, 0), on = 1;
    if (fd < 0 || connect(fd, found->ai_addr, found->ai_addrlen) < 0)
        die("connecting");
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    freeaddrinfo(found);
    return fd;
}

static int by_size(const void *a, const void *b) {
    float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

static void report(Run *run, double seconds) {
    qsort(run->samples, run->count, sizeof *run->samples, by_size);
    size_t n = run->count > 0 ? run->count : 1;
    printf("{\"operations\":%zu,\"seconds\":%.3f,\"per_second\":%.0f,\"p50_ms\":%.3f,\"p99_ms\":%.3f,\"max_ms\":%.3f,"
           "\"errors\":%ld}\n",
           run->count, seconds, (double)run->count / seconds, (double)run->samples[n / 2],
           (double)run->samples[n * 99 / 100], (double)run->samples[n - 1], run->errors);
}

static Mode mode_of(const char *word) {
    return word[0] == 'l'   ? MODE_LIST
           : word[0] == 'i' ? MODE_IDS
           : word[0] == 'f' ? MODE_FILL
           : word[0] == 'h' ? MODE_HOLD
                            : MODE_CLAIM;
}

int main(int argc, char **argv) {
    if (argc != 7) {
        (void)fprintf(stderr, "usage: http_claim HOST PORT KEY CONNECTIONS SECONDS claim|ids|list|fill|hold\n");
        return 2;
    }
    int count = atoi(argv[4]);
    Run run = {.host = argv[1],
               .key = argv[3],
               .mode = mode_of(argv[6]),
               .fill_count = atol(argv[5]),
               .open = count,
               .salt = (unsigned)time(NULL) ^ ((unsigned)getpid() << 16)};
    run.samples = calloc(SAMPLES_MAX, sizeof *run.samples);
    Connection *connections = calloc((size_t)count, sizeof *connections);
    int poller = epoll_create1(0);
    if (run.samples == NULL || connections == NULL || poller < 0)
        die("setting up");
    for (int i = 0; i < count; i++) {
        Connection *c = &connections[i];
        *c = (Connection){.fd = connect_to(argv[1], argv[2]), .index = i, .answer = malloc(ANSWER_ROOM)};
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = c};
        if (c->answer == NULL || epoll_ctl(poller, EPOLL_CTL_ADD, c->fd, &event) < 0)
            die("setting up a connection");
    }
    double start = now();
    run.end = start + atof(argv[5]);
    for (int i = 0; i < count; i++)
        send_next(&run, &connections[i]);
    while (run.open > 0) {
        struct epoll_event events[256];
        int n = epoll_wait(poller, events, 256, 10000);
        if (n == 0) {
            (void)fprintf(stderr, "http_claim: no answer for 10 s: stalled\n");
            return 3;
        }
        for (int i = 0; i < n; i++)
            readable(&run, events[i].data.ptr);
    }
    report(&run, now() - start);
    return run.errors == 0 ? 0 : 1;
}
