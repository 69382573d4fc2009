/* nng on the coordinator's side: what hostile and hurried peers get, where listeners may sit, how it comes to rest. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <jansson.h>
#include <nng/nng.h>
#include <nng/protocol/reqrep0/req.h>

#include "base/limits.h"
#include "client/rpc_client.h"
#include "rpc/control.h"
#include "rpc/rpc.h"
#include "unit/stub_service.h"
#include "unit/test_certificate.h"

#define KEY "good" /* the stub's */
#define HELD_REQUEST "{\"op\":\"requestStack\",\"auth\":\"" KEY "\",\"body\":{\"branch\":\"hold\"}}"
#define LONG_MS 30000 /* a deadline that only a bug reaches */

typedef struct Fixture {
    Service *service;
    Rpc *rpc;
    char folder[64];
    char reason[512]; /* of the last start */
} Fixture;

static int set_up(void **state) {
    Fixture *f = calloc(1, sizeof *f);
    f->service = stub_service_new();
    (void)snprintf(f->folder, sizeof f->folder, "/tmp/test_rpc.XXXXXX");
    assert_non_null(mkdtemp(f->folder));
    *state = f;
    return 0;
}

static int tear_down(void **state) {
    Fixture *f = *state;
    stub_release(f->service);
    if (f->rpc != NULL)
        rpc_flush(f->rpc, LONG_MS);
    f->rpc = rpc_free(f->rpc);
    stub_service_free(f->service);
    char command[128];
    (void)snprintf(command, sizeof command, "rm -rf %s", f->folder);
    assert_int_equal(system(command), 0);
    free(f);
    return 0;
}

static int start_with(Fixture *f, RpcOptions options, const char *url) {
    Buffer reason;
    buffer_init(&reason, sizeof f->reason - 1);
    options.urls = &url;
    options.url_count = 1;
    options.service = f->service;
    int error = rpc_new(&f->rpc, &options, &reason);
    (void)snprintf(f->reason, sizeof f->reason, "%s", error != 0 ? buffer_text(&reason) : "");
    buffer_deinit(&reason);
    return error;
}

static int start(Fixture *f, const char *url) {
    return start_with(f, (RpcOptions){0}, url);
}

static const char *url_of(const Fixture *f) {
    size_t count = 0;
    const char *const *urls = rpc_urls(f->rpc, &count);
    assert_int_equal(count, 1);
    return urls[0];
}

static char *in_folder(const Fixture *f, const char *name, char out[256]) {
    (void)snprintf(out, 256, "ipc://%s/%s", f->folder, name);
    return out;
}

static int ask_at(const char *url, const char *request, Buffer *answer) {
    RpcTarget target = {.url = url, .answer_max = RPC_ANSWER_MAX};
    Buffer reason;
    buffer_init(&reason, 1024);
    int error = rpc_call(&target, slice_of(request), LONG_MS, -1, answer, &reason);
    buffer_deinit(&reason);
    return error;
}

static void assert_answer(const Fixture *f, const char *request, const char *expected) {
    OWN(buffer_deinit) Buffer answer;
    buffer_init(&answer, RPC_ANSWER_MAX);
    assert_int_equal(ask_at(url_of(f), request, &answer), 0);
    assert_string_equal(buffer_text(&answer), expected);
}

static void assert_code(const Fixture *f, const char *request, int status, const char *code) {
    OWN(buffer_deinit) Buffer answer;
    buffer_init(&answer, RPC_ANSWER_MAX);
    assert_int_equal(ask_at(url_of(f), request, &answer), 0);
    char begin[128];
    (void)snprintf(begin, sizeof begin, "{\"status\":%d,\"body\":{\"code\":\"%s\"", status, code);
    assert_int_equal(strncmp(buffer_text(&answer), begin, strlen(begin)), 0);
}

/* --- one message --- */

