/*
 * Which transport a URL means. Invariant: a scheme that is not in the table reaches no library.
 */
#include "agent/client.h"

#include <assert.h>

#include "agent/limits.h"
#include "base/fields.h"
#include "base/log.h"

static const struct {
    const char *scheme;
    int (*make)(const ClientOptions *options, Client **out, Buffer *reason);
} transports[] = {
    {"https://", client_http_new},  {"http://", client_http_new}, {"tcp://", client_rpc_new},
    {"tls+tcp://", client_rpc_new}, {"ipc://", client_rpc_new},
};

void client_reply_init(ClientReply *reply) {
    *reply = (ClientReply){.retry_after_seconds = FIELD_ABSENT};
    buffer_init(&reply->reason, REASON_MAX);
}

void client_reply_deinit(ClientReply *reply) {
    if (reply == NULL)
        return;
    json_decref(reply->json);
    buffer_deinit(&reply->reason);
    client_reply_init(reply);
}

int client_new(const ClientOptions *options, Client **out, Buffer *reason) {
    Slice url = slice_of(options->url);
    for (size_t i = 0; i < COUNT_OF(transports); i++) {
        if (slice_starts_with(url, transports[i].scheme))
            return transports[i].make(options, out, reason);
    }
    buffer_add_text(reason, "'");
    log_add_printable(reason, url);
    buffer_add_text(reason, "' does not begin with http://, https://, tcp://, tls+tcp:// or ipc://");
    return CLIENT_URL_INVALID;
}

int client_call(Client *client, const ClientCall *call, ClientReply *reply) {
    assert(client->vtable->call != NULL && client->vtable->free != NULL);
    return client->vtable->call(client, call, reply);
}

void client_freep(Client **client) {
    if (*client != NULL)
        (*client)->vtable->free(*client);
    *client = NULL;
}

const char *client_ca_file(const char *given, const char *(*environ_get)(const char *)) {
    static const char *const usual[] = {
        "/etc/ssl/certs/ca-certificates.crt",                /* Debian, Ubuntu, Alpine, Arch */
        "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem", /* Fedora, RHEL */
        "/etc/pki/tls/certs/ca-bundle.crt",                  /* older RHEL */
        "/etc/ssl/ca-bundle.pem",                            /* openSUSE */
        "/etc/ssl/cert.pem",                                 /* Alpine without the package, BSDs */
    };
    if (given != NULL)
        return given;
    const char *named = environ_get("SSL_CERT_FILE");
    if (named != NULL && *named != '\0')
        return named;
    for (size_t i = 0; i < COUNT_OF(usual); i++) {
        if (access(usual[i], R_OK) == 0)
            return usual[i];
    }
    return NULL;
}
