/* The HTTP transport alone, over real sockets, against a service that echoes (stub_service.h). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/json_guard.h"
#include "base/limits.h"
#include "bench/http_load.h"
#include "http/context.h"
#include "unit/stub_service.h"

#define PATIENCE_MS 20000 /* no answer for so long fails a test */

/* ---- the world ---- */

typedef struct World {
    Service *service;
    Http *http;
    Logger log;
    char folder[64]; /* temporary; "" until made */
} World;

static const HttpLimits usual_limits = {.request_ms = 30000,
                                        .idle_ms = 30000,
                                        .answer_ms = 30000,
                                        .tick_ms = 1000,
                                        .settled_ms = 1000,
                                        .pause_ms = 20,
                                        .crowd = 1000};

static int begin(void **state) {
    World *world = calloc(1, sizeof *world);
    assert_non_null(world);
    world->log = (Logger){.fd = -1, .level = LOG_ERROR, .clock = clock_system(), .name = "test"};
    world->service = stub_service_new();
    *state = world;
    return 0;
}

static int end(void **state) {
    World *world = *state;
    stub_release(world->service);
    if (world->http != NULL) {
        http_quiesce(world->http);
        http_flush(world->http, PATIENCE_MS);
    }
    world->http = http_free(world->http);
    stub_service_free(world->service);
    if (world->folder[0] != '\0') {
        char command[128];
        (void)snprintf(command, sizeof command, "rm -r '%s'", world->folder);
        assert_int_equal(system(command), 0);
    }
    free(world);
    return 0;
}

static void serve_with(World *world, HttpOptions options, const HttpLimits *limits) {
    Buffer reason;
    buffer_init(&reason, 1024);
    options.service = world->service;
    options.log = &world->log;
    if (options.address == NULL)
        options.address = "127.0.0.1:0";
    if (http_new_limited(&world->http, &options, limits, &reason) != 0)
        fail_msg("%s", buffer_text(&reason));
    buffer_deinit(&reason);
}

static void serve(World *world) {
    serve_with(world, (HttpOptions){0}, &usual_limits);
}

static void make_folder(World *world) {
    (void)snprintf(world->folder, sizeof world->folder, "/tmp/test_http.XXXXXX");
    assert_non_null(mkdtemp(world->folder));
}