static void the_answer_is_the_services_body_in_an_envelope(void **state) {
    Fixture *f = *state;
    assert_int_equal(start(f, "tcp://127.0.0.1:0"), 0);
    assert_answer(
        f, "{\"op\":\"requestStack\",\"auth\":\"" KEY "\",\"body\":{\"branch\":\"f\\u00e9\"}}",
        "{\"status\":200,\"body\":{\"operation\":\"requestStack\",\"asked\":\"{\\\"branch\\\":\\\"f\xc3\xa9\\\"}\"}}");
    assert_string_equal(stub_last_credential(f->service), KEY);
    assert_string_equal(stub_last_address(f->service), "127.0.0.1");
    assert_answer(f, "{\"op\":\"joinRequest\",\"auth\":\"" KEY "\",\"body\":{}}",
                  "{\"status\":202,\"body\":{\"operation\":\"joinRequest\",\"asked\":\"{}\"}}");
}

static void an_absent_body_is_an_empty_object(void **state) {
    Fixture *f = *state;
    assert_int_equal(start(f, "tcp://127.0.0.1:0"), 0);
    static const char *const requests[] = {"{\"op\":\"listStacks\",\"auth\":\"" KEY "\"}",
                                           "{\"op\":\"listStacks\",\"auth\":\"" KEY "\",\"body\":null}"};
    for (size_t i = 0; i < COUNT_OF(requests); i++)
        assert_answer(f, requests[i], "{\"status\":200,\"body\":{\"operation\":\"listStacks\",\"asked\":\"{}\"}}");
}

static void what_the_service_refuses_at_once_is_answered(void **state) {
    Fixture *f = *state;
    assert_int_equal(start(f, "tcp://127.0.0.1:0"), 0);
    assert_code(f, "{\"op\":\"requestStack\",\"auth\":\"" KEY "\",\"body\":\"refuse\"}", 400, "validation");
    assert_code(f, "{\"op\":\"requestStack\",\"auth\":\"wrong\"}", 401, "unauthenticated");
    assert_code(f, "{\"op\":\"requestStack\"}", 401, "unauthenticated");
    assert_null(stub_last_credential(f->service));
}

static void what_is_no_operation_is_refused_by_name(void **state) {
    Fixture *f = *state;
    assert_int_equal(start(f, "tcp://127.0.0.1:0"), 0);
    assert_code(f, "{\"op\":\"makeCoffee\",\"auth\":\"" KEY "\"}", 404, "unknown-operation");
    assert_code(f, "{\"auth\":\"" KEY "\"}", 400, "validation");
    assert_code(f, "{\"op\":7}", 400, "validation");
    assert_code(f, "{\"op\":\"requestStack\",\"auth\":7}", 400, "validation");
    assert_code(f, "", 400, "validation");
    assert_code(f, "not json", 422, "bad-json");
    assert_code(f, "[]", 400, "validation");
    assert_code(f, "{\"op\":\"requestStack\",\"op\":\"listStacks\"}", 422, "bad-json");
    assert_code(f, "{\"op\":\"requestStack\",\"body\":{\"branch\":\"a\",\"branch\":\"b\"}}", 422, "bad-json");
}

static void nesting_is_counted_inside_the_envelope(void **state) {
    Fixture *f = *state;
    assert_int_equal(start(f, "tcp://127.0.0.1:0"), 0);
    OWN(buffer_deinit) Buffer request;
    buffer_init(&request, BODY_MAX);
    buffer_add_text(&request, "{\"op\":\"requestStack\",\"auth\":\"" KEY "\",\"body\":{\"a\":");
    for (int i = 0; i < JSON_DEPTH_MAX; i++)
        buffer_add_char(&request, '[');
    for (int i = 0; i < JSON_DEPTH_MAX; i++)
        buffer_add_char(&request, ']');
    buffer_add_text(&request, "}}");
    assert_code(f, buffer_text(&request), 422, "bad-json");
}

