/*
 * Listeners, and the connections they bring. Its life:
 *
 *     rpc_new ─► serving ─► rpc_quiesce ─► rpc_flush ─► (service_stop) ─► rpc_free
 */
#include "rpc/rpc.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <nng/nng.h>
#include <nng/supplemental/tls/tls.h>

#include "base/limits.h"
#include "rpc/connections.h"
#include "rpc/control.h"

/* After the last answer peers get this long to read it. */
#define LINGER_MS 1000
#define ACCEPT_PAUSE_MS 100 /* before the next try, when descriptors or memory are short */
#define PEM_MAX (1024 * 1024)

typedef struct Listener {
    Connections *connections;
    nng_stream_listener *stream;
    nng_aio *accepting;
    bool is_ipc;
    char *url; /* what was bound */
} Listener;

struct Rpc {
    Connections *connections;
    Listener *listeners;
    char **urls; /* theirs */
    size_t count;
};

/* --- listeners --- */

static int explain_nng(const char *url, int nng_error, Buffer *reason) {
    static const struct {
        int nng_error, error;
    } meanings[] = {
        {NNG_EADDRINUSE, EADDRINUSE}, {NNG_EADDRINVAL, EADDRNOTAVAIL},
        {NNG_EPERM, EACCES},          {NNG_ENOMEM, ENOMEM},
        {NNG_ENOTSUP, EINVAL},        {NNG_EINVAL, EINVAL},
        {NNG_ENOFILES, EMFILE},       {NNG_ENOENT, ENOENT},
    };
    buffer_printf(reason, "cannot listen at %s: %s", url, nng_strerror(nng_error));
    for (size_t i = 0; i < COUNT_OF(meanings); i++) {
        if (meanings[i].nng_error == nng_error)
            return -meanings[i].error;
    }
    return -EIO;
}

static int read_pem(const char *path, Buffer *out, Buffer *reason) {
    FILE *file = fopen(path, "re");
    int error = file != NULL ? 0 : -errno;
    char piece[4096];
    size_t len = 0;
    while (file != NULL && (len = fread(piece, 1, sizeof piece, file)) > 0)
        buffer_add(out, piece, len);
    if (file != NULL && ferror(file) != 0)
        error = -EIO;
    if (file != NULL)
        (void)fclose(file);
    if (error == 0)
        error = buffer_error(out);
    if (error != 0)
        buffer_printf(reason, "cannot read %s: %s", path, strerror(-error));
    return error;
}

static void tls_config_freep(nng_tls_config **config) {
    if (*config != NULL)
        nng_tls_config_free(*config);
    *config = NULL;
}

static int set_up_tls(nng_stream_listener *listener, const RpcOptions *options, const char *url, Buffer *reason) {
    if (options->certificate_path == NULL || options->key_path == NULL) {
        buffer_printf(reason, "%s needs --tls-cert and --tls-key", url);
        return -EINVAL;
    }
    OWN(buffer_deinit) Buffer certificate;
    buffer_init(&certificate, PEM_MAX);
    OWN(buffer_deinit) Buffer key;
    buffer_init(&key, PEM_MAX);
    int error = read_pem(options->certificate_path, &certificate, reason);
    if (error == 0)
        error = read_pem(options->key_path, &key, reason);
    if (error != 0)
        return error;
    OWN(tls_config_freep) nng_tls_config *config = NULL;
    if ((error = nng_tls_config_alloc(&config, NNG_TLS_MODE_SERVER)) != 0)
        return explain_nng(url, error, reason);
    if ((error = nng_tls_config_auth_mode(config, NNG_TLS_AUTH_MODE_NONE)) != 0 ||
        (error = nng_tls_config_own_cert(config, buffer_text(&certificate), buffer_text(&key), NULL)) != 0) {
        buffer_printf(reason, "the certificate %s and the key %s do not make a pair: %s", options->certificate_path,
                      options->key_path, nng_strerror(error));
        return -EINVAL;
    }
    if ((error = nng_stream_listener_set_ptr(listener, NNG_OPT_TLS_CONFIG, config)) != 0)
        return explain_nng(url, error, reason);
    return 0;
}

/* What must be right before nng is asked. */
static int check_url(const RpcOptions *options, const char *url, Buffer *reason) {
    Slice text = slice_of(url);
    if (slice_starts_with(text, "ipc://"))
        return control_check_path(url, reason);
    if (slice_starts_with(text, "tls+tcp://"))
        return 0;
    if (!slice_starts_with(text, "tcp://")) {
        buffer_printf(reason, "%s: the URL must begin with tcp://, tls+tcp:// or ipc://", url);
        return -EINVAL;
    }
    if (options->allow_insecure || control_is_loopback(url))
        return 0;
    buffer_printf(reason,
                  "%s would carry keys in the clear beyond this machine: use tls+tcp://, or --insecure-nng if the "
                  "network is trusted",
                  url);
    return -EACCES;
}

/* ---- accepting ---- */