static void write_file(const World *world, const char *name, const char *text) {
    char path[128];
    (void)snprintf(path, sizeof path, "%s/%s", world->folder, name);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

/* ---- a client ---- */

static uint16_t port_of(const World *world) {
    return (uint16_t)atoi(strrchr(http_address(world->http), ':') + 1);
}

/* -1: refused. */
static int try_dial(const World *world) {
    struct sockaddr_in peer = {.sin_family = AF_INET, .sin_port = htons(port_of(world))};
    peer.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    if (connect(fd, (struct sockaddr *)&peer, sizeof peer) == 0)
        return fd;
    (void)close(fd);
    return -1;
}

static int dial(const World *world) {
    int fd = try_dial(world);
    assert_true(fd >= 0);
    return fd;
}

static void say_bytes(int fd, const char *bytes, size_t len) {
    while (len > 0) {
        ssize_t sent = send(fd, bytes, len, MSG_NOSIGNAL);
        if (sent <= 0)
            return; /* the server closed first: what it answered is what counts */
        bytes += sent;
        len -= (size_t)sent;
    }
}

static void say(int fd, const char *text) {
    say_bytes(fd, text, strlen(text));
}

typedef struct Heard {
    int status; /* 0: the connection ended before an answer */
    char head[8192];
    char *body;
    size_t body_len;
} Heard;

static bool is_readable(int fd, int ms) {
    struct pollfd watched = {.fd = fd, .events = POLLIN};
    return poll(&watched, 1, ms) == 1;
}

/* One answer. `is_head`: a HEAD's, whose length is not that of bytes to come. */
static void hear_as(int fd, Heard *heard, bool is_head) {
    *heard = (Heard){0};
    size_t len = 0;
    while (len < 4 || memcmp(heard->head + len - 4, "\r\n\r\n", 4) != 0) {
        assert_true(len + 1 < sizeof heard->head);
        if (!is_readable(fd, PATIENCE_MS))
            fail_msg("no answer; so far: %s", heard->head);
        if (recv(fd, heard->head + len, 1, 0) != 1)
            return;
        len++;
    }
    heard->status = atoi(heard->head + 9);
    const char *length = strcasestr(heard->head, "\r\nContent-Length:");
    heard->body_len = length != NULL && !is_head ? (size_t)atol(length + 17) : 0;
    heard->body = calloc(1, heard->body_len + 1);
    assert_non_null(heard->body);
    for (size_t got = 0; got < heard->body_len;) {
        assert_true(is_readable(fd, PATIENCE_MS));
        ssize_t more = recv(fd, heard->body + got, heard->body_len - got, 0);
        assert_true(more > 0);
        got += (size_t)more;
    }
}

static void hear(int fd, Heard *heard) {
    hear_as(fd, heard, false);
}

static void forget(Heard *heard) {
    free(heard->body);
    heard->body = NULL;
}

static bool has_field(const Heard *heard, const char *field) {
    char line[256];
    (void)snprintf(line, sizeof line, "\r\n%s\r\n", field);
    return strcasestr(heard->head, line) != NULL;
}

/* The server has closed: nothing more comes, within patience. */
static void assert_closed(int fd) {
    char rest[256];
    assert_true(is_readable(fd, PATIENCE_MS));
    ssize_t len = recv(fd, rest, sizeof rest - 1, 0);
    if (len > 0) {
        rest[len] = '\0';
        fail_msg("the connection should be closed, but this came: %s", rest);
    }
    (void)close(fd);
}

/* Everything up to the end of the connection holds a refusal and nothing else. libmicrohttpd 0.9.75 writes the head of
 * some of its own error pages twice, so the answers are not counted. */
static void expect_refused_and_closed(int fd, const char *request) {
    char all[8192];
    size_t len = 0;
    say(fd, request);
    for (ssize_t got = 1; got > 0 && len < sizeof all - 1; len += (size_t)(got > 0 ? got : 0)) {
        if (!is_readable(fd, PATIENCE_MS))
            fail_msg("the connection stays open after: %s", request);
        got = recv(fd, all + len, sizeof all - 1 - len, 0);
    }
    all[len] = '\0';
    (void)close(fd);
    static const char start[] = "HTTP/1.1 ";
    for (const char *at = strstr(all, start); at != NULL; at = strstr(at + 1, start)) {
        int status = atoi(at + strlen(start)); /* 0: the text of a page */
        if ((status != 0 && status < 400) || status == 401)
            fail_msg("%d for: %s", status, request);
    }
}

static void expect(int fd, const char *request, int status, const char *in_body) {
    Heard heard;
    say(fd, request);
    hear(fd, &heard);
    if (heard.status != status)
        fail_msg("%d instead of %d for: %s", heard.status, status, request);
    if (in_body != NULL && strstr(heard.body, in_body) == NULL)
        fail_msg("no %s in %s", in_body, heard.body);
    forget(&heard);
}

#define AUTH "Host: x\r\nX-API-Key: good\r\n"
static const char plain_post[] = "POST /requestStack HTTP/1.1\r\n" AUTH "Content-Length: 2\r\n\r\n{}";
static const char health[] = "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n";

/* ---- connections and methods ---- */

static void keep_alive_serves_one_request_after_another(void **state) {
    World *world = *state;
    serve(world);
    int fd = dial(world);
    for (int i = 0; i < 100; i++) {
        expect(fd, plain_post, 200, "{\"operation\":\"requestStack\",\"asked\":\"{}\"}");
        expect(fd, "GET /listStacks HTTP/1.1\r\n" AUTH "\r\n", 200, "\"asked\":\"{}\"");
    }
    (void)close(fd);
}

static void pipelined_requests_are_answered_in_order(void **state) {
    World *world = *state;
    serve(world);
    int fd = dial(world);
    enum { COUNT = 50 };
    for (int i = 0; i < COUNT; i++) {
        char request[256];
        (void)snprintf(request, sizeof request, "POST /%s HTTP/1.1\r\n" AUTH "Content-Length: 4\r\n\r\n%04d",
                       i % 2 == 0 ? "releaseStack" : "requestStack", i);
        say(fd, request);
    }
    for (int i = 0; i < COUNT; i++) {
        Heard heard;
        char number[8];
        (void)snprintf(number, sizeof number, "%04d", i);
        hear(fd, &heard);
        assert_int_equal(heard.status, 200);
        assert_non_null(strstr(heard.body, number));
        forget(&heard);
    }
    (void)close(fd);
}

static void head_is_get_without_the_body(void **state) {
    World *world = *state;
    serve(world);
    int fd = dial(world);
    static const char *const paths[] = {"listStacks", "healthz", "openapi.json", "nothing"};
    for (size_t i = 0; i < COUNT_OF(paths); i++) {
        char request[128];
        Heard get, head;
        (void)snprintf(request, sizeof request, "GET /%s HTTP/1.1\r\n" AUTH "\r\n", paths[i]);
        say(fd, request);
        hear(fd, &get);
        (void)snprintf(request, sizeof request, "HEAD /%s HTTP/1.1\r\n" AUTH "\r\n", paths[i]);
        say(fd, request);
        hear_as(fd, &head, true);
        assert_int_equal(get.status, head.status);
        char length[64];
        (void)snprintf(length, sizeof length, "Content-Length: %zu", get.body_len);
        assert_true(has_field(&head, length));
        forget(&get);
        forget(&head);
    }
    expect(fd, health, 200, "ok");
    (void)close(fd);
}

static void other_methods_are_refused_and_the_right_ones_named(void **state) {
    World *world = *state;
    serve(world);
    int fd = dial(world);
    static const struct {
        const char *line, *allow;
    } cases[] = {
        {"GET /requestStack", "Allow: POST"},     {"HEAD /requestStack", "Allow: POST"},
        {"POST /listStacks", "Allow: GET, HEAD"}, {"OPTIONS /requestStack", "Allow: POST"},
        {"DELETE /healthz", "Allow: GET, HEAD"},  {"POST /agent/linux-x86_64", "Allow: GET, HEAD"},
        {"PUT /listStacks", "Allow: GET, HEAD"},  {"NONSENSE /listStacks", "Allow: GET, HEAD"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        char request[256];
        Heard heard;
        bool is_head = strncmp(cases[i].line, "HEAD", 4) == 0;
        (void)snprintf(request, sizeof request, "%s HTTP/1.1\r\n" AUTH "Content-Length: 2\r\n\r\n{}", cases[i].line);
        say(fd, request);
        hear_as(fd, &heard, is_head);
        assert_int_equal(heard.status, 405);
        assert_true(has_field(&heard, cases[i].allow));
        assert_true(has_field(&heard, "Content-Type: application/problem+json"));
        assert_true(is_head || strstr(heard.body, "method-not-allowed") != NULL);
        forget(&heard);
    }
    (void)close(fd);
}

static void what_is_not_there_is_a_problem_of_its_own(void **state) {
    World *world = *state;
    serve(world);
    int fd = dial(world);
    static const char *const targets[] = {
        "/",       "/requestStack/", "/requeststack",  "/%72equestStack", "/healthz%00", "/requestStack%00", "*",
        "/a?b=/c", "//healthz",      "/createProject", "/listKeys",       "/backup",     "/../healthz",      "http://x",
    };
    for (size_t i = 0; i < COUNT_OF(targets); i++) {
        char request[256];
        Heard heard;
        (void)snprintf(request, sizeof request, "POST %s HTTP/1.1\r\n" AUTH "Content-Length: 2\r\n\r\n{}", targets[i]);
        say(fd, request);
        hear(fd, &heard);
        if (heard.status != 404)
            fail_msg("%d for %s", heard.status, targets[i]);
        assert_true(has_field(&heard, "Content-Type: application/problem+json"));
        assert_non_null(strstr(heard.body, "\"unknown-operation\""));
        forget(&heard);
    }
    expect(fd, "GET http://somewhere:80/healthz HTTP/1.1\r\nHost: somewhere\r\n\r\n", 200, "ok");
    (void)close(fd);
}

static void http_1_0_keeps_the_connection_only_when_asked(void **state) {
    World *world = *state;
    serve(world);
    int fd = dial(world);
    expect(fd, "GET /healthz HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", 200, "ok");
    expect(fd, "GET /healthz HTTP/1.0\r\n\r\n", 200, "ok");
    assert_closed(fd);
    fd = dial(world);
    expect(fd, "GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", 200, "ok");
    assert_closed(fd);
}

/* ---- bodies ---- */

/* "POST /requestStack" with `len` bytes of body. malloc'd. */
static char *post_of(size_t len) {
    char *request = malloc(len + 256);
    assert_non_null(request);
    int head = sprintf(request, "POST /requestStack HTTP/1.1\r\n" AUTH "Content-Length: %zu\r\n\r\n", len);
    memset(request + head, 'b', len);
    request[(size_t)head + len] = '\0';
    return request;
}

static void a_body_may_be_as_long_as_the_ceiling(void **state) {
    World *world = *state;
    serve(world);
    int fd = dial(world);
    static const size_t sizes[] = {0, 1, 4096, 6143, 6144, 6145, BODY_MAX - 1, BODY_MAX};
    for (size_t i = 0; i < COUNT_OF(sizes); i++) {
        Heard heard;
        char *request = post_of(sizes[i]);
        say(fd, request);
        hear(fd, &heard);
        assert_int_equal(heard.status, 200);
        assert_int_equal(heard.body_len, sizes[i] + strlen("{\"operation\":\"requestStack\",\"asked\":\"\"}"));
        forget(&heard);
        free(request);
    }
    (void)close(fd);
}

static void a_longer_body_is_refused_before_it_is_sent(void **state) {
    World *world = *state;
    serve(world);
    static const char *const lengths[] = {"65537",
                                          "1000000000",
                                          "9223372036854775807",
                                          "18446744073709551615",
                                          "18446744073709551616",
                                          "99999999999999999999999"};
    for (size_t i = 0; i < COUNT_OF(lengths); i++) {
        int fd = dial(world);
        char request[256];
        (void)snprintf(request, sizeof request, "POST /requestStack HTTP/1.1\r\n" AUTH "Content-Length: %s\r\n\r\n",
                       lengths[i]);
        expect_refused_and_closed(fd, request);
    }
    int fd = dial(world);
    expect(fd, "POST /requestStack HTTP/1.1\r\n" AUTH "Content-Length: 65537\r\n\r\n", 413, "\"too-large\"");
    assert_closed(fd);
}

static void chunks_are_put_together(void **state) {
    World *world = *state;
    serve(world);
    int fd = dial(world);
    say(fd, "POST /requestStack HTTP/1.1\r\n" AUTH "Transfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n");
    expect(fd, "6\r\nsecond\r\n0\r\nTrailer-Field: x\r\n\r\n", 200, "\"asked\":\"firstsecond\"");
    expect(fd, "POST /requestStack HTTP/1.1\r\n" AUTH "Transfer-Encoding: Chunked\r\n\r\n0\r\n\r\n", 200,
           "\"asked\":\"\"");
    expect(fd, health, 200, "ok");
    (void)close(fd);
}

static void chunks_beyond_the_ceiling_are_read_away_then_refused(void **state) {
    World *world = *state;
    serve(world);
    int fd = dial(world);
    say(fd, "POST /requestStack HTTP/1.1\r\n" AUTH "Transfer-Encoding: chunked\r\n\r\n");
    char chunk[0x1000 + 16];
    int head = sprintf(chunk, "1000\r\n");
    memset(chunk + head, 'c', 0x1000);
    memcpy(chunk + head + 0x1000, "\r\n", 3);
    for (int i = 0; i < 17; i++)
        say(fd, chunk);
    expect(fd, "0\r\n\r\n", 413, "too-large");
    expect(fd, health, 200, "ok");

    say(fd, "POST /requestStack HTTP/1.1\r\n" AUTH "Transfer-Encoding: chunked\r\n\r\n");
    for (int i = 0; i < 300; i++)
        say(fd, chunk);
    assert_closed(fd); /* there is an end to that, too */
}

/* What is answered now comes after all that ended before. */
static void assert_no_operation_is_left(World *world) {
    int fd = dial(world);
    expect(fd, health, 200, "ok");
    (void)close(fd);
    assert_int_equal(stub_operations(world->service), 0);
}

static void a_body_that_breaks_off_leaves_nothing(void **state) {
    World *world = *state;
    serve(world);
    int fd = dial(world);
    say(fd, "POST /requestStack HTTP/1.1\r\n" AUTH "Content-Length: 100\r\n\r\n{\"branch\":");
    (void)shutdown(fd, SHUT_WR);
    assert_closed(fd);
    fd = dial(world);
    say(fd, "POST /requestStack HTTP/1.1\r\n" AUTH "Transfer-Encoding: chunked\r\n\r\n5\r\nab");
    (void)shutdown(fd, SHUT_WR);
    assert_closed(fd);
    assert_no_operation_is_left(world);
}

static void expect_100_continue_is_honoured(void **state) {
    World *world = *state;
    serve(world);
    int fd = dial(world);
    Heard heard;
    say(fd, "POST /requestStack HTTP/1.1\r\n" AUTH "Content-Length: 2\r\nExpect: 100-continue\r\n\r\n");
    hear(fd, &heard);
    assert_int_equal(heard.status, 100);
    forget(&heard);
    expect(fd, "{}", 200, "\"asked\":\"{}\"");
    expect(fd, "POST /requestStack HTTP/1.1\r\n" AUTH "Content-Length: 70000\r\nExpect: 100-continue\r\n\r\n", 413,
           "too-large");
    assert_closed(fd);
}

/* ---- requests two readers could understand differently ---- */

static void ambiguous_requests_are_refused_and_the_connection_closed(void **state) {
    World *world = *state;
    serve(world);
#define START "POST /requestStack HTTP/1.1\r\n" AUTH
#define SMUGGLED "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
    static const char *const requests[] = {
        START "Content-Length: 2\r\nContent-Length: 2\r\n\r\n{}" SMUGGLED,
        START "Content-Length: 2\r\nContent-Length: 40\r\n\r\n{}" SMUGGLED,
        START "Content-Length: 0\r\nContent-Length: 36\r\n\r\n" SMUGGLED,
        START "Content-Length: 36\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" SMUGGLED,
        START "Transfer-Encoding: chunked\r\nContent-Length: 36\r\n\r\n0\r\n\r\n" SMUGGLED,
        START "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" SMUGGLED,
        START "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n" SMUGGLED,
        START "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n" SMUGGLED,
        START "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n" SMUGGLED,
        START "Transfer-Encoding: identity\r\n\r\n0\r\n\r\n" SMUGGLED,
        START "Transfer-Encoding: \x0b"
              "chunked\r\n\r\n0\r\n\r\n" SMUGGLED,
        START "Transfer-Encoding :chunked\r\n\r\n0\r\n\r\n" SMUGGLED,
        START "Transfer-Encoding\t: chunked\r\n\r\n0\r\n\r\n" SMUGGLED,
        START "Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n" SMUGGLED,
        START "Transfer-Encoding:\r\n\tchunked\r\n\r\n0\r\n\r\n" SMUGGLED,
        START "Content-Length:\r\n 36\r\n\r\n" SMUGGLED,
        START "Content-Length : 36\r\n\r\n" SMUGGLED,
        START "Content-Length: 3\r\n 6\r\n\r\n" SMUGGLED,
        START "Content-Length: +2\r\n\r\n{}" SMUGGLED,
        START "Content-Length: -2\r\n\r\n{}" SMUGGLED,
        START "Content-Length: 0x2\r\n\r\n{}" SMUGGLED,
        START "Content-Length: 2, 2\r\n\r\n{}" SMUGGLED,
        START "Content-Length: 2 2\r\n\r\n{}" SMUGGLED,
        START "Content-Length: two\r\n\r\n{}" SMUGGLED,
        START "Content-Length:\r\n\r\n" SMUGGLED,
        "POST /requestStack HTTP/1.0\r\n" AUTH
        "Connection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" SMUGGLED,
        START "Host: y\r\nContent-Length: 2\r\n\r\n{}" SMUGGLED,
        "POST /requestStack HTTP/1.1\r\nX-API-Key: good\r\nContent-Length: 2\r\n\r\n{}" SMUGGLED,
        START "no colon\r\nContent-Length: 2\r\n\r\n{}" SMUGGLED,
        START "a name: x\r\nContent-Length: 2\r\n\r\n{}" SMUGGLED,
        START " Content-Length: 2\r\n\r\n{}" SMUGGLED,
        START "X-API-Key: other\r\nContent-Length: 2\r\n\r\n{}" SMUGGLED,
        START "Authorization: Bearer a\r\nAuthorization: Bearer b\r\nContent-Length: 2\r\n\r\n{}" SMUGGLED,
        "POST /request Stack HTTP/1.1\r\n" AUTH "Content-Length: 2\r\n\r\n{}" SMUGGLED,
        "POST /requestStack\r\n" AUTH "Content-Length: 2\r\n\r\n{}" SMUGGLED,
        "POST /requestStack HTTP/2.0\r\n" AUTH "Content-Length: 2\r\n\r\n{}" SMUGGLED,
        "POST /requestStack HTTP/1.1 x\r\n" AUTH "Content-Length: 2\r\n\r\n{}" SMUGGLED,
        "POST\r\n\r\n" SMUGGLED,
        START "Transfer-Encoding: chunked\r\n\r\nx\r\n\r\n0\r\n\r\n" SMUGGLED,
        START "Transfer-Encoding: chunked\r\n\r\n-1\r\n\r\n0\r\n\r\n" SMUGGLED,
        START "Transfer-Encoding: chunked\r\n\r\n10000000000000000\r\n\r\n0\r\n\r\n" SMUGGLED,
        START "Transfer-Encoding: chunked\r\n\r\n2\r\nabc\r\n0\r\n\r\n" SMUGGLED,
    };
    for (size_t i = 0; i < COUNT_OF(requests); i++)
        expect_refused_and_closed(dial(world), requests[i]);
    assert_no_operation_is_left(world);
}

static void long_heads_fit_and_endless_ones_do_not(void **state) {
    World *world = *state;
    serve(world);
    int fd = dial(world);
    char request[40000];
    int len = sprintf(request, "POST /requestStack HTTP/1.1\r\n" AUTH "Content-Length: 2\r\nX-Long: ");
    memset(request + len, 'l', 8000);
    (void)sprintf(request + len + 8000, "%s", "\r\n\r\n{}");
    expect(fd, request, 200, NULL);

    len = sprintf(request, "POST /requestStack HTTP/1.1\r\n" AUTH "Content-Length: 2\r\n");
    for (int i = 0; i < 50; i++)
        len += sprintf(request + len, "X-Field-%02d: %0130d\r\n", i, i);
    (void)sprintf(request + len, "%s", "\r\n{}");
    expect(fd, request, 200, NULL);
    expect(fd, health, 200, "ok");

    len = sprintf(request, "POST /requestStack HTTP/1.1\r\n" AUTH "Content-Length: 2\r\nX-Long: ");
    memset(request + len, 'l', 30000);
    (void)sprintf(request + len + 30000, "%s", "\r\n\r\n{}");
    Heard heard;
    say(fd, request);
    hear(fd, &heard);
    assert_true(heard.status == 431 || heard.status == 0);
    forget(&heard);
    (void)close(fd);
}

/* ---- query ---- */

static void a_query_becomes_a_json_object_of_strings(void **state) {
    World *world = *state;
    serve(world);
    int fd = dial(world);
    static const struct {
        const char *query, *asked;
    } cases[] = {
        {"", "{}"},
        {"?", "{}"},
        {"?limit=3&after=7", "{\\\"after\\\":\\\"7\\\",\\\"limit\\\":\\\"3\\\"}"},
        {"?a=&b", "{\\\"a\\\":\\\"\\\",\\\"b\\\":\\\"\\\"}"},
        {"?&&a=1&", "{\\\"a\\\":\\\"1\\\"}"},
        {"?a=b+c%20d%2Be", "{\\\"a\\\":\\\"b c d+e\\\"}"},
        {"?a=b=c?d", "{\\\"a\\\":\\\"b=c?d\\\"}"},
        {"?%61=%C3%A4", "{\\\"a\\\":\\\"\xc3\xa4\\\"}"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        char request[256];
        (void)snprintf(request, sizeof request, "GET /listEvents%s HTTP/1.1\r\n" AUTH "\r\n", cases[i].query);
        expect(fd, request, 200, cases[i].asked);
    }
    (void)close(fd);
}

static void a_bad_query_is_refused(void **state) {
    World *world = *state;
    serve(world);
    int fd = dial(world);
    static const char *const queries[] = {"a=1&a=2", "a=1&%61=2", "a&a",   "a=%",   "a=%4",     "a=%zz",
                                          "%=1",     "a=%00",     "%00=a", "a=%ff", "a=%c0%80", "a=%ed%a0%80"};
    for (size_t i = 0; i < COUNT_OF(queries); i++) {
        char request[256];
        (void)snprintf(request, sizeof request, "GET /listEvents?%s HTTP/1.1\r\n" AUTH "\r\n", queries[i]);
        expect(fd, request, 400, "\"validation\"");
    }
    char request[512];
    int len = sprintf(request, "GET /listEvents?");
    for (int i = 0; i < 40; i++)
        len += sprintf(request + len, "m%d=&", i);
    (void)sprintf(request + len, "%s", " HTTP/1.1\r\n" AUTH "\r\n");
    expect(fd, request, 400, "too many");
    (void)close(fd);
}

/* ---- keys ---- */

static void a_key_is_taken_from_either_field(void **state) {
    World *world = *state;
    serve(world);
    int fd = dial(world);
    static const struct {
        const char *fields, *credential;
    } cases[] = {
        {"X-API-Key: good\r\n", "good"},
        {"x-api-key:good\r\n", "good"},
        {"X-API-KEY: \t good \t\r\n", "good"},
        {"Authorization: Bearer good\r\n", "good"},
        {"authorization: bearer   good\r\n", "good"},
        {"Authorization: BEARER good \r\n", "good"},
        {"X-API-Key: good\r\nAuthorization: Basic Zm9vOmJhcg==\r\n", "good"},
        {"X-API-Key: good\r\nAuthorization: Bearer other\r\n", "good"},
        {"", NULL},
        {"X-API-Key:\r\n", ""},
        {"Authorization: Basic good\r\n", NULL},
        {"Authorization: Bearergood\r\n", NULL},
        {"Authorization: good\r\n", NULL},
        {"X-API-Key: bad\r\n", "bad"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        char request[256];
        Heard heard;
        (void)snprintf(request, sizeof request,
                       "POST /requestStack HTTP/1.1\r\nHost: x\r\n%sContent-Length: 2\r\n\r\n{}", cases[i].fields);
        say(fd, request);
        hear(fd, &heard);
        bool is_good = cases[i].credential != NULL && strcmp(cases[i].credential, "good") == 0;
        assert_int_equal(heard.status, is_good ? 200 : 401);
        assert_true(is_good || has_field(&heard, "WWW-Authenticate: Bearer"));
        forget(&heard);
        const char *last = stub_last_credential(world->service);
        assert_true((last == NULL) == (cases[i].credential == NULL));
        if (last != NULL)
            assert_string_equal(last, cases[i].credential);
        assert_string_equal(stub_last_address(world->service), "127.0.0.1");
    }
    (void)close(fd);
}

static void who_is_refused_may_ask_again_on_the_same_connection(void **state) {
    World *world = *state;
    serve(world);
    int fd = dial(world);
    char *request = post_of(BODY_MAX);
    memcpy(strstr(request, "good"), "evil", 4);
    for (int i = 0; i < 3; i++)
        expect(fd, request, 401, "\"unauthenticated\"");
    expect(fd, plain_post, 200, NULL);
    free(request);
    (void)close(fd);
}

/* ---- answers ---- */

static void answers_say_what_they_are(void **state) {
    World *world = *state;
    serve(world);
    int fd = dial(world);
    Heard heard;
    say(fd, plain_post);
    hear(fd, &heard);
    assert_true(has_field(&heard, "Content-Type: application/json"));
    assert_true(has_field(&heard, "Cache-Control: no-store"));
    assert_non_null(strstr(heard.head, "\r\nDate: "));
    assert_null(strcasestr(heard.head, "\r\nRetry-After:"));
    assert_null(strcasestr(heard.head, "\r\nConnection:"));
    forget(&heard);

    say(fd, "POST /joinRequest HTTP/1.1\r\n" AUTH "Content-Length: 2\r\n\r\n{}");
    hear(fd, &heard);
    assert_int_equal(heard.status, 202);
    assert_true(has_field(&heard, "Retry-After: 7"));
    forget(&heard);

    say(fd, "POST /requestStack HTTP/1.1\r\n" AUTH "Content-Length: 6\r\n\r\nrefuse");
    hear(fd, &heard);
    assert_int_equal(heard.status, 400);
    assert_true(has_field(&heard, "Content-Type: application/problem+json"));
    forget(&heard);

    expect(fd, "POST /requestStack HTTP/1.1\r\n" AUTH "Content-Length: 7\r\n\r\nat-once", 200, "at-once");
    (void)close(fd);
}

static void long_answers_arrive_whole(void **state) {
    World *world = *state;
    serve(world);
    enum { SIZE = 10 * 1024 * 1024 };
    stub_set_answer_size(world->service, SIZE);
    int fd = dial(world);
    for (int i = 0; i < 3; i++) {
        Heard heard;
        say(fd, plain_post);
        hear(fd, &heard);
        assert_int_equal(heard.body_len, SIZE);
        assert_int_equal(heard.body[SIZE - 1], ' ');
        forget(&heard);
    }
    (void)close(fd);
}

/* ---- pages ---- */

static void pages_are_served(void **state) {
    World *world = *state;
    serve(world);
    int fd = dial(world);
    Heard heard;
    expect(fd, health, 200, "ok");
    expect(fd, "GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n", 200, "ready");
    stub_set_ready(world->service, false);
    expect(fd, "GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n", 503, "not ready");
    expect(fd, "GET /healthz?verbose HTTP/1.1\r\nHost: x\r\n\r\n", 200, "ok");
    say(fd, "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n");
    hear(fd, &heard);
    assert_int_equal(heard.status, 200);
    assert_true(has_field(&heard, "Content-Type: text/plain; version=0.0.4; charset=utf-8"));
    assert_string_equal(heard.body, "stub_operations 0\n");
    forget(&heard);
    say(fd, "GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n");
    hear(fd, &heard);
    assert_int_equal(heard.status, 200);
    assert_true(has_field(&heard, "Content-Type: application/json"));
    assert_non_null(strstr(heard.body, "requestStack"));
    forget(&heard);
    (void)close(fd);
}

static void agents_are_offered_from_their_folder(void **state) {
    World *world = *state;
    make_folder(world);
    write_file(world, "linux-x86_64", "the program");
    write_file(world, "linux.x86", "another file");
    write_file(world, ".hidden", "another file");
    char path[128];
    (void)snprintf(path, sizeof path, "%s/linux-pipe", world->folder);
    assert_int_equal(mkfifo(path, 0600), 0);
    (void)snprintf(path, sizeof path, "%s/folder", world->folder);
    assert_int_equal(mkdir(path, 0700), 0);
    serve_with(world, (HttpOptions){.agents_dir = world->folder}, &usual_limits);

    int fd = dial(world);
    Heard heard;
    say(fd, "GET /agent/linux-x86_64 HTTP/1.1\r\nHost: x\r\n\r\n");
    hear(fd, &heard);
    assert_int_equal(heard.status, 200);
    assert_string_equal(heard.body, "the program");
    assert_true(has_field(&heard, "Content-Type: application/octet-stream"));
    forget(&heard);
    static const char *const missing[] = {"",          "linux-arm64", "linux.x86", ".hidden",      "..",
                                          "../passwd", "linux-pipe",  "folder",    "%2e%2e",       "linux-x86_64%00",
                                          "LINUX",     "a/b",         ".",         "linux-x86_64/"};
    for (size_t i = 0; i < COUNT_OF(missing); i++) {
        char request[128];
        (void)snprintf(request, sizeof request, "GET /agent/%s HTTP/1.1\r\nHost: x\r\n\r\n", missing[i]);
        expect(fd, request, 404, "--agents");
    }
    (void)close(fd);
}

static void without_agents_the_way_to_them_is_told(void **state) {
    World *world = *state;
    serve(world);
    int fd = dial(world);
    expect(fd, "GET /agent/linux-x86_64 HTTP/1.1\r\nHost: x\r\n\r\n", 404, "start it with --agents DIR");
    (void)close(fd);
}

/* ---- the end ---- */

static void after_quiesce_no_connection_is_accepted_and_answers_close(void **state) {
    World *world = *state;
    serve(world);
    int fd = dial(world), held = dial(world);
    expect(fd, plain_post, 200, NULL);
    say(held, "POST /requestStack HTTP/1.1\r\n" AUTH "Content-Length: 4\r\n\r\nhold");
    stub_await_held(world->service, 1);
    http_quiesce(world->http);
    assert_int_equal(try_dial(world), -1);
    expect(fd, "GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n", 503, NULL);
    assert_closed(fd);

    stub_release(world->service);
    Heard heard;
    hear(held, &heard);
    assert_int_equal(heard.status, 200);
    assert_true(has_field(&heard, "Connection: close"));
    forget(&heard);
    assert_closed(held);
    http_quiesce(world->http); /* again: no harm */
}

static void *flush(void *arg) {
    World *world = arg;
    http_flush(world->http, PATIENCE_MS);
    return NULL;
}

static void flush_waits_for_what_is_under_way(void **state) {
    World *world = *state;
    serve(world);
    http_flush(world->http, PATIENCE_MS); /* nothing is */
    enum { COUNT = 200 };
    int fds[COUNT];
    for (int i = 0; i < COUNT; i++) {
        fds[i] = dial(world);
        say(fds[i], "POST /requestStack HTTP/1.1\r\n" AUTH "Content-Length: 4\r\n\r\nhold");
    }
    stub_await_held(world->service, COUNT);
    http_quiesce(world->http);
    http_flush(world->http, 20); /* gives up in time */
    assert_false(is_readable(fds[0], 0));

    pthread_t flusher;
    assert_int_equal(pthread_create(&flusher, NULL, flush, world), 0);
    stub_release(world->service);
    assert_int_equal(pthread_join(flusher, NULL), 0);
    world->http = http_free(world->http);
    for (int i = 0; i < COUNT; i++) {
        assert_true(is_readable(fds[i], 0)); /* flushed means that it is here already */
        Heard heard;
        hear(fds[i], &heard);
        assert_int_equal(heard.status, 200);
        forget(&heard);
        assert_closed(fds[i]);
    }
}

static void who_waits_and_hangs_up_is_told_of(void **state) {
    World *world = *state;
    serve(world);
    enum { COUNT = 20 };
    int fds[COUNT];
    for (int i = 0; i < COUNT; i++) {
        fds[i] = dial(world);
        say(fds[i], "POST /requestStack HTTP/1.1\r\n" AUTH "Content-Length: 4\r\n\r\nhold");
    }
    stub_await_held(world->service, COUNT);
    assert_int_equal(stub_parked(world->service), COUNT);
    for (int i = 0; i < COUNT / 2; i++) {
        struct linger reset = {.l_onoff = 1, .l_linger = 0};
        if (i % 2 == 0)
            assert_int_equal(setsockopt(fds[i], SOL_SOCKET, SO_LINGER, &reset, sizeof reset), 0);
        (void)close(fds[i]);
    }
    stub_await_hung_up(world->service, COUNT / 2);
    stub_release(world->service);
    for (int i = COUNT / 2; i < COUNT; i++) {
        Heard heard;
        hear(fds[i], &heard);
        assert_int_equal(heard.status, 200);
        forget(&heard);
        (void)close(fds[i]);
    }
    http_flush(world->http, PATIENCE_MS);
}

static void waiters_leave_a_fifth_of_the_connections_to_others(void **state) {
    World *world = *state;
    enum { MAX = 20 };
    serve_with(world, (HttpOptions){.max_connections = MAX}, &usual_limits);
    int fds[MAX - 1];
    for (int i = 0; i < MAX - 1; i++) {
        fds[i] = dial(world);
        say(fds[i], "POST /requestStack HTTP/1.1\r\n" AUTH "Content-Length: 4\r\n\r\nhold");
    }
    stub_await_held(world->service, MAX - 1);
    assert_int_equal(stub_parked(world->service), MAX * 80 / 100);
    stub_release(world->service);
    for (int i = 0; i < MAX - 1; i++) {
        Heard heard;
        hear(fds[i], &heard);
        forget(&heard);
        (void)close(fds[i]);
    }
}

static int threads(void) {
    DIR *tasks = opendir("/proc/self/task");
    assert_non_null(tasks);
    int count = -2; /* . and .. */
    while (readdir(tasks) != NULL)
        count++;
    (void)closedir(tasks);
    return count;
}

/* A request that the service holds; the `place`th. */
static int hold(const World *world, int place) {
    int fd = dial(world);
    say(fd, "POST /requestStack HTTP/1.1\r\n" AUTH "Content-Length: 4\r\n\r\nhold");
    stub_await_held(world->service, (size_t)place);
    return fd;
}

static void hear_held(int fd) {
    Heard heard;
    hear(fd, &heard);
    assert_int_equal(heard.status, 200);
    forget(&heard);
}

/* libmicrohttpd looks at all that wait whenever it resumes one: a crowd has servers, each a thread, of its own. */
static void who_comes_is_not_served_among_a_crowd(void **state) {
    World *world = *state;
    enum { CROWD = 2, COUNT = 3 * CROWD };
    HttpLimits limits = usual_limits;
    limits.tick_ms = 20;
    limits.crowd = CROWD;
    serve_with(world, (HttpOptions){0}, &limits);
    int alone = threads(), fds[COUNT];
    int early = dial(world);
    expect(early, plain_post, 200, NULL);
    for (int i = 0; i < COUNT; i++) {
        fds[i] = hold(world, i + 1);
        assert_int_equal(threads(), alone + i / CROWD);
    }
    int late = dial(world);
    expect(late, plain_post, 200, NULL);
    assert_int_equal(threads(), alone + COUNT / CROWD);
    expect(early, plain_post, 200, NULL); /* it stays where it is */
    stub_release(world->service);
    for (int i = 0; i < COUNT; i++) {
        hear_held(fds[i]);
        (void)close(fds[i]);
    }
    int64_t until_ms = clock_boot_ms(clock_system()) + PATIENCE_MS;
    while (threads() > alone + 1 && clock_boot_ms(clock_system()) < until_ms)
        (void)is_readable(late, 10);
    assert_int_equal(threads(), alone + 1); /* the one that `early` is at, and the current one */
    expect(early, plain_post, 200, NULL);
    expect(late, plain_post, 200, NULL);
    (void)close(early);
    (void)close(late);
    while (threads() > alone && clock_boot_ms(clock_system()) < until_ms)
        (void)poll(NULL, 0, 10);
    assert_int_equal(threads(), alone);
    int fd = dial(world);
    expect(fd, plain_post, 200, NULL);
    (void)close(fd);
}

static void clients_that_leave_while_they_wait_do_no_harm(void **state) {
    World *world = *state;
    serve(world);
    enum { COUNT = 100 };
    int fds[COUNT];
    for (int i = 0; i < COUNT; i++) {
        fds[i] = dial(world);
        say(fds[i], "POST /requestStack HTTP/1.1\r\n" AUTH "Content-Length: 4\r\n\r\nhold");
    }
    stub_await_held(world->service, COUNT);
    for (int i = 0; i < COUNT; i++) {
        struct linger reset = {.l_onoff = 1, .l_linger = 0};
        if (i % 2 == 0)
            assert_int_equal(setsockopt(fds[i], SOL_SOCKET, SO_LINGER, &reset, sizeof reset), 0);
        (void)close(fds[i]);
    }
    int fd = dial(world);
    expect(fd, plain_post, 200, NULL);
    stub_release(world->service);
    http_flush(world->http, PATIENCE_MS);
    expect(fd, plain_post, 200, NULL);
    (void)close(fd);
}

static void stopping_with_idle_and_half_sent_requests_is_clean(void **state) {
    World *world = *state;
    serve(world);
    int idle = dial(world), half = dial(world), body = dial(world);
    expect(idle, plain_post, 200, NULL);
    expect(half, plain_post, 200, NULL);
    expect(body, plain_post, 200, NULL);
    say(half, "POST /requestStack HTTP/1.1\r\nX-API");
    say(body, "POST /requestStack HTTP/1.1\r\n" AUTH "Content-Length: 9\r\n\r\n{");
    http_quiesce(world->http);
    http_flush(world->http, PATIENCE_MS);
    world->http = http_free(world->http);
    assert_closed(idle);
    assert_closed(half);
    assert_closed(body);
}

/* ---- slow and many ---- */

static const HttpLimits short_limits = {.request_ms = 400,
                                        .idle_ms = 400,
                                        .answer_ms = 400,
                                        .tick_ms = 20,
                                        .settled_ms = 50,
                                        .pause_ms = 10,
                                        .crowd = 1000};

enum { SLOW_COUNT = 1000 };

/* One more byte on each; true while any is open. Returns within some ms. */
static bool dribble(struct pollfd *slow, const char *byte) {
    bool is_any = false;
    (void)poll(slow, SLOW_COUNT, 20);
    for (size_t i = 0; i < SLOW_COUNT; i++) {
        char rest[512];
        if (slow[i].fd < 0)
            continue;
        if ((slow[i].revents & (POLLIN | POLLHUP | POLLERR)) != 0 && recv(slow[i].fd, rest, sizeof rest, 0) <= 0) {
            (void)close(slow[i].fd);
            slow[i].fd = -1;
            continue;
        }
        (void)send(slow[i].fd, byte, 1, MSG_NOSIGNAL | MSG_DONTWAIT);
        is_any = true;
    }
    return is_any;
}

static void slow_senders_are_cut_and_others_do_not_notice(void **state) {
    World *world = *state;
    static const char *const starts[] = {"", "GET /heal", "POST /requestStack HTTP/1.1\r\n" AUTH "X-Slow: ",
                                         "POST /requestStack HTTP/1.1\r\n" AUTH "Content-Length: 60000\r\n\r\n"};
    struct rlimit limit;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    if (limit.rlim_cur < 3 * SLOW_COUNT)
        skip();
    HttpLimits limits = short_limits;
    limits.request_ms = 1500;
    serve_with(world, (HttpOptions){0}, &limits);
    static struct pollfd slow[SLOW_COUNT];
    int64_t begun_ms = clock_boot_ms(clock_system());
    for (size_t i = 0; i < SLOW_COUNT; i++) {
        slow[i] = (struct pollfd){.fd = dial(world), .events = POLLIN};
        say(slow[i].fd, starts[i % COUNT_OF(starts)]);
    }
    int64_t dialled_ms = clock_boot_ms(clock_system());
    int64_t longest_ms = 0;
    while (dribble(slow, "s")) {
        int64_t before_ms = clock_boot_ms(clock_system());
        int fd = dial(world);
        expect(fd, plain_post, 200, NULL);
        (void)close(fd);
        int64_t after_ms = clock_boot_ms(clock_system());
        longest_ms = after_ms - before_ms > longest_ms ? after_ms - before_ms : longest_ms;
        assert_true(after_ms - dialled_ms < PATIENCE_MS);
    }
    assert_true(clock_boot_ms(clock_system()) - begun_ms >= limits.request_ms / 2);
    assert_true(longest_ms < 5000);
}

static void a_later_request_on_a_connection_has_its_own_time(void **state) {
    World *world = *state;
    serve_with(world, (HttpOptions){0}, &short_limits);
    int fd = dial(world);
    int64_t until_ms = clock_boot_ms(clock_system()) + 3 * short_limits.request_ms;
    while (clock_boot_ms(clock_system()) < until_ms) {
        expect(fd, plain_post, 200, NULL);
        (void)is_readable(fd, (int)short_limits.request_ms / 8); /* a pause that an idle connection may make */
    }
    assert_closed(fd); /* … and a longer one */
}

static void a_pause_may_be_longer_than_a_request(void **state) {
    World *world = *state;
    HttpLimits limits = short_limits;
    limits.idle_ms = 30000;
    serve_with(world, (HttpOptions){0}, &limits);
    int fd = dial(world);
    expect(fd, plain_post, 200, NULL);
    assert_false(is_readable(fd, 3 * (int)limits.request_ms)); /* not closed */
    expect(fd, plain_post, 200, NULL);
    say(fd, "POST /requestStack HTTP/1.1\r\n" AUTH "Content-Le");
    int64_t begun_ms = clock_boot_ms(clock_system());
    assert_closed(fd);
    assert_true(clock_boot_ms(clock_system()) - begun_ms < limits.idle_ms / 2);
}

static void who_waits_for_the_service_is_not_cut(void **state) {
    World *world = *state;
    serve_with(world, (HttpOptions){0}, &short_limits);
    int fd = dial(world);
    say(fd, "POST /requestStack HTTP/1.1\r\n" AUTH "Content-Length: 4\r\n\r\nhold");
    stub_await_held(world->service, 1);
    assert_false(is_readable(fd, (int)short_limits.request_ms * 4));
    stub_release(world->service);
    Heard heard;
    hear(fd, &heard);
    assert_int_equal(heard.status, 200);
    forget(&heard);
    (void)close(fd);
}

static void who_does_not_read_the_answer_is_cut(void **state) {
    World *world = *state;
    serve_with(world, (HttpOptions){0}, &short_limits);
    stub_set_answer_size(world->service, 32 * 1024 * 1024);
    int fd = dial(world);
    say(fd, plain_post);
    assert_true(is_readable(fd, PATIENCE_MS)); /* it is on its way, and stuck */
    int64_t begun_ms = clock_boot_ms(clock_system());
    http_flush(world->http, PATIENCE_MS);
    assert_true(clock_boot_ms(clock_system()) - begun_ms < PATIENCE_MS);
    (void)close(fd);
}

static void idle_connections_make_room_for_new_ones(void **state) {
    World *world = *state;
    enum { MAX = 20, MORE = 60 };
    HttpLimits limits = short_limits;
    limits.request_ms = limits.idle_ms = 30000;
    serve_with(world, (HttpOptions){.max_connections = MAX}, &limits);
    int fds[MORE];
    for (int i = 0; i < MORE; i++) {
        fds[i] = dial(world);
        expect(fds[i], health, 200, "ok");
    }
    for (int i = 0; i < MORE; i++)
        (void)close(fds[i]);
}

static void busy_connections_are_kept_at_the_ceiling(void **state) {
    World *world = *state;
    enum { MAX = 20 };
    serve_with(world, (HttpOptions){.max_connections = MAX}, &short_limits);
    int fds[MAX], late = -1;
    for (int i = 0; i < MAX; i++) {
        fds[i] = dial(world);
        say(fds[i], "POST /requestStack HTTP/1.1\r\n" AUTH "Content-Length: 4\r\n\r\nhold");
    }
    stub_await_held(world->service, MAX);
    late = dial(world); /* the kernel holds it */
    say(late, health);
    assert_false(is_readable(late, 300));
    stub_release(world->service);
    for (int i = 0; i < MAX; i++) {
        Heard heard;
        hear(fds[i], &heard);
        assert_int_equal(heard.status, 200);
        forget(&heard);
        (void)close(fds[i]);
    }
    Heard heard;
    hear(late, &heard);
    assert_int_equal(heard.status, 200);
    forget(&heard);
    (void)close(late);
}

static double cpu_ms(void) {
    struct rusage usage = {0};
    (void)getrusage(RUSAGE_SELF, &usage);
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1e3 +
           (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e3;
}

static void exhausted_descriptors_neither_spin_nor_last(void **state) {
    World *world = *state;
    serve(world);
    struct rlimit usual, tight;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &usual), 0);
    tight = usual;
    tight.rlim_cur = 128;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &tight), 0);
    int served = dial(world);
    expect(served, plain_post, 200, NULL);
    int late = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(late >= 0);
    int fillers[128], count = 0;
    while (count < 128 && (fillers[count] = dup(0)) >= 0)
        count++;
    assert_int_equal(errno, EMFILE);

    struct sockaddr_in peer = {.sin_family = AF_INET, .sin_port = htons(port_of(world))};
    peer.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_int_equal(connect(late, (struct sockaddr *)&peer, sizeof peer), 0);
    say(late, plain_post);
    double before_ms = cpu_ms();
    for (int i = 0; i < 20; i++) {
        assert_false(is_readable(late, 25));
        expect(served, plain_post, 200, NULL); /* who is connected notices nothing */
    }
    assert_true(cpu_ms() - before_ms < 250);

    while (count > 0)
        (void)close(fillers[--count]);
    Heard heard;
    hear(late, &heard);
    assert_int_equal(heard.status, 200);
    forget(&heard);
    (void)close(late);
    (void)close(served);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &usual), 0);
}