/* --- hostile frames --- */

static int connect_raw(const Fixture *f) {
    int port = 0;
    assert_int_equal(sscanf(url_of(f), "tcp://127.0.0.1:%d", &port), 1);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
    struct timeval patience = {.tv_sec = LONG_MS / 1000};
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience), 0);
    static const unsigned char hello[8] = {0, 'S', 'P', 0, 0, 0x30, 0, 0};
    unsigned char theirs[8];
    assert_int_equal(send(fd, hello, sizeof hello, MSG_NOSIGNAL), sizeof hello);
    assert_int_equal(recv(fd, theirs, sizeof theirs, MSG_WAITALL), sizeof theirs);
    static const unsigned char rep[8] = {0, 'S', 'P', 0, 0, 0x31, 0, 0};
    assert_memory_equal(theirs, rep, sizeof rep);
    return fd;
}

static void send_frame(int fd, uint64_t announced, const char *text) {
    unsigned char frame[4096];
    for (int i = 0; i < 8; i++)
        frame[i] = (unsigned char)(announced >> (56 - 8 * i));
    static const unsigned char id[4] = {0x80, 0, 0, 9};
    memcpy(frame + 8, id, sizeof id);
    size_t len = strlen(text);
    memcpy(frame + 12, text, len);
    assert_int_equal(send(fd, frame, 12 + len, MSG_NOSIGNAL), (ssize_t)(12 + len));
}

/* The peer closed or reset; anything it sent before is read away. */
static void assert_hung_up(int fd) {
    char piece[512];
    ssize_t got = 0;
    do
        got = recv(fd, piece, sizeof piece, 0);
    while (got > 0);
    assert_true(got == 0 || errno == ECONNRESET);
}

static long resident_kib(void) {
    FILE *file = fopen("/proc/self/statm", "r");
    long pages = 0;
    long resident = 0;
    assert_int_equal(fscanf(file, "%ld %ld", &pages, &resident), 2);
    (void)fclose(file);
    return resident * (sysconf(_SC_PAGESIZE) / 1024);
}

static void a_frame_that_announces_gigabytes_costs_its_connection_only(void **state) {
    Fixture *f = *state;
    assert_int_equal(start(f, "tcp://127.0.0.1:0"), 0);
    static const uint64_t announced[] = {BODY_MAX + 4096 + 1, UINT64_C(1) << 32, INT64_MAX, UINT64_MAX};
    long before_kib = resident_kib();
    for (size_t i = 0; i < 100; i++) {
        OWN(closep) int fd = connect_raw(f);
        send_frame(fd, announced[i % COUNT_OF(announced)], "{");
        assert_hung_up(fd);
    }
    assert_true(resident_kib() - before_kib < 64 * 1024);
    assert_code(f, "{}", 400, "validation");
}

static void a_frame_too_short_for_its_header_costs_its_connection_only(void **state) {
    Fixture *f = *state;
    assert_int_equal(start(f, "tcp://127.0.0.1:0"), 0);
    for (uint64_t announced = 0; announced < 4; announced++) {
        OWN(closep) int fd = connect_raw(f);
        send_frame(fd, announced, "");
        assert_hung_up(fd);
    }
    assert_code(f, "{}", 400, "validation");
}

static void who_waits_and_hangs_up_is_told_of(void **state) {
    Fixture *f = *state;
    assert_int_equal(start(f, "tcp://127.0.0.1:0"), 0);
    static const char request[] = HELD_REQUEST;
    enum { COUNT = 20 };
    for (size_t i = 0; i < COUNT; i++) {
        OWN(closep) int fd = connect_raw(f);
        send_frame(fd, 4 + strlen(request), request);
        stub_await_held(f->service, i + 1);
    }
    stub_await_hung_up(f->service, COUNT);
    stub_release(f->service);
    rpc_flush(f->rpc, LONG_MS);
    assert_int_equal(stub_operations(f->service), 0);
}

