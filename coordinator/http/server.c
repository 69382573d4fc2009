/* Options and callbacks of one libmicrohttpd daemon. */
#include "http/server.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/limits.h"

#define LIMIT_SLACK 16          /* connections libmicrohttpd still counts when the acceptor knows they ended */
#define NOISE_INTERVAL_MS 60000 /* clients cause most of what it logs, so it may not fill the log */
#define TLS_PRIORITIES "NORMAL:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2"

static void PRINTF_LIKE(2, 0) log_line(void *server_arg, const char *format, va_list arguments) {
    Server *server = server_arg;
    HttpContext *context = server->context;
    char line[512];
    int len = vsnprintf(line, sizeof line, format, arguments);
    if (len < 0)
        return;
    size_t end = strlen(line);
    while (end > 0 && line[end - 1] == '\n')
        line[--end] = '\0';
    if (server->is_starting) {
        (void)snprintf(server->problem, sizeof server->problem, "%s", line);
        return;
    }
    int64_t now_ms = http_now_ms(context);
    int64_t last_ms = atomic_load_explicit(&context->noise_ms, memory_order_relaxed);
    bool is_rare = now_ms - last_ms >= NOISE_INTERVAL_MS;
    if (is_rare)
        atomic_store_explicit(&context->noise_ms, now_ms, memory_order_relaxed);
    LOG(context->log, is_rare ? LOG_INFO : LOG_DEBUG, "http", log_string("detail", line));
}

static void connection_changed(void *server_arg, struct MHD_Connection *mhd, void **connection_arg,
                               enum MHD_ConnectionNotificationCode what) {
    Server *server = server_arg;
    HttpContext *context = server->context;
    if (what == MHD_CONNECTION_NOTIFY_STARTED) {
        const union MHD_ConnectionInfo *info = MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_CONNECTION_FD);
        int fd = info != NULL ? info->connect_fd : -1;
        info = MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
        Connection *connection =
            connection_new(&context->connections, server, fd, info != NULL ? info->client_addr : NULL);
        atomic_fetch_add(&context->connections.started, 1);
        *connection_arg = connection;
        if (connection != NULL)
            connection_await_request(connection, http_now_ms(context),
                                     http_now_ms(context) + context->limits.request_ms);
        else
            (void)shutdown(fd, SHUT_RDWR); /* short of memory; without a Connection nothing would watch over it */
        return;
    }
    *connection_arg = connection_free(&context->connections, *connection_arg);
    if (atomic_load(&context->is_full))
        http_wake_acceptor(context);
}

/* 0 | -errno. */
static int start(Server *server) {
    HttpContext *context = server->context;
    bool is_tls = server->certificate != NULL;
    const HttpLimits *limits = &context->limits;
    int64_t silent_ms = limits->idle_ms > limits->request_ms ? limits->idle_ms : limits->request_ms;
    struct MHD_OptionItem options[] = {
        {MHD_OPTION_EXTERNAL_LOGGER, (intptr_t)log_line, server}, /* first, to catch all it says */
        {MHD_OPTION_URI_LOG_CALLBACK, (intptr_t)call_begin, server},
        {MHD_OPTION_NOTIFY_COMPLETED, (intptr_t)call_completed, server},
        {MHD_OPTION_NOTIFY_CONNECTION, (intptr_t)connection_changed, server},
        {MHD_OPTION_CONNECTION_LIMIT, (intptr_t)context->max_connections + LIMIT_SLACK, NULL},
        {MHD_OPTION_CONNECTION_TIMEOUT, (intptr_t)(silent_ms + 999) / 1000, NULL},
        {MHD_OPTION_CONNECTION_MEMORY_LIMIT, HTTP_POOL_BYTES, NULL},
        {MHD_OPTION_STRICT_FOR_CLIENT, 1, NULL},
        {is_tls ? MHD_OPTION_HTTPS_MEM_CERT : MHD_OPTION_END, 0, server->certificate},
        {MHD_OPTION_HTTPS_MEM_KEY, 0, server->key},
        {MHD_OPTION_HTTPS_PRIORITIES, 0, (void *)(uintptr_t)TLS_PRIORITIES},
        {MHD_OPTION_END, 0, NULL},
    };
    unsigned flags = (unsigned)MHD_USE_POLL_INTERNAL_THREAD | (unsigned)MHD_ALLOW_SUSPEND_RESUME |
                     (unsigned)MHD_USE_NO_LISTEN_SOCKET | (unsigned)MHD_USE_ERROR_LOG |
                     (is_tls ? (unsigned)MHD_USE_TLS : 0u);
    errno = 0;
    server->is_starting = true;
    server->daemon =
        MHD_start_daemon(flags, 0, NULL, NULL, call_handle, server, MHD_OPTION_ARRAY, options, MHD_OPTION_END);
    server->is_starting = false;
    if (server->daemon != NULL)
        return 0;
    return errno != 0 ? -errno : -EINVAL;
}

int server_new(Server **out, HttpContext *context, char *certificate, char *key, Buffer *reason) {
    Server *server = calloc(1, sizeof *server);
    if (server == NULL) {
        free(certificate);
        free(key);
        return -ENOMEM;
    }
    server->context = context;
    server->certificate = certificate;
    server->key = key;
    if (certificate != NULL && MHD_is_feature_supported(MHD_FEATURE_TLS) != MHD_YES) {
        buffer_add_text(reason, "this libmicrohttpd was built without TLS");
        (void)server_free(server);
        return -ENOTSUP;
    }
    int error = start(server);
    if (error != 0) {
        buffer_printf(reason, "%s: %s",
                      certificate != NULL ? "certificate and key cannot be used" : "the HTTP server cannot start",
                      server->problem[0] != '\0' ? server->problem : strerror(-error));
        (void)server_free(server);
        return error;
    }
    *out = server;
    return 0;
}

int server_another(Server **out, const Server *server, Buffer *reason) {
    if (server->certificate == NULL)
        return server_new(out, server->context, NULL, NULL, reason);
    char *certificate = strdup(server->certificate), *key = strdup(server->key);
    if (certificate == NULL || key == NULL) {
        free(certificate);
        free(key);
        return -ENOMEM;
    }
    return server_new(out, server->context, certificate, key, reason);
}

Server *server_free(Server *server) {
    if (server == NULL)
        return NULL;
    if (server->daemon != NULL)
        MHD_stop_daemon(server->daemon);
    if (server->key != NULL)
        explicit_bzero(server->key, strlen(server->key));
    free(server->certificate);
    free(server->key);
    free(server);
    return NULL;
}

void server_add(Server *server, int fd, const struct sockaddr *peer, socklen_t peer_len) {
    /* On failure libmicrohttpd has closed the socket and told the log. */
    (void)MHD_add_connection(server->daemon, fd, peer, peer_len);
}

unsigned server_connections(const Server *server) {
    const union MHD_DaemonInfo *info = MHD_get_daemon_info(server->daemon, MHD_DAEMON_INFO_CURRENT_CONNECTIONS);
    return info != NULL ? info->num_connections : 0;
}
