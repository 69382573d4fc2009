/*
 * nng request/reply under load, and the bare echo to compare it with: one program, so that both use the same library in
 * the same way. N contexts keep one request each under way.
 *
 *     rpc_load echo URL                                serves an echo of every message until killed; prints "ready URL"
 *     rpc_load drive URL IN_FLIGHT SECONDS echo        64-byte messages
 *     rpc_load drive URL IN_FLIGHT SECONDS claim KEY   requestStack + releaseStack by the lease's secret
 *     rpc_load drive URL IN_FLIGHT COUNT projects      createProject bench-0 … over a control socket
 *
 * Prints one JSON line: operations, seconds, per second, errors.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <nng/nng.h>
#include <nng/protocol/reqrep0/rep.h>
#include <nng/protocol/reqrep0/req.h>
#include <nng/supplemental/util/platform.h>

#define ECHO_CONTEXTS 128

typedef enum Mode { MODE_ECHO, MODE_CLAIM, MODE_PROJECTS } Mode;

typedef struct Load {
    Mode mode;
    const char *key;
    double end;
    long limit;
    atomic_long operations, errors, next;
    atomic_int running;
    pthread_mutex_t mutex;
    pthread_cond_t done;
    unsigned salt;
} Load;

typedef struct Flight {
    Load *load;
    nng_ctx ctx;
    nng_aio *aio;
    bool is_receiving, holds;
    int index;
    unsigned round;
    char stack[128], secret[512];
} Flight;

static double now(void) {
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void must(int r, const char *what) {
    if (r == 0)
        return;
    (void)fprintf(stderr, "rpc_load: %s: %s\n", what, nng_strerror(r));
    exit(2);
}

/* ---- the echo ---- */

typedef struct Echo {
    nng_ctx ctx;
    nng_aio *aio;
    bool is_sending;
} Echo;

static void echo_step(void *arg) {
    Echo *e = arg;
    if (nng_aio_result(e->aio) != 0)
        return;
    if (e->is_sending) {
        e->is_sending = false;
        nng_ctx_recv(e->ctx, e->aio);
        return;
    }
    nng_msg *message = nng_aio_get_msg(e->aio);
    e->is_sending = true;
    nng_aio_set_msg(e->aio, message);
    nng_ctx_send(e->ctx, e->aio);
}

_Noreturn static void serve_echo(const char *url) {
    nng_socket socket;
    static Echo echoes[ECHO_CONTEXTS];
    must(nng_rep0_open(&socket), "opening");
    for (int i = 0; i < ECHO_CONTEXTS; i++) {
        must(nng_ctx_open(&echoes[i].ctx, socket), "a context");
        must(nng_aio_alloc(&echoes[i].aio, echo_step, &echoes[i]), "an aio");
    }
    must(nng_listen(socket, url, NULL, 0), "listening");
    for (int i = 0; i < ECHO_CONTEXTS; i++)
        nng_ctx_recv(echoes[i].ctx, echoes[i].aio);
    printf("ready %s\n", url);
    (void)fflush(stdout);
    for (;;)
        (void)pause();
}

/* ---- the load ---- */

static bool take_text(const char *answer, const char *name, char *out, size_t size) {
    const char *at = strstr(answer, name), *end;
    if (at == NULL || (end = strchr(at + strlen(name), '"')) == NULL)
        return false;
    at += strlen(name);
    if ((size_t)(end - at) >= size)
        return false;
    memcpy(out, at, (size_t)(end - at));
    out[end - at] = '\0';
    return true;
}

static int write_message(Flight *f, char *out, size_t size) {
    const Load *l = f->load;
    if (l->mode == MODE_ECHO)
        return snprintf(out, size, "%064d", f->index);
    if (l->mode == MODE_PROJECTS)
        return snprintf(out, size, "{\"op\":\"createProject\",\"body\":{\"project\":\"bench-%ld\"}}",
                        atomic_fetch_add(&f->load->next, 1));
    if (f->holds)
        return snprintf(out, size, "{\"op\":\"releaseStack\",\"body\":{\"stackName\":\"%s\",\"lease\":\"%s\"}}",
                        f->stack, f->secret);
    return snprintf(out, size,
                    "{\"op\":\"requestStack\",\"auth\":\"%s\",\"body\":{\"branch\":\"feat/"
                    "%d\",\"requestId\":\"bench-%08x-%d-%u\"}}",
                    l->key, f->index, l->salt, f->index, f->round++);
}