static void accepted(void *arg) {
    Listener *l = arg;
    int error = nng_aio_result(l->accepting);
    if (error == NNG_ECLOSED || error == NNG_ECANCELED)
        return;
    nng_stream *stream = error == 0 ? nng_aio_get_output(l->accepting, 0) : NULL;
    if (stream != NULL)
        connections_add(l->connections, stream, l->is_ipc);
    if (error == NNG_ENOFILES || error == NNG_ENOMEM) {
        nng_aio_set_output(l->accepting, 0, NULL);
        nng_sleep_aio(ACCEPT_PAUSE_MS, l->accepting);
        return;
    }
    nng_aio_set_output(l->accepting, 0, NULL);
    nng_stream_listener_accept(l->stream, l->accepting);
}

static void stop_listening(Listener *l) {
    if (l->stream != NULL)
        nng_stream_listener_close(l->stream);
    if (l->accepting != NULL)
        nng_aio_stop(l->accepting);
}

static void listener_deinit(Listener *l) {
    stop_listening(l);
    if (l->accepting != NULL)
        nng_aio_free(l->accepting);
    if (l->stream != NULL)
        nng_stream_listener_free(l->stream);
    free(l->url);
    *l = (Listener){0};
}

/* The URL with the port that the system chose for a port 0. */
static char *bound_url(const Listener *l, const char *url) {
    char *bound = NULL;
    int port = 0;
    const char *colon = strrchr(url, ':');
    if (l->is_ipc || colon == NULL || nng_stream_listener_get_int(l->stream, NNG_OPT_TCP_BOUND_PORT, &port) != 0)
        return strdup(url);
    return asprintf(&bound, "%.*s:%d", (int)(colon - url), url, port) < 0 ? NULL : bound;
}

static int listen_at(Listener *l, const RpcOptions *options, const char *url, Buffer *reason) {
    int error = check_url(options, url, reason);
    if (error != 0)
        return error;
    l->is_ipc = slice_starts_with(slice_of(url), "ipc://");
    if ((error = nng_stream_listener_alloc(&l->stream, url)) != 0) {
        l->stream = NULL;
        return explain_nng(url, error, reason);
    }
    if (options->is_control &&
        (error = nng_stream_listener_set_int(l->stream, NNG_OPT_IPC_PERMISSIONS, CONTROL_SOCKET_MODE)) != 0)
        return explain_nng(url, error, reason);
    if (!l->is_ipc) /* a peer whose machine went away is found out in the end; without it, it is still served */
        (void)nng_stream_listener_set_bool(l->stream, NNG_OPT_TCP_KEEPALIVE, true);
    if (slice_starts_with(slice_of(url), "tls+") && (error = set_up_tls(l->stream, options, url, reason)) != 0)
        return error;
    if ((error = nng_stream_listener_listen(l->stream)) != 0 ||
        (error = nng_aio_alloc(&l->accepting, accepted, l)) != 0)
        return explain_nng(url, error, reason);
    l->url = bound_url(l, url);
    if (l->url == NULL)
        return -ENOMEM;
    nng_stream_listener_accept(l->stream, l->accepting);
    return 0;
}

/* ---- life ---- */

Rpc *rpc_free(Rpc *rpc) {
    if (rpc == NULL)
        return NULL;
    for (size_t i = 0; i < rpc->count; i++)
        listener_deinit(&rpc->listeners[i]);
    rpc->connections = connections_free(rpc->connections);
    free(rpc->listeners);
    free(rpc->urls);
    free(rpc);
    return NULL;
}

static void rpc_freep(Rpc **rpc) {
    *rpc = rpc_free(*rpc);
}

int rpc_new(Rpc **out, const RpcOptions *options, Buffer *reason) {
    OWN(rpc_freep) Rpc *rpc = calloc(1, sizeof *rpc);
    if (rpc == NULL)
        return -ENOMEM;
    rpc->listeners = calloc(options->url_count + 1, sizeof *rpc->listeners);
    rpc->urls = calloc(options->url_count + 1, sizeof *rpc->urls);
    if (rpc->listeners == NULL || rpc->urls == NULL)
        return -ENOMEM;
    int error =
        connections_new(&rpc->connections, options->service, options->is_control ? TRANSPORT_CONTROL : TRANSPORT_RPC);
    for (size_t i = 0; error == 0 && i < options->url_count; i++) {
        Listener *l = &rpc->listeners[rpc->count++];
        l->connections = rpc->connections;
        error = listen_at(l, options, options->urls[i], reason);
        rpc->urls[i] = l->url;
    }
    if (error != 0)
        return error;
    *out = steal(&rpc);
    return 0;
}

const char *const *rpc_urls(const Rpc *rpc, size_t *count) {
    *count = rpc->count;
    return (const char *const *)rpc->urls;
}

void rpc_quiesce(Rpc *rpc) {
    connections_quiesce(rpc->connections);
    for (size_t i = 0; i < rpc->count; i++)
        stop_listening(&rpc->listeners[i]);
}

void rpc_flush(Rpc *rpc, int64_t ms) {
    int64_t until_ms = clock_boot_ms(clock_system()) + ms;
    connections_wait_idle(rpc->connections, until_ms);
    connections_linger(rpc->connections, LINGER_MS, until_ms);
}
