/* Puts the parts together, in the order in which they need one another, and takes them apart in reverse. */
#include "http/http.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/eventfd.h>

#include "base/limits.h"
#include "http/acceptor.h"
#include "http/listener.h"
#include "protocol/openapi.h"

#define OPENAPI_MAX (4 * 1024 * 1024)

struct Http {
    HttpContext context;
    Acceptor acceptor;
    bool is_accepting;
    char address[LISTENER_ADDRESS_SIZE];
    char *certificate_path, *key_path; /* NULL: plain */
};

static const HttpLimits default_limits = {
    .request_ms = HTTP_REQUEST_SECONDS * 1000,
    .idle_ms = HTTP_IDLE_SECONDS * 1000,
    .answer_ms = HTTP_REQUEST_SECONDS * 1000,
    .tick_ms = 1000,
    .settled_ms = 1000,
    .pause_ms = 100,
    .crowd = HTTP_CROWD,
};

/* The whole of a small text file, NUL-terminated, malloc'd. 0 | -errno with a sentence in `reason`. */
static int read_text(const char *path, char **out, Buffer *reason) {
    Buffer text;
    buffer_init(&text, HTTP_TLS_FILE_MAX);
    OWN(closep) int fd = open(path, O_RDONLY | O_CLOEXEC);
    int error = fd < 0 ? -errno : 0;
    while (error == 0) {
        char *room = buffer_reserve(&text, 4096);
        if (room == NULL) {
            error = buffer_error(&text);
            break;
        }
        ssize_t len = read(fd, room, 4096);
        if (len == 0)
            break;
        if (len > 0)
            buffer_grew(&text, (size_t)len);
        else if (errno != EINTR)
            error = -errno;
    }
    buffer_add_char(&text, '\0');
    if (error == 0)
        error = buffer_error(&text);
    size_t len = 0;
    char *bytes = error == 0 ? buffer_steal(&text, &len) : NULL;
    buffer_deinit(&text);
    if (error != 0) {
        buffer_printf(reason, "cannot read %s: %s", path, strerror(-error));
        return error;
    }
    *out = bytes;
    return 0;
}

/* A server with the certificate as it is on disk now, or a plain one. */
static int new_server(Http *http, Server **out, Buffer *reason) {
    OWN(freep) char *certificate = NULL, *key = NULL;
    if (http->certificate_path != NULL) {
        int error = read_text(http->certificate_path, &certificate, reason);
        if (error == 0)
            error = read_text(http->key_path, &key, reason);
        if (error != 0)
            return error;
    }
    char *given_certificate = steal(&certificate), *given_key = steal(&key);
    return server_new(out, &http->context, given_certificate, given_key, reason);
}

