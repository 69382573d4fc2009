/* Operations come from protocol's table, pages from pages.c; nothing is listed here. */
#include "http/route.h"

#include <string.h>

#define ALLOW_READS "GET, HEAD"
#define ALLOW_WRITES "POST"

/* RFC 9112 §3.2.2: a server takes the absolute form as well. */
static Slice without_origin(Slice target) {
    static const char *const schemes[] = {"http://", "https://"};
    for (size_t i = 0; i < COUNT_OF(schemes); i++) {
        if (!slice_starts_with(target, schemes[i]))
            continue;
        size_t skip = strlen(schemes[i]);
        const char *path = memchr(target.ptr + skip, '/', target.len - skip);
        if (path == NULL)
            return (Slice){.ptr = "/", .len = 1};
        return (Slice){.ptr = path, .len = target.len - (size_t)(path - target.ptr)};
    }
    return target;
}

static bool is_agent_name(Slice name) {
    for (size_t i = 0; i < name.len; i++) {
        char c = name.ptr[i];
        if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == '-'))
            return false;
    }
    return name.len > 0 && name.len <= ROUTE_ARGUMENT_MAX;
}

void route_find(Slice target, Route *route, Slice *query) {
    *route = (Route){.kind = ROUTE_UNKNOWN, .operation = OP_COUNT, .page = PAGE_COUNT};
    *query = SLICE_ABSENT;
    Slice rest = without_origin(target), path = rest;
    if (slice_split(&rest, '?', &path))
        *query = rest;
    if (path.len < 2 || path.ptr[0] != '/')
        return;

    OperationId operation = operation_by_name((Slice){.ptr = path.ptr + 1, .len = path.len - 1});
    if (operation != OP_COUNT) {
        const OperationRow *row = operation_row(operation);
        if (row->scope == SCOPE_ADMIN)
            return; /* the control socket's: not there at all over HTTP */
        route->kind = ROUTE_OPERATION;
        route->operation = operation;
        route->allow = (row->flags & OPERATION_READS) != 0 ? ALLOW_READS : ALLOW_WRITES;
        return;
    }
    Slice argument = SLICE_ABSENT;
    route->page = page_by_path(path, &argument);
    if (route->page == PAGE_COUNT)
        return;
    route->kind = ROUTE_PAGE;
    route->allow = ALLOW_READS;
    if (is_agent_name(argument))
        memcpy(route->argument, argument.ptr, argument.len);
}

int route_check_method(const Route *route, const char *method) {
    bool is_read = strcmp(method, "GET") == 0 || strcmp(method, "HEAD") == 0;
    bool is_write = strcmp(method, "POST") == 0;
    bool fits = route->allow[0] == ALLOW_WRITES[0] ? is_write : is_read;
    return fits ? ROUTE_METHOD_FITS : ROUTE_METHOD_NOT_ALLOWED;
}
