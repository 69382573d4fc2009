/*
 * HTTP/1.1 over libmicrohttpd: bytes → operation → service → bytes, and the pages that are no operation (/healthz /readyz
 * /metrics /openapi.json /agent/<os>-<arch>). One Http is one listening socket, plain or TLS.
 *
 * Poll mode, never epoll: with suspend/resume libmicrohttpd's epoll loop stalls for good (0.9.75, 1.0.1).
 */
#pragma once

#include "service/service.h"

typedef struct Http Http;

typedef struct HttpOptions {
    const char *address;                     /* "127.0.0.1:7878", "[::1]:0", ":7878" (all addresses) */
    const char *certificate_path, *key_path; /* both: TLS; neither: plain */
    const char *agents_dir;                  /* NULL: /agent/… answers 404 with the way out */
    unsigned max_connections;                /* 0: HTTP_CONNECTIONS_DEFAULT */
    Service *service;
    const Logger *log;
} HttpOptions;

/* Bound and serving. 0 | -errno, with one sentence in `reason`. */
int http_new(Http **out, const HttpOptions *options, Buffer *reason) MUST_USE;
/* "127.0.0.1:41234": what was bound, port 0 resolved. */
const char *http_address(const Http *http);
/* Reads certificate and key again; the old ones stay on failure (a sentence in `reason`). No-op when plain. */
int http_reload_tls(Http *http, Buffer *reason) MUST_USE;
/* No new connections; answers from now on carry `Connection: close`. */
void http_quiesce(Http *http);
/* Waits until no operation of this transport is under way and answers were written, at most `ms`. */
void http_flush(Http *http, int64_t ms);
/* Stops; no operation may be under way. Takes NULL, returns NULL. */
Http *http_free(Http *http);
