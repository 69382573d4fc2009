/* One request under way on a connection, from its frame to its answer's bytes behind those that wait. Private to rpc/. */
#pragma once

#include "protocol/sp.h"
#include "rpc/connection.h"

typedef struct Call {
    struct Call *next, *previous; /* of its connection */
    struct Connection *connection;
    Message message;
    bool is_parked, is_waiter, is_list, is_unanswerable;
    size_t trace_len;
    char trace[SP_TRACE_MAX];
} Call;

typedef enum CallStart {
    CALL_STARTED,
    CALL_NO_ROOM,   /* there are too many: try again later */
    CALL_MALFORMED, /* or memory is short: close the connection */
} CallStart;

/* How the service hands operations back. */
extern const OperationOwner call_owner;

/* The reader's, with the bytes of one frame. */
CallStart call_start(Connection *c, Slice message);
/* Lock held. Puts the answer behind those that wait to be sent. False: memory is short. */
bool call_append_answer(Call *call);
/* The answer is on its way, or will never be. Frees the call; its connection may go too. */
void call_end(Call *call);