static void a_client_gone_before_its_answer_harms_nobody(void **state) {
    Fixture *f = *state;
    assert_int_equal(start(f, "tcp://127.0.0.1:0"), 0);
    static const char request[] = HELD_REQUEST;
    for (size_t i = 0; i < 50; i++) {
        OWN(closep) int fd = connect_raw(f);
        send_frame(fd, 4 + strlen(request), request);
        stub_await_held(f->service, i + 1);
    }
    stub_release(f->service);
    assert_code(f, "{\"op\":\"requestStack\",\"auth\":\"wrong\"}", 401, "unauthenticated");
    rpc_flush(f->rpc, LONG_MS);
    assert_int_equal(stub_operations(f->service), 0);
}

/* --- many at once, over nng's own REQ --- */

typedef struct Caller {
    nng_ctx context;
    nng_aio *aio;
    bool is_receiving;
    size_t left, wrong;
    pthread_mutex_t *lock;
    pthread_cond_t *changed;
    size_t *running;
} Caller;

#define CALLER_REQUEST "{\"op\":\"requestStack\",\"auth\":\"" KEY "\",\"body\":{\"branch\":\"main\"}}"

static void caller_send(Caller *caller) {
    nng_msg *message = NULL;
    assert_int_equal(nng_msg_alloc(&message, 0), 0);
    assert_int_equal(nng_msg_append(message, CALLER_REQUEST, strlen(CALLER_REQUEST)), 0);
    caller->is_receiving = false;
    nng_aio_set_msg(caller->aio, message);
    nng_ctx_send(caller->context, caller->aio);
}

static void caller_step(void *argument) {
    Caller *caller = argument;
    bool is_over = nng_aio_result(caller->aio) != 0;
    if (!is_over && !caller->is_receiving) {
        caller->is_receiving = true;
        nng_ctx_recv(caller->context, caller->aio);
        return;
    }
    if (!is_over) {
        nng_msg *answer = nng_aio_get_msg(caller->aio);
        static const char begin[] = "{\"status\":200,\"body\":{\"operation\":\"requestStack\"";
        if (nng_msg_len(answer) < strlen(begin) || memcmp(nng_msg_body(answer), begin, strlen(begin)) != 0)
            caller->wrong++;
        nng_msg_free(answer);
        if (--caller->left > 0) {
            caller_send(caller);
            return;
        }
    }
    (void)pthread_mutex_lock(caller->lock);
    (*caller->running)--;
    (void)pthread_cond_signal(caller->changed);
    (void)pthread_mutex_unlock(caller->lock);
}

static void a_thousand_requests_over_64_contexts_are_all_answered(void **state) {
    Fixture *f = *state;
    assert_int_equal(start(f, "tcp://127.0.0.1:0"), 0);
    nng_socket socket;
    assert_int_equal(nng_req0_open(&socket), 0);
    assert_int_equal(nng_dial(socket, url_of(f), NULL, 0), 0);
    pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
    static Caller callers[64];
    size_t running = COUNT_OF(callers);
    for (size_t i = 0; i < COUNT_OF(callers); i++) {
        callers[i] =
            (Caller){.left = 1000 / COUNT_OF(callers) + 1, .lock = &lock, .changed = &changed, .running = &running};
        assert_int_equal(nng_ctx_open(&callers[i].context, socket), 0);
        assert_int_equal(nng_aio_alloc(&callers[i].aio, caller_step, &callers[i]), 0);
    }
    for (size_t i = 0; i < COUNT_OF(callers); i++)
        caller_send(&callers[i]);
    (void)pthread_mutex_lock(&lock);
    while (running > 0)
        (void)pthread_cond_wait(&changed, &lock);
    (void)pthread_mutex_unlock(&lock);
    for (size_t i = 0; i < COUNT_OF(callers); i++) {
        nng_aio_stop(callers[i].aio);
        assert_int_equal(callers[i].left, 0);
        assert_int_equal(callers[i].wrong, 0);
        nng_aio_free(callers[i].aio);
    }
    assert_int_equal(nng_close(socket), 0);
}

