/* One nng call with a deadline: every way it can fail has its own error, comes in time, and tells no key to strangers. */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <cmocka.h>
#include <netinet/in.h>
#include <nng/nng.h>
#include <nng/protocol/reqrep0/rep.h>
#include <nng/supplemental/tls/tls.h>

#include "base/clock.h"
#include "client/rpc_client.h"
#include "unit/test_certificate.h"

#define LONG_MS 30000 /* a deadline that only a bug reaches */
#define SHORT_MS 100
#define REQUEST "the request, with its key"

/* --- calls --- */

typedef struct Result {
    int error;
    Buffer answer, reason;
} Result;

static void result_deinit(Result *result) {
    buffer_deinit(&result->answer);
    buffer_deinit(&result->reason);
}

static Result call_target(RpcTarget target, int64_t timeout_ms, int cancel_fd) {
    Result result;
    buffer_init(&result.answer, 1 << 20);
    buffer_init(&result.reason, 1024);
    if (target.answer_max == 0)
        target.answer_max = 1000;
    Slice request = SLICE_LITERAL(REQUEST);
    result.error = rpc_call(&target, request, timeout_ms, cancel_fd, &result.answer, &result.reason);
    if (result.error != 0) {
        assert_int_equal(result.answer.len, 0);
        assert_true(slice_starts_with(buffer_slice(&result.reason), target.url));
    }
    return result;
}

static void assert_call_fails(const char *url, int64_t timeout_ms, int expected) {
    OWN(result_deinit) Result result = call_target((RpcTarget){.url = url}, timeout_ms, -1);
    assert_int_equal(result.error, expected);
}

/* --- a REP socket that answers what it was asked --- */

typedef struct Echo {
    nng_socket socket;
    pthread_t thread;
    char url[160];
} Echo;

static void *run_echo(void *argument) {
    const Echo *echo = argument;
    nng_msg *message = NULL;
    while (nng_recvmsg(echo->socket, &message, 0) == 0) {
        if (nng_sendmsg(echo->socket, message, 0) != 0)
            nng_msg_free(message);
    }
    return NULL;
}

static void echo_start(Echo *echo, const char *url, bool is_tls) {
    nng_listener listener;
    assert_int_equal(nng_rep0_open(&echo->socket), 0);
    assert_int_equal(nng_listener_create(&listener, echo->socket, url), 0);
    if (is_tls) {
        nng_tls_config *config = NULL;
        assert_int_equal(nng_tls_config_alloc(&config, NNG_TLS_MODE_SERVER), 0);
        assert_int_equal(nng_tls_config_own_cert(config, test_certificate, test_certificate_key, NULL), 0);
        assert_int_equal(nng_listener_set_ptr(listener, NNG_OPT_TLS_CONFIG, config), 0);
        nng_tls_config_free(config);
    }
    assert_int_equal(nng_listener_start(listener, 0), 0);
    char *bound = NULL;
    assert_int_equal(nng_listener_get_string(listener, NNG_OPT_URL, &bound), 0);
    (void)snprintf(echo->url, sizeof echo->url, "%s", bound);
    nng_strfree(bound);
    assert_int_equal(pthread_create(&echo->thread, NULL, run_echo, echo), 0);
}

static void echo_stop(Echo *echo) {
    assert_int_equal(nng_close(echo->socket), 0);
    assert_int_equal(pthread_join(echo->thread, NULL), 0);
}

static void assert_echoed(const char *url) {
    OWN(result_deinit) Result result = call_target((RpcTarget){.url = url}, LONG_MS, -1);
    assert_int_equal(result.error, 0);
    assert_string_equal(buffer_text(&result.answer), REQUEST);
    assert_int_equal(result.reason.len, 0);
}

static void a_rep_socket_answers_over_tcp_and_ipc(void **state) {
    (void)state;
    char folder[] = "/tmp/test_rpc_client.XXXXXX";
    assert_non_null(mkdtemp(folder));
    char ipc[64];
    (void)snprintf(ipc, sizeof ipc, "ipc://%s/s", folder);
    const char *const urls[] = {"tcp://127.0.0.1:0", ipc};
    for (size_t i = 0; i < COUNT_OF(urls); i++) {
        Echo echo;
        echo_start(&echo, urls[i], false);
        assert_echoed(echo.url);
        assert_echoed(echo.url);
        echo_stop(&echo);
    }
    assert_int_equal(rmdir(folder), 0);
}