/* libmicrohttpd's epoll loop stalls within seconds at these numbers; its poll loop must not. */
static void no_connection_stalls_under_load(void **state) {
    World *world = *state;
    serve(world);
    static const size_t connections[] = {128, 256};
    for (size_t i = 0; i < COUNT_OF(connections); i++) {
        HttpLoad load = {
            .address = http_address(world->http),
            .requests = {plain_post, "POST /releaseStack HTTP/1.1\r\n" AUTH "Content-Length: 7\r\n\r\nat-once",
                         "GET /listStacks?limit=10 HTTP/1.1\r\n" AUTH "\r\n"},
            .connections = connections[i],
            .duration_ms = 4000,
            .stall_ms = 2000,
        };
        HttpLoadResult result;
        assert_int_equal(http_load_run(&load, &result), 0);
        assert_int_equal(result.stalls, 0);
        assert_int_equal(result.failures, 0);
        assert_true(result.answers > connections[i]);
    }
}

static void many_parked_requests_do_not_hold_up_others(void **state) {
    World *world = *state;
    serve(world);
    enum { PARKED = 400 };
    int parked[PARKED];
    for (int i = 0; i < PARKED; i++) {
        parked[i] = dial(world);
        say(parked[i], "POST /requestStack HTTP/1.1\r\n" AUTH "Content-Length: 4\r\n\r\nhold");
    }
    stub_await_held(world->service, PARKED);
    HttpLoad load = {.address = http_address(world->http),
                     .requests = {plain_post},
                     .connections = 50,
                     .duration_ms = 1000,
                     .stall_ms = 1000};
    HttpLoadResult result;
    assert_int_equal(http_load_run(&load, &result), 0);
    assert_int_equal(result.stalls, 0);
    assert_int_equal(result.failures, 0);
    for (int i = 0; i < PARKED; i++)
        (void)close(parked[i]);
}