typedef struct Asker {
    const Fixture *f;
    int error;
    bool is_ok;
} Asker;

static void *ask_in_thread(void *argument) {
    Asker *asker = argument;
    OWN(buffer_deinit) Buffer answer;
    buffer_init(&answer, RPC_ANSWER_MAX);
    asker->error = ask_at(url_of(asker->f), HELD_REQUEST, &answer);
    asker->is_ok = asker->error == 0 && slice_starts_with(buffer_slice(&answer), "{\"status\":200,");
    return NULL;
}

static void held_operations_do_not_keep_others_from_being_read(void **state) {
    Fixture *f = *state;
    assert_int_equal(start(f, "tcp://127.0.0.1:0"), 0);
    pthread_t threads[40];
    Asker askers[COUNT_OF(threads)];
    for (size_t i = 0; i < COUNT_OF(threads); i++) {
        askers[i] = (Asker){.f = f};
        assert_int_equal(pthread_create(&threads[i], NULL, ask_in_thread, &askers[i]), 0);
    }
    stub_await_held(f->service, COUNT_OF(threads));
    assert_code(f, "{\"op\":\"requestStack\",\"auth\":\"wrong\"}", 401, "unauthenticated");
    stub_release(f->service);
    for (size_t i = 0; i < COUNT_OF(threads); i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
        assert_true(askers[i].is_ok);
    }
}

static void receive_answer(int fd) {
    unsigned char head[12];
    char body[4096];
    assert_int_equal(recv(fd, head, sizeof head, MSG_WAITALL), sizeof head);
    size_t len = (size_t)head[6] << 8 | head[7];
    assert_in_range(len, 5, sizeof body);
    assert_int_equal(head[8], 0x80);
    assert_int_equal(recv(fd, body, len - 4, MSG_WAITALL), (ssize_t)len - 4);
    static const char begin[] = "{\"status\":200,";
    assert_memory_equal(body, begin, strlen(begin));
}

static void requests_beyond_the_ceiling_wait_unread_and_none_is_lost(void **state) {
    Fixture *f = *state;
    assert_int_equal(start(f, "tcp://127.0.0.1:0"), 0);
    OWN(closep) int fd = connect_raw(f);
    static const char request[] = HELD_REQUEST;
    enum { BEYOND = 100 };
    for (size_t i = 0; i < RPC_CALLS_MAX + BEYOND; i++)
        send_frame(fd, 4 + strlen(request), request);
    stub_await_held(f->service, RPC_CALLS_MAX);
    assert_int_equal(stub_operations(f->service), RPC_CALLS_MAX);
    stub_release(f->service);
    stub_await_held(f->service, BEYOND);
    stub_release(f->service);
    for (size_t i = 0; i < RPC_CALLS_MAX + BEYOND; i++)
        receive_answer(fd);
    assert_code(f, "{}", 400, "validation");
}

static void the_trace_of_devices_comes_back_with_the_answer(void **state) {
    Fixture *f = *state;
    assert_int_equal(start(f, "tcp://127.0.0.1:0"), 0);
    OWN(closep) int fd = connect_raw(f);
    static const char request[] = CALLER_REQUEST;
    static const unsigned char trace[12] = {0, 0, 0, 1, 0x7f, 0xff, 0xff, 0xff, 0x80, 0, 0, 5};
    unsigned char head[8] = {0}, back[20];
    head[7] = (unsigned char)(sizeof trace + strlen(request));
    assert_int_equal(send(fd, head, sizeof head, MSG_NOSIGNAL), sizeof head);
    assert_int_equal(send(fd, trace, sizeof trace, MSG_NOSIGNAL), sizeof trace);
    assert_int_equal(send(fd, request, strlen(request), MSG_NOSIGNAL), (ssize_t)strlen(request));
    assert_int_equal(recv(fd, back, sizeof back, MSG_WAITALL), sizeof back);
    assert_memory_equal(back + 8, trace, sizeof trace);
}

