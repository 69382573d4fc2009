/* The HTTP transport alone, over real sockets, against a service that echoes: what a request is answered. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/json_guard.h"
#include "base/limits.h"
#include "unit/http_world.h"

/* ---- connections and methods ---- */

static void keep_alive_serves_one_request_after_another(void **state) {
    World *world = *state;
    serve(world);
    int fd = dial(world);
    for (int i = 0; i < 100; i++) {
        expect(fd, PLAIN_POST, 200, "{\"operation\":\"requestStack\",\"asked\":\"{}\"}");
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
    expect(fd, HEALTH, 200, "ok");
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
    expect(fd, HEALTH, 200, "ok");
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
    expect(fd, HEALTH, 200, "ok");

    say(fd, "POST /requestStack HTTP/1.1\r\n" AUTH "Transfer-Encoding: chunked\r\n\r\n");
    for (int i = 0; i < 300; i++)
        say(fd, chunk);
    assert_closed(fd); /* there is an end to that, too */
}

/* What is answered now comes after all that ended before. */
static void assert_no_operation_is_left(World *world) {
    int fd = dial(world);
    expect(fd, HEALTH, 200, "ok");
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
    expect(fd, HEALTH, 200, "ok");

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
        {"X-API-Key:\r\n", NULL}, /* a variable nobody has set */
        {"X-API-Key: \r\nAuthorization: Bearer good\r\n", "good"},
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
    expect(fd, PLAIN_POST, 200, NULL);
    free(request);
    (void)close(fd);
}

/* ---- answers ---- */

static void answers_say_what_they_are(void **state) {
    World *world = *state;
    serve(world);
    int fd = dial(world);
    Heard heard;
    say(fd, PLAIN_POST);
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
        say(fd, PLAIN_POST);
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
    expect(fd, HEALTH, 200, "ok");
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

#define TEST(function) cmocka_unit_test_setup_teardown(function, begin, end)

int main(void) {
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
    };
    return cmocka_run_group_tests_name("http", tests, NULL, NULL);
}
