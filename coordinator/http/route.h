/*
 * From a path to what answers it: an operation or a page. Paths are compared as sent, without decoding: no path of ours
 * needs an escape, and a second spelling of one path only confuses a proxy's rules.
 */
#pragma once

#include "http/pages.h"
#include "protocol/operations.h"

#define ROUTE_ARGUMENT_MAX 63

typedef enum RouteKind { ROUTE_UNKNOWN, ROUTE_OPERATION, ROUTE_PAGE } RouteKind;

typedef struct Route {
    RouteKind kind;
    OperationId operation;
    PageId page;
    const char *allow;                     /* the methods it knows, as the header says them */
    char argument[ROUTE_ARGUMENT_MAX + 1]; /* of pages below a folder: "linux-x86_64"; "" when there is none or it is no
                                              name such a page can have */
} Route;

/* `target` is the request line's: "/listStacks?limit=3", or with the scheme and host a proxy puts before it. *query is
 * what stands behind the first '?', absent without one; borrowed. */
void route_find(Slice target, Route *route, Slice *query);

enum { ROUTE_METHOD_FITS = 0, ROUTE_METHOD_NOT_ALLOWED = 1 };
/* HEAD counts as GET. */
int route_check_method(const Route *route, const char *method) MUST_USE;