/* --- peers of any behaviour --- */

typedef struct Peer Peer;
typedef void Behaviour(Peer *peer, int fd);
struct Peer {
    int listener;
    pthread_t thread;
    Behaviour *behaviour;
    uint64_t announced; /* for those that announce a length */
    char url[64];
    char heard[256]; /* after the header */
    size_t heard_len;
};

static void *run_peer(void *argument) {
    Peer *peer = argument;
    OWN(closep) int fd = accept(peer->listener, NULL, NULL);
    if (fd >= 0)
        peer->behaviour(peer, fd);
    return NULL;
}

static void peer_start(Peer *peer, Behaviour *behaviour) {
    struct sockaddr_in address = {.sin_family = AF_INET};
    socklen_t size = sizeof address;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    peer->behaviour = behaviour;
    peer->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(peer->listener, (struct sockaddr *)&address, size), 0);
    assert_int_equal(listen(peer->listener, 1), 0);
    assert_int_equal(getsockname(peer->listener, (struct sockaddr *)&address, &size), 0);
    (void)snprintf(peer->url, sizeof peer->url, "tcp://127.0.0.1:%d", ntohs(address.sin_port));
    assert_int_equal(pthread_create(&peer->thread, NULL, run_peer, peer), 0);
}

static void peer_stop(Peer *peer) {
    assert_int_equal(pthread_join(peer->thread, NULL), 0);
    closep(&peer->listener);
}

static void read_away(int fd) {
    char piece[256];
    while (recv(fd, piece, sizeof piece, 0) > 0)
        ;
}

static void shake_hands(int fd) {
    char header[8];
    static const unsigned char rep[8] = {0, 'S', 'P', 0, 0, 0x31, 0, 0};
    (void)recv(fd, header, sizeof header, MSG_WAITALL);
    (void)send(fd, rep, sizeof rep, MSG_NOSIGNAL);
}

static void say_nothing(Peer *peer, int fd) {
    (void)peer;
    read_away(fd);
}

static void speak_http(Peer *peer, int fd) {
    char header[8];
    (void)recv(fd, header, sizeof header, MSG_WAITALL);
    static const char answer[] = "HTTP/1.1 400 Bad Request\r\n\r\n";
    (void)send(fd, answer, strlen(answer), MSG_NOSIGNAL);
    ssize_t len = 0;
    while ((len = recv(fd, peer->heard, sizeof peer->heard, 0)) > 0)
        peer->heard_len += (size_t)len;
}

static void hang_up_when_asked(Peer *peer, int fd) {
    (void)peer;
    char request[12 + sizeof REQUEST - 1];
    shake_hands(fd);
    (void)recv(fd, request, sizeof request, MSG_WAITALL);
}

static void never_answer(Peer *peer, int fd) {
    (void)peer;
    shake_hands(fd);
    read_away(fd);
}

static void announce(Peer *peer, int fd) {
    char request[12 + sizeof REQUEST - 1];
    shake_hands(fd);
    (void)recv(fd, request, sizeof request, MSG_WAITALL);
    unsigned char frame[16];
    for (int i = 0; i < 8; i++)
        frame[i] = (unsigned char)(peer->announced >> (56 - 8 * i));
    memcpy(frame + 8, request + 8, 4);
    memcpy(frame + 12, "some", 4);
    (void)send(fd, frame, sizeof frame, MSG_NOSIGNAL);
    read_away(fd);
}

static void answer_somebody_else(Peer *peer, int fd) {
    (void)peer;
    char request[12 + sizeof REQUEST - 1];
    shake_hands(fd);
    (void)recv(fd, request, sizeof request, MSG_WAITALL);
    static const unsigned char frame[16] = {0, 0, 0, 0, 0, 0, 0, 8, 0x80, 1, 2, 3, 's', 'o', 'm', 'e'};
    (void)send(fd, frame, sizeof frame, MSG_NOSIGNAL);
    read_away(fd);
}

static void assert_against(Behaviour *behaviour, int64_t timeout_ms, int expected) {
    Peer peer = {0};
    peer_start(&peer, behaviour);
    assert_call_fails(peer.url, timeout_ms, expected);
    peer_stop(&peer);
}

static void a_peer_that_is_no_rep_socket_hears_no_request(void **state) {
    (void)state;
    Peer peer = {0};
    peer_start(&peer, speak_http);
    assert_call_fails(peer.url, LONG_MS, -EPROTO);
    peer_stop(&peer);
    assert_int_equal(peer.heard_len, 0);
}

