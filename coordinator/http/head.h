/*
 * What the header fields say that matters here. This is also where a request whose length two readers could understand
 * differently is refused: behind a proxy, a body one of them takes for the next request is a request smuggled past it.
 */
#pragma once

#include <microhttpd.h>

#include "base/slice.h"

typedef struct Head {
    Slice credential; /* X-API-Key's value, else the token of `Authorization: Bearer`; absent: none. Borrowed */
    uint64_t length;  /* Content-Length's value, UINT64_MAX when larger than that; 0: it was not sent */
} Head;

/* NULL, or a sentence that says what is wrong with it. */
const char *head_read(struct MHD_Connection *mhd, const char *version, Head *out);
