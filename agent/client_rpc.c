/*
 * The same operations over nng: {"op", "auth"?, "body"} → {"status", "body"}, one connection a call.
 */
#include "agent/client.h"

#include <errno.h>
#include <string.h>

#include "agent/limits.h"
#include "agent/roots.h"
#include "base/fields.h"
#include "base/json_guard.h"
#include "client/rpc_client.h"

typedef struct RpcClient {
    Client base;
    const char *url, *ca_file;
} RpcClient;

/* What another try cannot change. */
static bool is_final(int error) {
    return error == -EPROTO || error == -EMSGSIZE || error == -EINVAL || error == -EACCES;
}

/* Nothing of the call left this machine, or it went to something that is no coordinator (no trust, no such protocol). */
static bool is_unsent(int error) {
    return error == -ECONNREFUSED || error == -ENOENT || error == -EACCES || error == -EINVAL || error == -EPROTO;
}

static int encode(const ClientCall *call, Buffer *out) {
    buffer_add_text(out, "{\"op\":");
    buffer_add_json_text(out, slice_of(call->operation->name));
    if (!slice_is_absent(call->key)) {
        buffer_add_text(out, ",\"auth\":");
        buffer_add_json_text(out, call->key);
    }
    buffer_add_text(out, ",\"body\":");
    buffer_add_slice(out, call->body);
    buffer_add_char(out, '}');
    return buffer_error(out);
}

static int read_answer(Slice answer, ClientReply *reply) {
    OWN(json_decrefp) json_t *json = NULL;
    JsonProblem problem;
    int r = json_parse(answer, REPLY_DEPTH_MAX + 1, &json, &problem);
    if (r < 0)
        return r;
    const json_t *status = json_object_get(json, "status");
    json_int_t number = json_integer_value(status);
    if (number < 100 || number > 599) {
        buffer_add_text(&reply->reason, "what listens there is no coordinator");
        return CLIENT_REFUSED;
    }
    json_t *body = json_object_get(json, "body");
    json_int_t retry_after = json_integer_value(json_object_get(body, "retryAfterSeconds"));
    reply->status = (int)number;
    if (json_is_object(body))
        reply->json = json_incref(body);
    if (retry_after > 0)
        reply->retry_after_seconds = retry_after;
    return 0;
}

/* rpc_call names the URL first; here the caller does. */
static void add_reason(const RpcClient *rpc, const Buffer *said, Buffer *reason) {
    Slice text = buffer_slice(said);
    size_t len = strlen(rpc->url);
    if (slice_starts_with(text, rpc->url) && text.len > len + 2)
        text = (Slice){.ptr = text.ptr + len + 2, .len = text.len - len - 2};
    buffer_add_slice(reason, text);
}

static int rpc_client_call(Client *client, const ClientCall *call, ClientReply *reply) {
    RpcClient *rpc = (RpcClient *)client;
    OWN(buffer_deinit) Buffer message, answer, said;
    buffer_init(&message, BODY_MAX + KEY_TEXT_MAX + 256);
    buffer_init(&answer, call->answer_max);
    buffer_init(&said, REASON_MAX);
    int r = encode(call, &message);
    if (r != 0)
        return r;
    const RpcTarget target = {
        .url = rpc->url, .ca_file = rpc->ca_file, .ca_pem = roots_built_in(), .answer_max = call->answer_max};
    r = rpc_call(&target, buffer_slice(&message), call->timeout_ms, call->cancel_fd, &answer, &said);
    reply->is_sent = !is_unsent(r);
    if (r == 0)
        return read_answer(buffer_slice(&answer), reply);
    if (r == -ECANCELED || r == -ENOMEM)
        return r;
    add_reason(rpc, &said, &reply->reason);
    return is_final(r) ? CLIENT_REFUSED : CLIENT_FAULT;
}

static void rpc_client_free(Client *client) {
    free(client);
}

static const ClientVtable rpc_vtable = {.call = rpc_client_call, .free = rpc_client_free};

/* NULL: right; else what is wrong with it. nng itself takes some odd ones and fails at the first call only. */
static const char *check_url(Slice url) {
    Slice scheme = SLICE_ABSENT, part = SLICE_ABSENT, rest = url;
    int64_t port = 0;
    bool has_host = false;
    (void)slice_split(&rest, ':', &scheme);
    rest = (Slice){.ptr = rest.ptr + 2, .len = rest.len - 2}; /* behind the slashes */
    if (slice_equal_text(scheme, "ipc"))
        return rest.len > 1 && rest.ptr[0] == '/' ? NULL : "must be ipc:// and the absolute path of a socket";
    while (slice_split(&rest, ':', &part)) /* an IPv6 address has colons too */
        has_host = has_host || part.len > 0;
    bool is_right = has_host && slice_to_number(rest, &port) && port >= 1 && port <= 65535;
    return is_right ? NULL : "must end with a host, a colon and a port";
}

int client_rpc_new(const ClientOptions *options, Client **out, Buffer *reason) {
    const char *wrong = check_url(slice_of(options->url));
    if (wrong != NULL) {
        buffer_printf(reason, "the URL of the coordinator %s", wrong);
        return CLIENT_URL_INVALID;
    }
    RpcClient *rpc = calloc(1, sizeof *rpc);
    if (rpc == NULL)
        return -ENOMEM;
    *rpc = (RpcClient){.base.vtable = &rpc_vtable, .url = options->url, .ca_file = options->ca_file};
    *out = &rpc->base;
    return 0;
}