static void silence_ends_at_the_deadline(void **state) {
    (void)state;
    assert_against(say_nothing, SHORT_MS, -ETIMEDOUT);
    int64_t before_ms = clock_boot_ms(clock_system());
    assert_against(never_answer, SHORT_MS, -ETIMEDOUT);
    int64_t took_ms = clock_boot_ms(clock_system()) - before_ms;
    assert_true(took_ms >= SHORT_MS - 1 && took_ms < LONG_MS / 2);
}

static void a_deadline_that_is_over_asks_nobody(void **state) {
    (void)state;
    assert_call_fails("tcp://127.0.0.1:1", 0, -ETIMEDOUT);
}

static void a_lost_connection_is_told(void **state) {
    (void)state;
    assert_against(hang_up_when_asked, LONG_MS, -ECONNRESET);
}

static void an_answer_too_long_is_told_and_not_allocated(void **state) {
    (void)state;
    static const uint64_t announced[] = {4 + 1001, UINT64_C(1) << 40, UINT64_MAX};
    for (size_t i = 0; i < COUNT_OF(announced); i++) {
        Peer peer = {.announced = announced[i]};
        peer_start(&peer, announce);
        assert_call_fails(peer.url, LONG_MS, -EMSGSIZE);
        peer_stop(&peer);
    }
}

static void an_answer_cut_short_leaves_no_part_of_it(void **state) {
    (void)state;
    Peer peer = {.announced = 4 + 100};
    peer_start(&peer, announce);
    assert_call_fails(peer.url, SHORT_MS, -ETIMEDOUT);
    peer_stop(&peer);
}

static void an_answer_to_something_else_is_refused(void **state) {
    (void)state;
    assert_against(answer_somebody_else, LONG_MS, -EPROTO);
    Peer peer = {.announced = 3}; /* too short for the number of a request */
    peer_start(&peer, announce);
    assert_call_fails(peer.url, LONG_MS, -EPROTO);
    peer_stop(&peer);
}

static void a_readable_cancel_fd_gives_up(void **state) {
    (void)state;
    Peer peer = {0};
    peer_start(&peer, never_answer);
    OWN(closep) int cancel_fd = eventfd(1, EFD_CLOEXEC);
    OWN(result_deinit) Result result = call_target((RpcTarget){.url = peer.url}, LONG_MS, cancel_fd);
    assert_int_equal(result.error, -ECANCELED);
    (void)shutdown(peer.listener, SHUT_RDWR); /* it may not even have connected */
    peer_stop(&peer);
}

/* --- nobody there --- */

static void nobody_there_is_told_at_once(void **state) {
    (void)state;
    OWN(closep) int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in address = {.sin_family = AF_INET};
    socklen_t size = sizeof address;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, size), 0); /* taken, and nobody listens */
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &size), 0);
    char url[64];
    (void)snprintf(url, sizeof url, "tcp://127.0.0.1:%d", ntohs(address.sin_port));
    assert_call_fails(url, LONG_MS, -ECONNREFUSED);
}

static void an_ipc_path_without_a_socket_differs_from_a_dead_one(void **state) {
    (void)state;
    char folder[] = "/tmp/test_rpc_client.XXXXXX";
    assert_non_null(mkdtemp(folder));
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    (void)snprintf(address.sun_path, sizeof address.sun_path, "%s/dead", folder);
    char url[160];
    (void)snprintf(url, sizeof url, "ipc://%s", address.sun_path);
    assert_call_fails(url, LONG_MS, -ENOENT);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
    closep(&fd);
    assert_call_fails(url, LONG_MS, -ECONNREFUSED);
    assert_int_equal(unlink(address.sun_path), 0);
    assert_int_equal(rmdir(folder), 0);
}

static void an_ipc_socket_of_others_is_told_as_such(void **state) {
    (void)state;
    enum { NOBODY = 65534 };
    uid_t user = geteuid();
    char folder[] = "/tmp/test_rpc_client.XXXXXX";
    assert_non_null(mkdtemp(folder));
    assert_int_equal(chmod(folder, 0755), 0);
    char url[64];
    (void)snprintf(url, sizeof url, "ipc://%s/s", folder);
    Echo echo;
    echo_start(&echo, url, false);
    assert_int_equal(chmod(url + strlen("ipc://"), 0), 0);
    if (user == 0)
        assert_int_equal(seteuid(NOBODY), 0); /* root may open everything */
    assert_call_fails(url, LONG_MS, -EACCES);
    assert_int_equal(seteuid(user), 0);
    echo_stop(&echo);
    assert_int_equal(rmdir(folder), 0);
}

