/* What the tests of the HTTP transport share: a server over a service that echoes, and a client that says bytes. */
#pragma once

#include "base/log.h"
#include "http/context.h"
#include "unit/stub_service.h"

#define PATIENCE_MS 20000 /* no answer for so long fails a test */

#define AUTH "Host: x\r\nX-API-Key: good\r\n"
#define PLAIN_POST "POST /requestStack HTTP/1.1\r\n" AUTH "Content-Length: 2\r\n\r\n{}"
#define HOLDING_POST "POST /requestStack HTTP/1.1\r\n" AUTH "Content-Length: 4\r\n\r\nhold"
#define HEALTH "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"

/* ---- the world ---- */

typedef struct World {
    Service *service;
    Http *http;
    Logger log;
    char folder[64]; /* temporary; "" until made */
} World;

extern const HttpLimits usual_limits;

/* For each test. Nothing is served yet. */
int begin(void **state);
int end(void **state);
void serve_with(World *world, HttpOptions options, const HttpLimits *limits);
void serve(World *world);
/* world->folder, which ends with the world; and a file in it. */
void make_folder(World *world);
void write_file(const World *world, const char *name, const char *text);

/* ---- a client ---- */

uint16_t port_of(const World *world);
/* -1: refused. */
int try_dial(const World *world);
int dial(const World *world);
void say_bytes(int fd, const char *bytes, size_t len);
void say(int fd, const char *text);
/* "POST /requestStack" with `len` bytes of body. malloc'd. */
char *post_of(size_t len);
bool is_readable(int fd, int ms);

typedef struct Heard {
    int status; /* 0: the connection ended before an answer */
    char head[8192];
    char *body;
    size_t body_len;
} Heard;

/* One answer. `is_head`: a HEAD's, whose length is not that of bytes to come. */
void hear_as(int fd, Heard *heard, bool is_head);
void hear(int fd, Heard *heard);
void forget(Heard *heard);
bool has_field(const Heard *heard, const char *field);

/* Says the request; the answer has this status and, unless NULL, this text in its body. */
void expect(int fd, const char *request, int status, const char *in_body);
/* Everything up to the end of the connection holds a refusal and nothing else. libmicrohttpd 0.9.75 writes the head of
 * some of its own error pages twice, so the answers are not counted. */
void expect_refused_and_closed(int fd, const char *request);
/* The server has closed: nothing more comes, within patience. */
void assert_closed(int fd);