static void a_trace_without_an_end_costs_its_connection_only(void **state) {
    Fixture *f = *state;
    assert_int_equal(start(f, "tcp://127.0.0.1:0"), 0);
    OWN(closep) int fd = connect_raw(f);
    unsigned char frame[8 + 100] = {0};
    frame[7] = 100;
    assert_int_equal(send(fd, frame, sizeof frame, MSG_NOSIGNAL), sizeof frame);
    assert_hung_up(fd);
    assert_code(f, "{}", 400, "validation");
}

static void who_speaks_another_protocol_is_hung_up_on(void **state) {
    Fixture *f = *state;
    assert_int_equal(start(f, "tcp://127.0.0.1:0"), 0);
    OWN(closep) int fd = connect_raw(f); /* a second hello is no frame: it announces a length beyond all bounds */
    static const char http[] = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";
    assert_int_equal(send(fd, http, strlen(http), MSG_NOSIGNAL), (ssize_t)strlen(http));
    assert_hung_up(fd);
    assert_code(f, "{}", 400, "validation");
}

/* --- coming to rest --- */

static void quiescing_answers_what_is_under_way_and_keeps_nobody_waiting(void **state) {
    Fixture *f = *state;
    assert_int_equal(start(f, "tcp://127.0.0.1:0"), 0);
    pthread_t thread;
    Asker asker = {.f = f};
    assert_int_equal(pthread_create(&thread, NULL, ask_in_thread, &asker), 0);
    stub_await_held(f->service, 1);
    rpc_quiesce(f->rpc);

    OWN(buffer_deinit) Buffer answer;
    buffer_init(&answer, RPC_ANSWER_MAX);
    int error = ask_at(url_of(f), "{\"op\":\"requestStack\",\"auth\":\"wrong\"}", &answer);
    assert_true(error == 0 || error == -ECONNRESET || error == -ECONNREFUSED); /* 0: it was faster than the refusal */

    stub_release(f->service);
    rpc_flush(f->rpc, LONG_MS);
    f->rpc = rpc_free(f->rpc);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_true(asker.is_ok);
}

static void flushing_an_idle_transport_does_not_wait(void **state) {
    Fixture *f = *state;
    assert_int_equal(start(f, "tcp://127.0.0.1:0"), 0);
    OWN(closep) int idle = connect_raw(f);
    int64_t before_ms = clock_boot_ms(clock_system());
    rpc_quiesce(f->rpc);
    rpc_flush(f->rpc, LONG_MS);
    assert_true(clock_boot_ms(clock_system()) - before_ms < 500);
}

/* --- where it may listen --- */

static void a_control_socket_is_for_owner_and_group_and_asks_for_no_key(void **state) {
    Fixture *f = *state;
    char url[256];
    in_folder(f, "control.sock", url);
    assert_int_equal(start_with(f, (RpcOptions){.is_control = true}, url), 0);
    struct stat status;
    assert_int_equal(stat(url + strlen("ipc://"), &status), 0);
    assert_int_equal(status.st_mode & 07777, 0660);
    assert_answer(f, "{\"op\":\"listProjects\"}",
                  "{\"status\":200,\"body\":{\"operation\":\"listProjects\",\"asked\":\"{}\"}}");
    f->rpc = rpc_free(f->rpc);
    assert_int_equal(access(url + strlen("ipc://"), F_OK), -1); /* it goes with its owner */
}

