/*
 * One request's life as bytes, without nng: `{"op", "auth"?, "body"?}` in, `{"status", "body"}` out.
 *
 *     message_open ─┬─► true: answered ──────────────────────────────┐
 *                   └─► false: message_submit ─► … ─► done(op) ──────┴─► message_answer_write ─► message_close
 */
#pragma once

#include "service/service.h"

typedef struct Message {
    json_t *request; /* owned; the operation borrows its body from it */
    Operation *op;   /* owned, but while it is submitted; NULL: refused before there was an operation */
    int status;      /* of a refusal without an operation */
    Buffer refusal;
} Message;

/* What all messages of one socket share. */
typedef struct MessageContext {
    Service *service;
    Transport transport; /* TRANSPORT_CONTROL asks for no credential */
    const OperationOwner *owner;
} MessageContext;

void message_init(Message *message);
/* `message` is empty. Copies what it keeps of `text`; `address` is the peer's, `call` becomes op->call. True: the answer
 * is there. False: submit. */
bool message_open(Message *message, const MessageContext *context, Slice text, Slice address, void *call);
void message_submit(Message *message);
/* Bytes of the answer, and the answer written to `out`, which has that room. */
size_t message_answer_size(const Message *message);
void message_answer_write(const Message *message, char *out);
/* Empty again. The operation must not be submitted. */
void message_close(Message *message);
