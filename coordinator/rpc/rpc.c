/*
 * One REP socket and its listeners. Its life:
 *
 *     rpc_new ─► serving ─► rpc_quiesce ─► rpc_flush ─► (service_stop) ─► rpc_free
 *
 * Closing a listener of nng closes its connections too, answers under way included. So quiescing leaves the listeners
 * open and refuses what connects from then on; rpc_free closes everything. nng does not linger: what it has taken to send
 * may still sit in a connection's queue, which is why rpc_flush gives the peers a moment after the last answer.
 */
#include "rpc/rpc.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <nng/nng.h>
#include <nng/protocol/reqrep0/rep.h>
#include <nng/supplemental/tls/tls.h>

#include "base/limits.h"
#include "rpc/contexts.h"
#include "rpc/control.h"

/* What a request's envelope may add to its body: op and key. */
#define ENVELOPE_MAX 4096
#define CONNECTIONS_MAX HTTP_CONNECTIONS_DEFAULT
/* After the last answer peers get this long to read it. */
#define LINGER_MS 1000
#define CLOSE_MS 1000
#define PEM_MAX (1024 * 1024)

struct Rpc {
    nng_socket socket;
    bool is_open;
    Contexts *contexts;
    char **urls;
    size_t url_count;

    pthread_mutex_t lock;
    pthread_cond_t changed;
    size_t connections;
    bool is_quiescing;
};

/* --- connections --- */

/* Before the connection is started: that is the only moment at which nng can close one safely (see close_socket). */
static void connection_added(nng_pipe pipe, nng_pipe_ev event, void *argument) {
    Rpc *rpc = argument;
    (void)event;
    (void)pthread_mutex_lock(&rpc->lock);
    rpc->connections++;
    bool is_refused = rpc->is_quiescing || rpc->connections > CONNECTIONS_MAX;
    (void)pthread_mutex_unlock(&rpc->lock);
    if (is_refused)
        (void)nng_pipe_close(pipe);
}

static void connection_removed(nng_pipe pipe, nng_pipe_ev event, void *argument) {
    Rpc *rpc = argument;
    (void)event;
    if (rpc->contexts != NULL)
        contexts_pipe_gone(rpc->contexts, pipe);
    (void)pthread_mutex_lock(&rpc->lock);
    if (--rpc->connections == 0)
        (void)pthread_cond_broadcast(&rpc->changed);
    (void)pthread_mutex_unlock(&rpc->lock);
}

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