/* ---- addresses ---- */

static void every_form_of_address_is_understood(void **state) {
    World *world = *state;
    static const struct {
        const char *given, *bound;
    } cases[] = {{"127.0.0.1:0", "127.0.0.1:"}, {"localhost:0", ":"}, {"[::1]:0", "[::1]:"}, {":0", ":"}};
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        if (cases[i].given[0] == '[' && access("/proc/net/if_inet6", F_OK) != 0)
            continue;
        serve_with(world, (HttpOptions){.address = cases[i].given}, &usual_limits);
        const char *bound = http_address(world->http);
        assert_non_null(strstr(bound, cases[i].bound));
        assert_true(port_of(world) > 0);
        world->http = http_free(world->http);
    }
    serve_with(world, (HttpOptions){.address = ":0"}, &usual_limits);
    int fd = dial(world);
    expect(fd, plain_post, 200, NULL);
    assert_string_equal(stub_last_address(world->service), "127.0.0.1"); /* not ::ffff:127.0.0.1 */
    (void)close(fd);
}

static void assert_refused(World *world, HttpOptions options, const char *in_reason) {
    Buffer reason;
    buffer_init(&reason, 1024);
    Http *http = NULL;
    options.service = world->service;
    options.log = &world->log;
    assert_true(http_new(&http, &options, &reason) < 0);
    assert_null(http);
    if (strstr(buffer_text(&reason), in_reason) == NULL)
        fail_msg("no '%s' in: %s", in_reason, buffer_text(&reason));
    buffer_deinit(&reason);
}