static int context_init(HttpContext *context, const HttpOptions *options, const HttpLimits *limits, Buffer *reason) {
    *context = (HttpContext){
        .service = options->service,
        .log = options->log,
        .limits = *limits,
        .max_connections = options->max_connections != 0 ? options->max_connections : HTTP_CONNECTIONS_DEFAULT,
        .agents_fd = -1,
    };
    atomic_store(&context->now_ms, clock_boot_ms(clock_system()));
    atomic_store(&context->noise_ms, INT64_MIN / 2);
    buffer_init(&context->openapi, OPENAPI_MAX);
    context->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (context->wake_fd < 0)
        return -errno;
    int error = connection_table_init(&context->connections);
    if (error == 0)
        error = -pthread_mutex_init(&context->flush_lock, NULL);
    if (error == 0)
        error = clock_condition_init(&context->flushed);
    if (error != 0)
        return error;
    if (options->agents_dir != NULL) {
        context->agents_fd = open(options->agents_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (context->agents_fd < 0) {
            error = -errno;
            buffer_printf(reason, "cannot open the agents' folder %s: %s", options->agents_dir, strerror(-error));
            return error;
        }
    }
    error = hang_ups_start(&context->hang_ups, options->service);
    if (error != 0)
        return error;
    openapi_write(service_version(options->service), &context->openapi);
    return buffer_error(&context->openapi);
}

static void context_deinit(HttpContext *context) {
    hang_ups_stop(&context->hang_ups);
    closep(&context->wake_fd);
    closep(&context->agents_fd);
    buffer_deinit(&context->openapi);
    (void)pthread_cond_destroy(&context->flushed);
    (void)pthread_mutex_destroy(&context->flush_lock);
    connection_table_deinit(&context->connections);
}

static void http_freep(Http **http) {
    *http = http_free(*http);
}

/* Copies what a later reload needs. */
static int remember_paths(Http *http, const HttpOptions *options, Buffer *reason) {
    if ((options->certificate_path == NULL) != (options->key_path == NULL)) {
        buffer_add_text(reason, "a certificate and its key are given together");
        return -EINVAL;
    }
    if (options->certificate_path == NULL)
        return 0;
    http->certificate_path = strdup(options->certificate_path);
    http->key_path = strdup(options->key_path);
    return http->certificate_path != NULL && http->key_path != NULL ? 0 : -ENOMEM;
}

static int start_accepting(Http *http, const HttpOptions *options, Buffer *reason) {
    OWN(closep) int listen_fd = -1;
    bool is_loopback = false;
    int error = listener_open(options->address, &listen_fd, http->address, &is_loopback, reason);
    if (error != 0)
        return error;
    Server *server = NULL;
    error = new_server(http, &server, reason);
    if (error != 0)
        return error;
    if (!is_loopback && http->certificate_path == NULL)
        LOG(options->log, LOG_WARNING, "http without TLS can be reached from other machines: keys travel in the clear",
            log_string("address", http->address));
    int given = listen_fd;
    listen_fd = -1;
    error = acceptor_start(&http->acceptor, &http->context, given, server);
    http->is_accepting = error == 0;
    return error;
}

int http_new_limited(Http **out, const HttpOptions *options, const HttpLimits *limits, Buffer *reason) {
    OWN(http_freep) Http *http = calloc(1, sizeof *http);
    if (http == NULL)
        return -ENOMEM;
    int error = context_init(&http->context, options, limits, reason);
    if (error == 0)
        error = remember_paths(http, options, reason);
    if (error == 0)
        error = start_accepting(http, options, reason);
    if (error != 0) {
        if (reason->len == 0)
            buffer_printf(reason, "the HTTP server cannot start: %s", strerror(-error));
        return error;
    }
    *out = steal(&http);
    return 0;
}

int http_new(Http **out, const HttpOptions *options, Buffer *reason) {
    return http_new_limited(out, options, &default_limits, reason);
}

const char *http_address(const Http *http) {
    return http->address;
}

int http_reload_tls(Http *http, Buffer *reason) {
    if (http->certificate_path == NULL)
        return 0;
    Server *server = NULL;
    int error = new_server(http, &server, reason);
    if (error != 0)
        return error;
    error = acceptor_replace_server(&http->acceptor, server);
    if (error != 0)
        buffer_add_text(reason, "connections under earlier certificates are still open; try again in two minutes");
    return error;
}

void http_quiesce(Http *http) {
    atomic_store(&http->context.is_closing, true);
    acceptor_quiesce(&http->acceptor);
}

void http_flush(Http *http, int64_t ms) {
    HttpContext *context = &http->context;
    const Clock *clock = clock_system();
    int64_t until_ms = clock_boot_ms(clock) + ms;
    (void)pthread_mutex_lock(&context->flush_lock);
    atomic_store(&context->is_flushing, true);
    while (atomic_load(&context->under_way) > 0 && clock_boot_ms(clock) < until_ms)
        clock->vtable->wait(clock, &context->flushed, &context->flush_lock, until_ms);
    atomic_store(&context->is_flushing, false);
    (void)pthread_mutex_unlock(&context->flush_lock);
}

Http *http_free(Http *http) {
    if (http == NULL)
        return NULL;
    if (http->is_accepting)
        acceptor_stop(&http->acceptor);
    context_deinit(&http->context);
    free(http->certificate_path);
    free(http->key_path);
    free(http);
    return NULL;
}