static void launch(Flight *f) {
    char text[2048];
    nng_msg *message;
    int n = write_message(f, text, sizeof text);
    must(nng_msg_alloc(&message, 0), "a message");
    must(nng_msg_append(message, text, (size_t)n), "a message");
    f->is_receiving = false;
    nng_aio_set_msg(f->aio, message);
    nng_ctx_send(f->ctx, f->aio);
}

static void note_answer(Flight *f, nng_msg *message) {
    Load *l = f->load;
    size_t len = nng_msg_len(message);
    char *answer = strndup(nng_msg_body(message), len);
    atomic_fetch_add(&l->operations, 1);
    if (l->mode != MODE_ECHO && strstr(answer, "\"status\":200") == NULL) {
        if (atomic_fetch_add(&l->errors, 1) == 0)
            (void)fprintf(stderr, "rpc_load: %s\n", answer);
    } else if (l->mode == MODE_CLAIM) {
        f->holds = !f->holds;
        if (f->holds && (!take_text(answer, "\"stackName\":\"", f->stack, sizeof f->stack) ||
                         !take_text(answer, "\"secret\":\"", f->secret, sizeof f->secret)))
            atomic_fetch_add(&l->errors, 1);
    }
    free(answer);
}

static bool is_over(Flight *f) {
    const Load *l = f->load;
    if (l->limit > 0)
        return atomic_load(&f->load->next) >= l->limit;
    return now() >= l->end && !f->holds;
}

static void step(void *arg) {
    Flight *f = arg;
    Load *l = f->load;
    int r = nng_aio_result(f->aio);
    if (r == 0 && !f->is_receiving) {
        f->is_receiving = true;
        nng_ctx_recv(f->ctx, f->aio);
        return;
    }
    if (r == 0) {
        nng_msg *message = nng_aio_get_msg(f->aio);
        note_answer(f, message);
        nng_msg_free(message);
        if (!is_over(f)) {
            launch(f);
            return;
        }
    } else {
        atomic_fetch_add(&l->errors, 1);
    }
    if (atomic_fetch_sub(&l->running, 1) == 1) {
        (void)pthread_mutex_lock(&l->mutex);
        (void)pthread_cond_signal(&l->done);
        (void)pthread_mutex_unlock(&l->mutex);
    }
}

static int drive(int argc, char **argv) {
    int in_flight = atoi(argv[3]);
    const char *mode = argv[5];
    Load load = {.mode = mode[0] == 'e'   ? MODE_ECHO
                         : mode[0] == 'c' ? MODE_CLAIM
                                          : MODE_PROJECTS,
                 .key = argc > 6 ? argv[6] : "",
                 .salt = (unsigned)time(NULL) ^ ((unsigned)getpid() << 16)};
    nng_socket socket;
    must(nng_req0_open(&socket), "opening");
    must(nng_socket_set_ms(socket, NNG_OPT_REQ_RESENDTIME, NNG_DURATION_INFINITE), "resend");
    must(nng_dial(socket, argv[2], NULL, 0), "dialling");
    (void)pthread_mutex_init(&load.mutex, NULL);
    (void)pthread_cond_init(&load.done, NULL);
    atomic_init(&load.running, in_flight);
    double start = now();
    if (load.mode == MODE_PROJECTS)
        load.limit = atol(argv[4]);
    else
        load.end = start + atof(argv[4]);
    Flight *flights = calloc((size_t)in_flight, sizeof *flights);
    for (int i = 0; i < in_flight; i++) {
        flights[i].load = &load;
        flights[i].index = i;
        must(nng_ctx_open(&flights[i].ctx, socket), "a context");
        must(nng_aio_alloc(&flights[i].aio, step, &flights[i]), "an aio");
    }
    for (int i = 0; i < in_flight; i++)
        launch(&flights[i]);
    (void)pthread_mutex_lock(&load.mutex);
    while (atomic_load(&load.running) > 0)
        (void)pthread_cond_wait(&load.done, &load.mutex);
    (void)pthread_mutex_unlock(&load.mutex);
    double seconds = now() - start;
    long n = atomic_load(&load.operations), errors = atomic_load(&load.errors);
    printf("{\"operations\":%ld,\"seconds\":%.3f,\"per_second\":%.0f,\"errors\":%ld}\n", n, seconds,
           (double)n / seconds, errors);
    return errors == 0 ? 0 : 1;
}

int main(int argc, char **argv) {
    if (argc >= 3 && strcmp(argv[1], "echo") == 0)
        serve_echo(argv[2]);
    if (argc >= 6 && strcmp(argv[1], "drive") == 0)
        return drive(argc, argv);
    (void)fprintf(stderr, "usage: rpc_load echo URL | rpc_load drive URL IN_FLIGHT SECONDS echo|claim KEY|projects\n");
    return 2;
}