static void a_socket_file_that_a_crash_left_is_replaced(void **state) {
    Fixture *f = *state;
    char url[256];
    in_folder(f, "control.sock", url);
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    memcpy(address.sun_path, url + strlen("ipc://"), strlen(url + strlen("ipc://")) + 1);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
    closep(&fd);
    assert_int_equal(start_with(f, (RpcOptions){.is_control = true}, url), 0);
    assert_code(f, "{}", 400, "validation");
}

static void what_is_no_socket_is_left_alone(void **state) {
    Fixture *f = *state;
    char url[256];
    const char *path = in_folder(f, "precious", url) + strlen("ipc://");
    FILE *file = fopen(path, "w");
    (void)fputs("data", file);
    (void)fclose(file);
    assert_int_equal(start_with(f, (RpcOptions){.is_control = true}, url), -EEXIST);
    assert_non_null(strstr(f->reason, path));
    assert_int_equal(access(path, F_OK), 0);

    char link[256];
    const char *link_path = in_folder(f, "link", link) + strlen("ipc://");
    assert_int_equal(symlink(path, link_path), 0);
    assert_int_equal(start(f, link), -EEXIST);
    assert_int_equal(access(path, F_OK), 0);
}

static void a_path_too_long_for_a_socket_is_named(void **state) {
    Fixture *f = *state;
    char name[IPC_PATH_MAX + 1];
    memset(name, 'x', sizeof name - 1);
    name[sizeof name - 1] = '\0';
    char url[256];
    in_folder(f, name, url);
    assert_int_equal(start(f, url), -ENAMETOOLONG);
    assert_non_null(strstr(f->reason, "107"));
}

static void plain_tcp_beyond_this_machine_needs_the_word(void **state) {
    Fixture *f = *state;
    static const char *const urls[] = {"tcp://0.0.0.0:0", "tcp://*:0", "tcp://[::]:0", "tcp://:0"};
    for (size_t i = 0; i < COUNT_OF(urls); i++) {
        assert_int_equal(start(f, urls[i]), -EACCES);
        assert_non_null(strstr(f->reason, "--insecure-nng"));
    }
    assert_int_equal(start_with(f, (RpcOptions){.allow_insecure = true}, "tcp://0.0.0.0:0"), 0);
}

static void only_numbers_and_localhost_count_as_loopback(void **state) {
    (void)state;
    static const char *const near[] = {"tcp://127.0.0.1:1", "tcp://127.9.9.9:1", "tcp://[::1]:1", "tcp://localhost:1"};
    static const char *const far[] = {
        "tcp://127.example.com:1",       "tcp://10.0.0.1:1", "tcp://[::]:1", "tcp://*:1", "tcp://:1",
        "tcp://localhost.example.com:1", "127.0.0.1:1"};
    for (size_t i = 0; i < COUNT_OF(near); i++)
        assert_true(control_is_loopback(near[i]));
    for (size_t i = 0; i < COUNT_OF(far); i++)
        assert_false(control_is_loopback(far[i]));
}

static void other_transports_of_nng_are_not_offered(void **state) {
    Fixture *f = *state;
    static const char *const urls[] = {"inproc://x", "ws://127.0.0.1:0", "abstract://x", "nonsense", "ipc://relative"};
    for (size_t i = 0; i < COUNT_OF(urls); i++)
        assert_int_equal(start(f, urls[i]), -EINVAL);
}

static void an_address_in_use_is_named(void **state) {
    Fixture *f = *state;
    assert_int_equal(start(f, "tcp://127.0.0.1:0"), 0);
    char url[64];
    (void)snprintf(url, sizeof url, "%s", url_of(f));
    Fixture second = {.service = f->service};
    assert_int_equal(start(&second, url), -EADDRINUSE);
    assert_non_null(strstr(second.reason, url));
}

/* --- TLS --- */

static void write_file(const char *path, const char *text) {
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    (void)fputs(text, file);
    (void)fclose(file);
}