static void what_cannot_be_served_is_refused_with_a_reason(void **state) {
    World *world = *state;
    serve(world);
    assert_refused(world, (HttpOptions){.address = "nonsense"}, "'nonsense' is no address");
    assert_refused(world, (HttpOptions){.address = "::1:80"}, "is no address");
    assert_refused(world, (HttpOptions){.address = "127.0.0.1:"}, "is no address");
    assert_refused(world, (HttpOptions){.address = "127.0.0.1:http"}, "is no address");
    assert_refused(world, (HttpOptions){.address = "127.0.0.1:65536"}, "from 0 to 65535"); /* no port 0 */
    assert_refused(world, (HttpOptions){.address = ":-1"}, "is no address");
    assert_refused(world, (HttpOptions){.address = "192.0.2.1:80"}, "cannot listen on 192.0.2.1:80");
    assert_refused(world, (HttpOptions){.address = http_address(world->http)}, "in use");
    assert_refused(world, (HttpOptions){.address = "127.0.0.1:0", .agents_dir = "/nowhere"}, "/nowhere");
    assert_refused(world, (HttpOptions){.address = "127.0.0.1:0", .key_path = "/k"}, "together");
    assert_refused(world, (HttpOptions){.address = "127.0.0.1:0", .certificate_path = "/c", .key_path = "/k"},
                   "cannot read /c");
}

