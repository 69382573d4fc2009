/*
 * Start: file limit → store → service → HTTP → nng → control socket → ready. What is started later may use what was
 * started before. Drain:
 *
 *     not ready, nothing new ─► the queue runs empty, durable ─► answers are flushed ─► transports end ─► store closes
 *
 * The store's lock is released last, so that the next daemon starts on a closed database and finds no control socket.
 */
#include "coordinator/coordinator.h"

#include <errno.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "base/failpoint.h"
#include "base/limits.h"
#include "http/http.h"
#include "rpc/rpc.h"
#include "service/service.h"

#define CONTROL_NAME "control.sock"

struct Coordinator {
    CoordinatorDeps deps;
    Store *store;
    Service *service;
    bool is_started; /* the service's worker runs */
    Http *http, *https;
    Rpc *rpc, *control;
    char *data_dir; /* absolute */
    char *program;  /* name and version, noted in the database */
};

/* A connection is a descriptor, and the soft limit is for programs that use select(). */
static void raise_file_limit(const Logger *log) {
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return;
    limit.rlim_cur = limit.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &limit) != 0)
        LOG(log, LOG_WARNING, "the limit of open files cannot be raised", log_string("reason", strerror(errno)));
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0)
        LOG(log, LOG_INFO, "open files", log_number("limit", (int64_t)limit.rlim_cur));
}

/* Who can write the folder can put files of his own in the place of ours. One that is not there yet the store makes. */
int coordinator_check_data_dir(const char *path, Buffer *reason) {
    struct stat status;
    if (stat(path, &status) != 0) {
        int error = -errno;
        if (error == -ENOENT)
            return 0;
        buffer_printf(reason, "%s: %s", path, strerror(-error));
        return error;
    }
    if (!S_ISDIR(status.st_mode)) {
        buffer_printf(reason, "%s is no folder: choose another --data", path);
        return -ENOTDIR;
    }
    if (status.st_uid != geteuid() && status.st_uid != 0) {
        buffer_printf(reason, "%s belongs to another user: run as that user, or choose another --data", path);
        return -EPERM;
    }
    if ((status.st_mode & S_IWOTH) != 0) {
        buffer_printf(reason, "%s can be written by everybody: chmod o-w it, or choose another --data", path);
        return -EPERM;
    }
    return 0;
}

static int open_store(Coordinator *c, Buffer *reason) {
    int error = coordinator_check_data_dir(c->deps.data_dir, reason);
    if (error != 0)
        return error;
    if (asprintf(&c->program, "%s %s", coordinator_program.name, coordinator_program.version) < 0) {
        c->program = NULL;
        return -ENOMEM;
    }
    StoreOptions options = {.data_dir = c->deps.data_dir,
                            .vfs = c->deps.vfs,
                            .url = c->deps.store_url,
                            .clock = c->deps.clock,
                            .program = c->program};
    int result = options.url != NULL ? store_open_postgres(&c->store, &options, reason)
                                     : store_open_sqlite(&c->store, &options, reason);
    if (result != 0)
        return result < 0 ? result : -EIO;
    c->data_dir = realpath(c->deps.data_dir, NULL);
    return c->data_dir != NULL ? 0 : -errno;
}

static int start_service(Coordinator *c, Buffer *reason) {
    ServiceOptions options = {.store = c->store,
                              .clock = c->deps.clock,
                              .random = c->deps.random,
                              .log = c->deps.log,
                              .version = coordinator_program.version};
    int error = service_new(&c->service, &options);
    if (error != 0)
        return error;
    service_on_broken(c->service, c->deps.on_broken, c->deps.on_broken_arg);
    error = service_start(c->service);
    c->is_started = error == 0;
    if (error == -EIO)
        buffer_add_text(reason, store_reason(c->store));
    return error;
}

static int start_http(Coordinator *c, Buffer *reason) {
    const CoordinatorOptions *o = c->deps.options;
    HttpOptions options = {.address = o->http,
                           .agents_dir = o->agents,
                           .max_connections = (unsigned)o->max_connections,
                           .service = c->service,
                           .log = c->deps.log};
    int error = 0;
    if (o->http != NULL && strcmp(o->http, "none") != 0)
        error = http_new(&c->http, &options, reason);
    if (error != 0 || o->https == NULL)
        return error;
    options.address = o->https;
    options.certificate_path = o->tls_cert;
    options.key_path = o->tls_key;
    return http_new(&c->https, &options, reason);
}

static int start_rpc(Coordinator *c, Buffer *reason) {
    const CoordinatorOptions *o = c->deps.options;
    if (o->nng.count == 0)
        return 0;
    RpcOptions options = {.urls = o->nng.items,
                          .url_count = o->nng.count,
                          .certificate_path = o->tls_cert,
                          .key_path = o->tls_key,
                          .allow_insecure = o->is_nng_insecure,
                          .service = c->service,
                          .log = c->deps.log};
    return rpc_new(&c->rpc, &options, reason);
}

static int start_control(Coordinator *c, Buffer *reason) {
    OWN(freep) char *url = NULL;
    if (asprintf(&url, "ipc://%s/" CONTROL_NAME, c->data_dir) < 0)
        return -ENOMEM;
    const char *urls[] = {url};
    RpcOptions options = {.urls = urls, .url_count = 1, .is_control = true, .service = c->service, .log = c->deps.log};
    return rpc_new(&c->control, &options, reason);
}