static void what_is_no_url_of_ours_is_refused(void **state) {
    (void)state;
    static const char *const urls[] = {"", "nonsense", "http://127.0.0.1:1", "inproc://x", "tcp:/127.0.0.1"};
    for (size_t i = 0; i < COUNT_OF(urls); i++)
        assert_call_fails(urls[i], LONG_MS, -EINVAL);
}

/* --- TLS --- */

static void tls_is_spoken_only_to_whom_the_roots_vouch_for(void **state) {
    (void)state;
    Echo echo;
    echo_start(&echo, "tls+tcp://127.0.0.1:0", true);
    int port = 0;
    assert_int_equal(sscanf(echo.url, "tls+tcp://127.0.0.1:%d", &port), 1);
    char right[64];
    char wrong[64];
    (void)snprintf(right, sizeof right, "tls+tcp://localhost:%d", port);
    (void)snprintf(wrong, sizeof wrong, "tls+tcp://127.0.0.2:%d", port);

    OWN(result_deinit) Result trusted = call_target((RpcTarget){.url = right, .ca_pem = test_certificate}, LONG_MS, -1);
    assert_int_equal(trusted.error, 0);
    assert_string_equal(buffer_text(&trusted.answer), REQUEST);

    OWN(result_deinit) Result no_roots = call_target((RpcTarget){.url = right}, LONG_MS, -1);
    assert_int_equal(no_roots.error, -EPROTO);
    OWN(result_deinit)
    Result no_file = call_target((RpcTarget){.url = right, .ca_file = "/nonexistent/ca.pem"}, LONG_MS, -1);
    assert_int_equal(no_file.error, -EPROTO);
    OWN(result_deinit) Result no_pem = call_target((RpcTarget){.url = right, .ca_pem = "junk"}, LONG_MS, -1);
    assert_int_equal(no_pem.error, -EPROTO);
    echo_stop(&echo);

    echo_start(&echo, "tls+tcp://0.0.0.0:0", true);
    assert_int_equal(sscanf(echo.url, "tls+tcp://0.0.0.0:%d", &port), 1);
    (void)snprintf(wrong, sizeof wrong, "tls+tcp://127.0.0.2:%d", port);
    OWN(result_deinit)
    Result misnamed = call_target((RpcTarget){.url = wrong, .ca_pem = test_certificate}, LONG_MS, -1);
    assert_int_equal(misnamed.error, -EPROTO);
    echo_stop(&echo);
}

static void tls_to_a_plain_listener_fails_and_tells_nothing(void **state) {
    (void)state;
    Peer peer = {0};
    peer_start(&peer, speak_http);
    char url[80];
    (void)snprintf(url, sizeof url, "tls+%s", peer.url);
    OWN(result_deinit) Result result = call_target((RpcTarget){.url = url, .ca_pem = test_certificate}, LONG_MS, -1);
    assert_int_equal(result.error, -EPROTO);
    peer_stop(&peer);
    assert_null(memmem(peer.heard, sizeof peer.heard, REQUEST, strlen(REQUEST)));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_rep_socket_answers_over_tcp_and_ipc),
        cmocka_unit_test(a_peer_that_is_no_rep_socket_hears_no_request),
        cmocka_unit_test(silence_ends_at_the_deadline),
        cmocka_unit_test(a_deadline_that_is_over_asks_nobody),
        cmocka_unit_test(a_lost_connection_is_told),
        cmocka_unit_test(an_answer_too_long_is_told_and_not_allocated),
        cmocka_unit_test(an_answer_cut_short_leaves_no_part_of_it),
        cmocka_unit_test(an_answer_to_something_else_is_refused),
        cmocka_unit_test(a_readable_cancel_fd_gives_up),
        cmocka_unit_test(nobody_there_is_told_at_once),
        cmocka_unit_test(an_ipc_path_without_a_socket_differs_from_a_dead_one),
        cmocka_unit_test(an_ipc_socket_of_others_is_told_as_such),
        cmocka_unit_test(what_is_no_url_of_ours_is_refused),
        cmocka_unit_test(tls_is_spoken_only_to_whom_the_roots_vouch_for),
        cmocka_unit_test(tls_to_a_plain_listener_fails_and_tells_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
