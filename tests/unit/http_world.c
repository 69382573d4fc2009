#include "unit/http_world.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

const HttpLimits usual_limits = {.request_ms = 30000,
                                 .idle_ms = 30000,
                                 .answer_ms = 30000,
                                 .tick_ms = 1000,
                                 .settled_ms = 1000,
                                 .pause_ms = 20,
                                 .crowd = 1000};

int begin(void **state) {
    World *world = calloc(1, sizeof *world);
    assert_non_null(world);
    world->log = (Logger){.fd = -1, .level = LOG_ERROR, .clock = clock_system(), .name = "test"};
    world->service = stub_service_new();
    *state = world;
    return 0;
}

int end(void **state) {
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

void serve_with(World *world, HttpOptions options, const HttpLimits *limits) {
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

void serve(World *world) {
    serve_with(world, (HttpOptions){0}, &usual_limits);
}

void make_folder(World *world) {
    (void)snprintf(world->folder, sizeof world->folder, "/tmp/test_http.XXXXXX");
    assert_non_null(mkdtemp(world->folder));
}

void write_file(const World *world, const char *name, const char *text) {
    char path[128];
    (void)snprintf(path, sizeof path, "%s/%s", world->folder, name);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

uint16_t port_of(const World *world) {
    return (uint16_t)atoi(strrchr(http_address(world->http), ':') + 1);
}

int try_dial(const World *world) {
    struct sockaddr_in peer = {.sin_family = AF_INET, .sin_port = htons(port_of(world))};
    peer.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    if (connect(fd, (struct sockaddr *)&peer, sizeof peer) == 0)
        return fd;
    (void)close(fd);
    return -1;
}

int dial(const World *world) {
    int fd = try_dial(world);
    assert_true(fd >= 0);
    return fd;
}

void say_bytes(int fd, const char *bytes, size_t len) {
    while (len > 0) {
        ssize_t sent = send(fd, bytes, len, MSG_NOSIGNAL);
        if (sent <= 0)
            return; /* the server closed first: what it answered is what counts */
        bytes += sent;
        len -= (size_t)sent;
    }
}

void say(int fd, const char *text) {
    say_bytes(fd, text, strlen(text));
}

bool is_readable(int fd, int ms) {
    struct pollfd watched = {.fd = fd, .events = POLLIN};
    return poll(&watched, 1, ms) == 1;
}

void hear_as(int fd, Heard *heard, bool is_head) {
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

void hear(int fd, Heard *heard) {
    hear_as(fd, heard, false);
}

void forget(Heard *heard) {
    free(heard->body);
    heard->body = NULL;
}

bool has_field(const Heard *heard, const char *field) {
    char line[256];
    (void)snprintf(line, sizeof line, "\r\n%s\r\n", field);
    return strcasestr(heard->head, line) != NULL;
}

void assert_closed(int fd) {
    char rest[256];
    assert_true(is_readable(fd, PATIENCE_MS));
    ssize_t len = recv(fd, rest, sizeof rest - 1, 0);
    if (len > 0) {
        rest[len] = '\0';
        fail_msg("the connection should be closed, but this came: %s", rest);
    }
    (void)close(fd);
}

void expect_refused_and_closed(int fd, const char *request) {
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

void expect(int fd, const char *request, int status, const char *in_body) {
    Heard heard;
    say(fd, request);
    hear(fd, &heard);
    if (heard.status != status)
        fail_msg("%d instead of %d for: %s", heard.status, status, request);
    if (in_body != NULL && strstr(heard.body, in_body) == NULL)
        fail_msg("no %s in %s", in_body, heard.body);
    forget(&heard);
}

char *post_of(size_t len) {
    char *request = malloc(len + 256);
    assert_non_null(request);
    int head = sprintf(request, "POST /requestStack HTTP/1.1\r\n" AUTH "Content-Length: %zu\r\n\r\n", len);
    memset(request + head, 'b', len);
    request[(size_t)head + len] = '\0';
    return request;
}