/* ---- TLS, with openssl's command as the other side ---- */

static void make_certificate(const World *world, const char *name) {
    char command[512];
    (void)snprintf(command, sizeof command,
                   "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=%s "
                   "-keyout %s/key.pem -out %s/cert.pem >/dev/null 2>&1",
                   name, world->folder, world->folder);
    assert_int_equal(system(command), 0);
}

typedef struct TlsClient {
    pid_t pid;
    int fd; /* both ways */
} TlsClient;

static void tls_dial(const World *world, TlsClient *client) {
    int pair[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    posix_spawn_file_actions_t actions;
    assert_int_equal(posix_spawn_file_actions_init(&actions), 0);
    assert_int_equal(posix_spawn_file_actions_adddup2(&actions, pair[1], 0), 0);
    assert_int_equal(posix_spawn_file_actions_adddup2(&actions, pair[1], 1), 0);
    assert_int_equal(posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", O_WRONLY, 0), 0);
    char address[64];
    (void)snprintf(address, sizeof address, "%s", http_address(world->http));
    char *argv[] = {(char[]){"openssl"},
                    (char[]){"s_client"},
                    (char[]){"-quiet"},
                    (char[]){"-nocommands"},
                    (char[]){"-connect"},
                    address,
                    NULL};
    assert_int_equal(posix_spawnp(&client->pid, "openssl", &actions, NULL, argv, environ), 0);
    (void)posix_spawn_file_actions_destroy(&actions);
    (void)close(pair[1]);
    client->fd = pair[0];
}

static void tls_hang_up(TlsClient *client) {
    (void)close(client->fd);
    (void)kill(client->pid, SIGTERM);
    (void)waitpid(client->pid, NULL, 0);
}

static void assert_subject(const World *world, const char *name) {
    char command[256], line[256], wanted[64];
    bool is_found = false;
    (void)snprintf(command, sizeof command, "openssl s_client -connect %s </dev/null 2>&1", http_address(world->http));
    (void)snprintf(wanted, sizeof wanted, "CN = %s", name);
    FILE *output = popen(command, "r");
    assert_non_null(output);
    while (fgets(line, sizeof line, output) != NULL)
        is_found |= strncmp(line, "subject=", 8) == 0 && strstr(line, wanted) != NULL;
    (void)pclose(output);
    assert_true(is_found);
}

static void serve_tls_with(World *world, const HttpLimits *limits) {
    if (system("openssl version >/dev/null 2>&1") != 0)
        skip();
    make_folder(world);
    make_certificate(world, "first");
    char certificate[128], key[128];
    (void)snprintf(certificate, sizeof certificate, "%s/cert.pem", world->folder);
    (void)snprintf(key, sizeof key, "%s/key.pem", world->folder);
    serve_with(world, (HttpOptions){.certificate_path = certificate, .key_path = key}, limits);
}

static void serve_tls(World *world) {
    HttpLimits limits = usual_limits;
    limits.tick_ms = 20;
    serve_tls_with(world, &limits);
}

static void tls_serves_the_same(void **state) {
    World *world = *state;
    serve_tls(world);
    TlsClient client;
    tls_dial(world, &client);
    expect(client.fd, plain_post, 200, "\"asked\":\"{}\"");
    char *request = post_of(BODY_MAX);
    expect(client.fd, request, 200, NULL);
    free(request);
    expect(client.fd, health, 200, "ok");
    assert_subject(world, "first");
    tls_hang_up(&client);
    int plain = dial(world); /* plain text on a TLS port ends the connection */
    say(plain, health);
    Heard heard;
    hear(plain, &heard);
    assert_int_equal(heard.status, 0);
    forget(&heard);
    (void)close(plain);
}

static void a_new_certificate_drops_no_connection(void **state) {
    World *world = *state;
    serve_tls(world);
    TlsClient idle, busy;
    tls_dial(world, &idle);
    tls_dial(world, &busy);
    expect(idle.fd, plain_post, 200, NULL);
    say(busy.fd, "POST /requestStack HTTP/1.1\r\n" AUTH "Content-Length: 4\r\n\r\nhold");
    stub_await_held(world->service, 1);

    Buffer reason;
    buffer_init(&reason, 1024);
    make_certificate(world, "second");
    assert_int_equal(http_reload_tls(world->http, &reason), 0);
    assert_subject(world, "second");

    Heard heard;
    stub_release(world->service);
    hear(busy.fd, &heard);
    assert_int_equal(heard.status, 200);
    assert_true(has_field(&heard, "Connection: close"));
    forget(&heard);
    expect(idle.fd, plain_post, 200, NULL); /* opened before, asked after */
    tls_hang_up(&idle);
    tls_hang_up(&busy);

    write_file(world, "key.pem", "no key");
    assert_true(http_reload_tls(world->http, &reason) < 0);
    assert_non_null(strstr(buffer_text(&reason), "certificate and key cannot be used"));
    assert_subject(world, "second"); /* the old ones stay */
    buffer_deinit(&reason);
}

static void a_crowd_has_the_same_certificate_and_the_next(void **state) {
    World *world = *state;
    HttpLimits limits = usual_limits;
    limits.tick_ms = 20;
    limits.crowd = 1;
    serve_tls_with(world, &limits);
    int alone = threads();
    TlsClient crowd[2];
    for (int i = 0; i < 2; i++) {
        tls_dial(world, &crowd[i]);
        say(crowd[i].fd, "POST /requestStack HTTP/1.1\r\n" AUTH "Content-Length: 4\r\n\r\nhold");
        stub_await_held(world->service, (size_t)i + 1);
    }
    assert_subject(world, "first");
    assert_int_equal(threads(), alone + 2);
    Buffer reason;
    buffer_init(&reason, 1024);
    make_certificate(world, "second");
    assert_int_equal(http_reload_tls(world->http, &reason), 0);
    buffer_deinit(&reason);
    assert_subject(world, "second");
    stub_release(world->service);
    for (int i = 0; i < 2; i++) {
        Heard heard;
        hear(crowd[i].fd, &heard);
        assert_int_equal(heard.status, 200);
        assert_true(has_field(&heard, "Connection: close")); /* all earlier ones have retired */
        forget(&heard);
        tls_hang_up(&crowd[i]);
    }
}

static void certificates_may_change_often(void **state) {
    World *world = *state;
    serve_tls(world);
    Buffer reason;
    buffer_init(&reason, 4096);
    int given_up = 0;
    for (int i = 0; i < 40; i++) {
        TlsClient client;
        tls_dial(world, &client);
        expect(client.fd, plain_post, 200, NULL);
        int error = http_reload_tls(world->http, &reason);
        assert_true(error == 0 || error == -EBUSY);
        given_up += error != 0;
        expect(client.fd, plain_post, 200, NULL);
        tls_hang_up(&client);
    }
    assert_true(given_up < 40); /* servers of earlier certificates go away by themselves */
    buffer_deinit(&reason);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, begin, end)

int main(void) {
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max < 8192 ? limit.rlim_max : 8192;
        (void)setrlimit(RLIMIT_NOFILE, &limit);
    }
    json_guard_init();
    const struct CMUnitTest tests[] = {
        TEST(keep_alive_serves_one_request_after_another),
        TEST(pipelined_requests_are_answered_in_order),
        TEST(head_is_get_without_the_body),
        TEST(other_methods_are_refused_and_the_right_ones_named),
        TEST(what_is_not_there_is_a_problem_of_its_own),
        TEST(http_1_0_keeps_the_connection_only_when_asked),
        TEST(a_body_may_be_as_long_as_the_ceiling),
        TEST(a_longer_body_is_refused_before_it_is_sent),
        TEST(chunks_are_put_together),
        TEST(chunks_beyond_the_ceiling_are_read_away_then_refused),
        TEST(a_body_that_breaks_off_leaves_nothing),
        TEST(expect_100_continue_is_honoured),
        TEST(ambiguous_requests_are_refused_and_the_connection_closed),
        TEST(long_heads_fit_and_endless_ones_do_not),
        TEST(a_query_becomes_a_json_object_of_strings),
        TEST(a_bad_query_is_refused),
        TEST(a_key_is_taken_from_either_field),
        TEST(who_is_refused_may_ask_again_on_the_same_connection),
        TEST(answers_say_what_they_are),
        TEST(long_answers_arrive_whole),
        TEST(pages_are_served),
        TEST(agents_are_offered_from_their_folder),
        TEST(without_agents_the_way_to_them_is_told),
        TEST(after_quiesce_no_connection_is_accepted_and_answers_close),
        TEST(flush_waits_for_what_is_under_way),
        TEST(who_waits_and_hangs_up_is_told_of),
        TEST(waiters_leave_a_fifth_of_the_connections_to_others),
        TEST(who_comes_is_not_served_among_a_crowd),
        TEST(clients_that_leave_while_they_wait_do_no_harm),
        TEST(stopping_with_idle_and_half_sent_requests_is_clean),
        TEST(slow_senders_are_cut_and_others_do_not_notice),
        TEST(a_later_request_on_a_connection_has_its_own_time),
        TEST(a_pause_may_be_longer_than_a_request),
        TEST(who_waits_for_the_service_is_not_cut),
        TEST(who_does_not_read_the_answer_is_cut),
        TEST(idle_connections_make_room_for_new_ones),
        TEST(busy_connections_are_kept_at_the_ceiling),
        TEST(exhausted_descriptors_neither_spin_nor_last),
        TEST(no_connection_stalls_under_load),
        TEST(many_parked_requests_do_not_hold_up_others),
        TEST(every_form_of_address_is_understood),
        TEST(what_cannot_be_served_is_refused_with_a_reason),
        TEST(tls_serves_the_same),
        TEST(a_new_certificate_drops_no_connection),
        TEST(a_crowd_has_the_same_certificate_and_the_next),
        TEST(certificates_may_change_often),
    };
    return cmocka_run_group_tests_name("http", tests, NULL, NULL);
}