static void log_ready(const Coordinator *c) {
    size_t count = 0;
    const char *const *urls = c->rpc != NULL ? rpc_urls(c->rpc, &count) : NULL;
    OWN(buffer_deinit) Buffer nng;
    buffer_init(&nng, ANSWER_MAX);
    buffer_add_char(&nng, '[');
    for (size_t i = 0; i < count; i++) {
        if (i > 0)
            buffer_add_char(&nng, ',');
        buffer_add_json_text(&nng, slice_of(urls[i]));
    }
    buffer_add_char(&nng, ']');
    OWN(freep) char *control = NULL;
    if (asprintf(&control, "%s/" CONTROL_NAME, c->data_dir) < 0)
        control = NULL;
    LOG(c->deps.log, LOG_INFO, "ready", log_string("http", c->http != NULL ? http_address(c->http) : NULL),
        log_string("https", c->https != NULL ? http_address(c->https) : NULL), log_json("nng", buffer_slice(&nng)),
        log_string("control", control), log_string("version", coordinator_program.version));
}

static void coordinator_freep(Coordinator **coordinator) {
    *coordinator = coordinator_free(*coordinator);
}

int coordinator_new(Coordinator **out, const CoordinatorDeps *deps, Buffer *reason) {
    OWN(coordinator_freep) Coordinator *c = calloc(1, sizeof *c);
    if (c == NULL)
        return -ENOMEM;
    c->deps = *deps;
    raise_file_limit(deps->log);
    int error = open_store(c, reason);
    FAILPOINT("opened");
    if (error == 0)
        error = start_service(c, reason);
    FAILPOINT("started");
    if (error == 0)
        error = start_http(c, reason);
    if (error == 0)
        error = start_rpc(c, reason);
    if (error == 0)
        error = start_control(c, reason);
    if (error != 0)
        return error;
    log_ready(c);
    *out = steal(&c);
    return 0;
}

static bool has_tls_over_nng(const CoordinatorOptions *o) {
    for (size_t i = 0; i < o->nng.count; i++)
        if (strncmp(o->nng.items[i], "tls+", 4) == 0)
            return true;
    return false;
}

void coordinator_reload_tls(Coordinator *c) {
    OWN(buffer_deinit) Buffer reason;
    buffer_init(&reason, BODY_MAX);
    int r = c->https != NULL ? http_reload_tls(c->https, &reason) : 0;
    if (r != 0)
        LOG(c->deps.log, LOG_ERROR, "the certificate stays as it was", log_string("reason", buffer_text(&reason)));
    else if (c->https != NULL)
        LOG(c->deps.log, LOG_INFO, "the certificate was read again");
    if (has_tls_over_nng(c->deps.options))
        LOG(c->deps.log, LOG_WARNING, "nng keeps its certificate until a restart");
    else if (c->https == NULL)
        LOG(c->deps.log, LOG_INFO, "there is no certificate to read again");
}

static void quiesce(Coordinator *c) {
    Http *const https[] = {c->http, c->https};
    Rpc *const rpcs[] = {c->rpc, c->control};
    service_drain(c->service);
    for (size_t i = 0; i < COUNT_OF(https); i++) {
        if (https[i] != NULL)
            http_quiesce(https[i]);
    }
    for (size_t i = 0; i < COUNT_OF(rpcs); i++) {
        if (rpcs[i] != NULL)
            rpc_quiesce(rpcs[i]);
    }
}

/* All of them together within DRAIN_FLUSH_MS. */
static void flush(Coordinator *c) {
    Http *const https[] = {c->http, c->https};
    Rpc *const rpcs[] = {c->rpc, c->control};
    const Clock *clock = clock_system(); /* it bounds a real wait, whatever time a test plays */
    int64_t until_ms = clock_boot_ms(clock) + DRAIN_FLUSH_MS;
    for (size_t i = 0; i < COUNT_OF(https); i++) {
        int64_t left_ms = until_ms - clock_boot_ms(clock);
        if (https[i] != NULL)
            http_flush(https[i], left_ms > 0 ? left_ms : 0);
    }
    for (size_t i = 0; i < COUNT_OF(rpcs); i++) {
        int64_t left_ms = until_ms - clock_boot_ms(clock);
        if (rpcs[i] != NULL)
            rpc_flush(rpcs[i], left_ms > 0 ? left_ms : 0);
    }
}

Coordinator *coordinator_free(Coordinator *c) {
    if (c == NULL)
        return NULL;
    if (c->is_started) {
        quiesce(c);
        FAILPOINT("draining");
        service_stop(c->service);
        FAILPOINT("drained");
        flush(c);
    }
    c->control = rpc_free(c->control);
    c->rpc = rpc_free(c->rpc);
    c->https = http_free(c->https);
    c->http = http_free(c->http);
    c->service = service_free(c->service);
    FAILPOINT("closing");
    c->store = store_close(c->store);
    FAILPOINT("closed");
    free(c->data_dir);
    free(c->program);
    free(c);
    return NULL;
}
