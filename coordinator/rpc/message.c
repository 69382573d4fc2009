/*
 * Reading the envelope, handing its body to the service, and splicing the service's bytes into the answer's envelope.
 * A message that is no operation gets the same problem body that HTTP gives.
 */
#include "rpc/message.h"

#include <stdio.h>
#include <string.h>

#include "base/json_guard.h"
#include "base/limits.h"

/* The envelope adds one level to what a body may nest. */
#define ENVELOPE_DEPTH_MAX (JSON_DEPTH_MAX + 1)
#define REFUSAL_MAX 4096
/* Around the body; the status of HTTP always has three digits. */
#define HEAD "{\"status\":NNN,\"body\":"
#define STATUS_OFFSET (sizeof "{\"status\":" - 1)

/* When even a refusal finds no memory. */
static const char no_memory_body[] = "{\"type\":\"about:blank\",\"title\":\"Internal error\",\"status\":500,"
                                     "\"code\":\"internal\",\"message\":\"out of memory\"}";

void message_init(Message *message) {
    *message = (Message){0};
    buffer_init(&message->refusal, REFUSAL_MAX);
}

static bool refuse(Message *message, Outcome outcome, const char *detail) {
    message->status = outcome_row(outcome)->http_status;
    service_problem(outcome, detail, &message->refusal);
    return true;
}

static Slice text_member(const json_t *object, const char *name) {
    const json_t *member = json_object_get(object, name);
    if (!json_is_string(member))
        return SLICE_ABSENT;
    return (Slice){.ptr = json_string_value(member), .len = json_string_length(member)};
}

/* True: refused. */
static bool parse(Message *message, Slice text) {
    JsonProblem problem = {.detail = ""};
    int result = json_parse(text, ENVELOPE_DEPTH_MAX, &message->request, &problem);
    if (result < 0)
        return refuse(message, OUTCOME_INTERNAL, "out of memory");
    if (result == JSON_INVALID) {
        char detail[sizeof problem.detail + 64];
        (void)snprintf(detail, sizeof detail, "the message is not valid JSON: %s", problem.detail);
        return refuse(message, OUTCOME_BAD_JSON, detail);
    }
    if (!json_is_object(message->request))
        return refuse(message, OUTCOME_VALIDATION, "the message must be a JSON object with op, auth and body");
    return false;
}

/* The member `body`; one that is absent or null becomes an empty object. NULL: memory is short. */
static const json_t *body_of(Message *message) {
    const json_t *body = json_object_get(message->request, "body");
    if (body != NULL && !json_is_null(body))
        return body;
    if (json_object_set_new(message->request, "body", json_object()) != 0)
        return NULL;
    return json_object_get(message->request, "body");
}

bool message_open(Message *message, const MessageContext *context, Slice text, Slice address, void *call) {
    if (parse(message, text))
        return true;
    Slice name = text_member(message->request, "op");
    if (slice_is_absent(name))
        return refuse(message, OUTCOME_VALIDATION, "the message needs a text op, the name of the operation");
    OperationId id = operation_by_name(name);
    if (id == OP_COUNT)
        return refuse(message, OUTCOME_UNKNOWN_OPERATION, "there is no operation of this name");
    const json_t *auth = json_object_get(message->request, "auth");
    if (auth != NULL && !json_is_null(auth) && !json_is_string(auth))
        return refuse(message, OUTCOME_VALIDATION, "auth must be a text, the API key");
    const json_t *body = body_of(message);
    if (body == NULL ||
        operation_new(&message->op, context->service, id, context->transport, context->owner, call) != 0)
        return refuse(message, OUTCOME_INTERNAL, "out of memory");
    if (context->transport != TRANSPORT_CONTROL &&
        service_authenticate(message->op, text_member(message->request, "auth"), address))
        return true;
    return service_prepare_json(message->op, body);
}

void message_submit(Message *message) {
    service_submit(message->op);
}

static int status_of(const Message *message) {
    return message->op != NULL ? message->op->status : message->status;
}

static Slice body_of_answer(const Message *message) {
    if (message->op != NULL)
        return message->op->body;
    if (buffer_error(&message->refusal) != 0 || message->refusal.len == 0)
        return slice_of(no_memory_body);
    return buffer_slice(&message->refusal);
}

size_t message_answer_size(const Message *message) {
    return sizeof HEAD - 1 + body_of_answer(message).len + 1;
}

void message_answer_write(const Message *message, char *out) {
    Slice body = body_of_answer(message);
    int status = status_of(message);
    memcpy(out, HEAD, sizeof HEAD - 1);
    for (size_t digit = 3; digit-- > 0; status /= 10)
        out[STATUS_OFFSET + digit] = (char)('0' + status % 10);
    out += sizeof HEAD - 1;
    if (body.len > 0)
        memcpy(out, body.ptr, body.len);
    out[body.len] = '}';
}

void message_close(Message *message) {
    message->op = operation_free(message->op);
    json_decrefp(&message->request);
    buffer_clear(&message->refusal);
    message->status = 0;
}
