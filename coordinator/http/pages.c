/* One row a page. */
#include "http/pages.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "http/context.h"
#include "http/reply.h"

#define METRICS_MAX (1024 * 1024)
#define METRICS_TYPE "text/plain; version=0.0.4; charset=utf-8"

typedef struct PageRow {
    const char *path;
    bool is_folder; /* what follows the path is the argument */
    void (*answer)(HttpContext *context, const char *argument, Reply *reply);
} PageRow;

static void answer_health(HttpContext *context, const char *argument, Reply *reply) {
    (void)context;
    (void)argument;
    static const Slice body = SLICE_LITERAL("ok\n");
    reply_with_static(reply, MHD_HTTP_OK, REPLY_TEXT, body);
}

static void answer_readiness(HttpContext *context, const char *argument, Reply *reply) {
    (void)argument;
    static const Slice ready = SLICE_LITERAL("ready\n"), not_ready = SLICE_LITERAL("not ready\n");
    if (service_is_ready(context->service) && !atomic_load(&context->is_closing)) {
        reply_with_static(reply, MHD_HTTP_OK, REPLY_TEXT, ready);
        return;
    }
    reply_with_static(reply, MHD_HTTP_SERVICE_UNAVAILABLE, REPLY_TEXT, not_ready);
    reply->retry_after_seconds = 1;
}

static void answer_metrics(HttpContext *context, const char *argument, Reply *reply) {
    (void)argument;
    Buffer text;
    buffer_init(&text, METRICS_MAX);
    service_metrics(context->service, &text);
    if (buffer_error(&text) != 0)
        reply_with_problem(reply, OUTCOME_INTERNAL, "The metrics do not fit into memory.");
    else
        reply_with_buffer(reply, MHD_HTTP_OK, METRICS_TYPE, &text);
    buffer_deinit(&text);
}

static void answer_openapi(HttpContext *context, const char *argument, Reply *reply) {
    (void)argument;
    reply_with_static(reply, MHD_HTTP_OK, REPLY_JSON, buffer_slice(&context->openapi));
}

/* 0 | -errno. Only regular files: a pipe would hold up everybody. */
static int open_agent(int folder, const char *name, int *out, uint64_t *size) {
    if (folder < 0 || name[0] == '\0')
        return -ENOENT;
    OWN(closep) int fd = openat(folder, name, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0)
        return -errno;
    struct stat status;
    if (fstat(fd, &status) != 0)
        return -errno;
    if (!S_ISREG(status.st_mode))
        return -ENOENT;
    *size = (uint64_t)status.st_size;
    *out = fd;
    fd = -1;
    return 0;
}

static void answer_agent(HttpContext *context, const char *argument, Reply *reply) {
    int fd = -1;
    uint64_t size = 0;
    if (open_agent(context->agents_fd, argument, &fd, &size) == 0) {
        reply_with_file(reply, "application/octet-stream", fd, size);
        return;
    }
    reply_with_problem(reply, OUTCOME_UNKNOWN_OPERATION,
                       context->agents_fd < 0
                           ? "This coordinator offers no agents: start it with --agents DIR, where DIR holds the "
                             "static stack-agent programs, named <os>-<arch>, for example linux-x86_64."
                           : "There is no agent of that name here: put the static stack-agent program into the "
                             "coordinator's --agents folder under the name <os>-<arch>, for example linux-x86_64 "
                             "(lower-case letters, digits, '_' and '-').");
}

static const PageRow pages[PAGE_COUNT] = {
    [PAGE_HEALTH] = {.path = "/healthz", .answer = answer_health},
    [PAGE_READINESS] = {.path = "/readyz", .answer = answer_readiness},
    [PAGE_METRICS] = {.path = "/metrics", .answer = answer_metrics},
    [PAGE_OPENAPI] = {.path = "/openapi.json", .answer = answer_openapi},
    [PAGE_AGENT] = {.path = "/agent/", .is_folder = true, .answer = answer_agent},
};

PageId page_by_path(Slice path, Slice *argument) {
    for (unsigned id = 0; id < PAGE_COUNT; id++) {
        const PageRow *row = &pages[id];
        if (!row->is_folder && slice_equal_text(path, row->path))
            return (PageId)id;
        if (row->is_folder && slice_starts_with(path, row->path)) {
            size_t skip = strlen(row->path);
            *argument = (Slice){.ptr = path.ptr + skip, .len = path.len - skip};
            return (PageId)id;
        }
    }
    return PAGE_COUNT;
}

void page_answer(HttpContext *context, PageId page, const char *argument, Reply *reply) {
    pages[page].answer(context, argument, reply);
}