static int set_up_tls(nng_listener listener, const RpcOptions *options, const char *url, Buffer *reason) {
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
    if ((error = nng_listener_set_ptr(listener, NNG_OPT_TLS_CONFIG, config)) != 0)
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

static int listen_at(Rpc *rpc, const RpcOptions *options, const char *url, Buffer *reason) {
    int error = check_url(options, url, reason);
    if (error != 0)
        return error;
    nng_listener listener;
    if ((error = nng_listener_create(&listener, rpc->socket, url)) != 0)
        return explain_nng(url, error, reason);
    /* nng's default is no limit at all, and it allocates what a peer announces. */
    if ((error = nng_listener_set_size(listener, NNG_OPT_RECVMAXSZ, BODY_MAX + ENVELOPE_MAX)) != 0)
        return explain_nng(url, error, reason);
    if (options->is_control &&
        (error = nng_listener_set_int(listener, NNG_OPT_IPC_PERMISSIONS, CONTROL_SOCKET_MODE)) != 0)
        return explain_nng(url, error, reason);
    if (slice_starts_with(slice_of(url), "tls+") && (error = set_up_tls(listener, options, url, reason)) != 0)
        return error;
    if ((error = nng_listener_start(listener, 0)) != 0)
        return explain_nng(url, error, reason);
    char *bound = NULL;
    if ((error = nng_listener_get_string(listener, NNG_OPT_URL, &bound)) != 0)
        return explain_nng(url, error, reason);
    rpc->urls[rpc->url_count] = strdup(bound);
    nng_strfree(bound);
    if (rpc->urls[rpc->url_count] == NULL)
        return -ENOMEM;
    rpc->url_count++;
    return 0;
}

/* --- life --- */

typedef struct Closing {
    nng_socket socket;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool is_closed;
} Closing;

static void *run_close(void *argument) {
    Closing *closing = argument;
    (void)nng_close(closing->socket);
    (void)pthread_mutex_lock(&closing->lock);
    closing->is_closed = true;
    (void)pthread_cond_signal(&closing->changed);
    (void)pthread_mutex_unlock(&closing->lock);
    return NULL;
}

/*
 * In nng 1.5 to 1.8 nng_close never returns when it closes a connection between a message's length and its first byte
 * (https://github.com/nanomsg/nng/issues/1813). A daemon that is told to stop has to stop, so closing gets a thread of its
 * own and CLOSE_MS. False: it hangs, and whatever it may still touch must be left to the end of the process.
 */
static bool close_socket(nng_socket socket) {
    Closing *closing = calloc(1, sizeof *closing);
    if (closing == NULL || clock_condition_init(&closing->changed) != 0) {
        free(closing);
        return false;
    }
    closing->socket = socket;
    (void)pthread_mutex_init(&closing->lock, NULL);
    pthread_t thread;
    if (pthread_create(&thread, NULL, run_close, closing) != 0) {
        free(closing);
        return false;
    }
    const Clock *clock = clock_system();
    int64_t until_ms = clock_boot_ms(clock) + CLOSE_MS;
    (void)pthread_mutex_lock(&closing->lock);
    while (!closing->is_closed && clock_boot_ms(clock) < until_ms)
        clock->vtable->wait(clock, &closing->changed, &closing->lock, until_ms);
    bool is_closed = closing->is_closed;
    (void)pthread_mutex_unlock(&closing->lock);
    if (!is_closed) {
        (void)pthread_detach(thread);
        return false;
    }
    (void)pthread_join(thread, NULL);
    (void)pthread_cond_destroy(&closing->changed);
    (void)pthread_mutex_destroy(&closing->lock);
    free(closing);
    return true;
}

Rpc *rpc_free(Rpc *rpc) {
    if (rpc == NULL)
        return NULL;
    if (rpc->contexts != NULL)
        contexts_stop(rpc->contexts);
    if (rpc->is_open && !close_socket(rpc->socket))
        return NULL;
    rpc->contexts = contexts_free(rpc->contexts);
    for (size_t i = 0; i < rpc->url_count; i++)
        free(rpc->urls[i]);
    free(rpc->urls);
    (void)pthread_cond_destroy(&rpc->changed);
    (void)pthread_mutex_destroy(&rpc->lock);
    free(rpc);
    return NULL;
}

static void rpc_freep(Rpc **rpc) {
    *rpc = rpc_free(*rpc);
}

static int open_socket(Rpc *rpc) {
    static const struct {
        nng_pipe_ev event;
        nng_pipe_cb callback;
    } events[] = {
        {NNG_PIPE_EV_ADD_PRE, connection_added},
        {NNG_PIPE_EV_REM_POST, connection_removed},
    };
    int error = nng_rep0_open(&rpc->socket);
    rpc->is_open = error == 0;
    for (size_t i = 0; error == 0 && i < COUNT_OF(events); i++)
        error = nng_pipe_notify(rpc->socket, events[i].event, events[i].callback, rpc);
    return error;
}

int rpc_new(Rpc **out, const RpcOptions *options, Buffer *reason) {
    OWN(rpc_freep) Rpc *rpc = calloc(1, sizeof *rpc);
    if (rpc == NULL)
        return -ENOMEM;
    (void)pthread_mutex_init(&rpc->lock, NULL);
    int error = clock_condition_init(&rpc->changed);
    if (error != 0)
        return error;
    rpc->urls = calloc(options->url_count + 1, sizeof *rpc->urls);
    if (rpc->urls == NULL)
        return -ENOMEM;
    if ((error = open_socket(rpc)) != 0) {
        buffer_printf(reason, "nng: %s", nng_strerror(error));
        return error == NNG_ENOMEM ? -ENOMEM : -EIO;
    }
    error = contexts_new(&rpc->contexts, rpc->socket, options->service,
                         options->is_control ? TRANSPORT_CONTROL : TRANSPORT_RPC);
    for (size_t i = 0; error == 0 && i < options->url_count; i++)
        error = listen_at(rpc, options, options->urls[i], reason);
    if (error != 0)
        return error;
    *out = steal(&rpc);
    return 0;
}

const char *const *rpc_urls(const Rpc *rpc, size_t *count) {
    *count = rpc->url_count;
    return (const char *const *)rpc->urls;
}

void rpc_quiesce(Rpc *rpc) {
    (void)pthread_mutex_lock(&rpc->lock);
    rpc->is_quiescing = true;
    (void)pthread_mutex_unlock(&rpc->lock);
}

void rpc_flush(Rpc *rpc, int64_t ms) {
    const Clock *clock = clock_system();
    int64_t until_ms = clock_boot_ms(clock) + ms;
    contexts_wait_idle(rpc->contexts, until_ms);
    int64_t linger_until_ms = contexts_last_sent_ms(rpc->contexts) + LINGER_MS;
    if (linger_until_ms < until_ms)
        until_ms = linger_until_ms;
    (void)pthread_mutex_lock(&rpc->lock);
    while (rpc->connections > 0 && clock_boot_ms(clock) < until_ms)
        clock->vtable->wait(clock, &rpc->changed, &rpc->lock, until_ms);
    (void)pthread_mutex_unlock(&rpc->lock);
}