static void tls_serves_those_who_trust_its_certificate(void **state) {
    Fixture *f = *state;
    char certificate[256];
    char key[256];
    (void)snprintf(certificate, sizeof certificate, "%s/cert.pem", f->folder);
    (void)snprintf(key, sizeof key, "%s/key.pem", f->folder);
    write_file(certificate, test_certificate);
    write_file(key, test_certificate_key);
    RpcOptions options = {.certificate_path = certificate, .key_path = key};
    assert_int_equal(start_with(f, options, "tls+tcp://127.0.0.1:0"), 0);

    int port = 0;
    assert_int_equal(sscanf(url_of(f), "tls+tcp://127.0.0.1:%d", &port), 1);
    char url[64];
    (void)snprintf(url, sizeof url, "tls+tcp://localhost:%d", port);
    RpcTarget target = {.url = url, .ca_file = certificate, .answer_max = RPC_ANSWER_MAX};
    OWN(buffer_deinit) Buffer answer;
    buffer_init(&answer, RPC_ANSWER_MAX);
    OWN(buffer_deinit) Buffer reason;
    buffer_init(&reason, 1024);
    assert_int_equal(rpc_call(&target, slice_of(CALLER_REQUEST), LONG_MS, -1, &answer, &reason), 0);
    assert_true(slice_starts_with(buffer_slice(&answer), "{\"status\":200,"));
}

static void tls_without_a_usable_pair_is_refused(void **state) {
    Fixture *f = *state;
    assert_int_equal(start(f, "tls+tcp://127.0.0.1:0"), -EINVAL);
    assert_non_null(strstr(f->reason, "--tls-cert"));
    RpcOptions missing = {.certificate_path = "/nonexistent/cert.pem", .key_path = "/nonexistent/key.pem"};
    assert_int_equal(start_with(f, missing, "tls+tcp://127.0.0.1:0"), -ENOENT);
    char junk[256];
    (void)snprintf(junk, sizeof junk, "%s/junk.pem", f->folder);
    write_file(junk, "no certificate");
    RpcOptions wrong = {.certificate_path = junk, .key_path = junk};
    assert_int_equal(start_with(f, wrong, "tls+tcp://127.0.0.1:0"), -EINVAL);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(the_answer_is_the_services_body_in_an_envelope),
        TEST(an_absent_body_is_an_empty_object),
        TEST(what_is_no_operation_is_refused_by_name),
        TEST(nesting_is_counted_inside_the_envelope),
        TEST(what_the_service_refuses_at_once_is_answered),
        TEST(a_frame_that_announces_gigabytes_costs_its_connection_only),
        TEST(a_frame_too_short_for_its_header_costs_its_connection_only),
        TEST(who_waits_and_hangs_up_is_told_of),
        TEST(a_client_gone_before_its_answer_harms_nobody),
        TEST(a_thousand_requests_over_64_contexts_are_all_answered),
        TEST(held_operations_do_not_keep_others_from_being_read),
        TEST(requests_beyond_the_ceiling_wait_unread_and_none_is_lost),
        TEST(the_trace_of_devices_comes_back_with_the_answer),
        TEST(a_trace_without_an_end_costs_its_connection_only),
        TEST(who_speaks_another_protocol_is_hung_up_on),
        TEST(quiescing_answers_what_is_under_way_and_keeps_nobody_waiting),
        TEST(flushing_an_idle_transport_does_not_wait),
        TEST(a_control_socket_is_for_owner_and_group_and_asks_for_no_key),
        TEST(a_socket_file_that_a_crash_left_is_replaced),
        TEST(what_is_no_socket_is_left_alone),
        TEST(a_path_too_long_for_a_socket_is_named),
        TEST(plain_tcp_beyond_this_machine_needs_the_word),
        TEST(only_numbers_and_localhost_count_as_loopback),
        TEST(other_transports_of_nng_are_not_offered),
        TEST(an_address_in_use_is_named),
        TEST(tls_serves_those_who_trust_its_certificate),
        TEST(tls_without_a_usable_pair_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
