/*
 * Who asks, and whether they may: keys, lease secrets, scopes, and what each transport requires. Runs on the transport's
 * thread as far as memory knows the answer, and once more on the worker's after the store was asked. Private to service/.
 */
#pragma once

#include "service/claims.h"
#include "service/keys.h"
#include "service/limiter.h"
#include "service/operation.h"

typedef enum Access {
    ACCESS_READY,     /* command.project, scope, asker, lease_ref are set */
    ACCESS_REFUSED,   /* the answer is there */
    ACCESS_ASK_STORE, /* key or project are not in memory */
} Access;

typedef struct Gate {
    Keys *keys;
    Claims *claims;
    Limiter *limiter;
    const Clock *clock;
} Gate;

/* From the headers alone. ACCESS_READY means no more than "not refused yet". */
Access access_check_credential(const Gate *gate, Work *work, Slice credential, Slice address);
/* With the decoded command. */
Access access_resolve(const Gate *gate, Work *work);
/* On the worker's thread: whether a key or a project was forgotten since this operation's key was judged, or what it was
 * judged by is believed no longer. */
bool access_is_stale(const Gate *gate, const Work *work);
/* After ACCESS_ASK_STORE or when stale, on the worker's thread: reads what is missing, resolves for good. Never
 * ACCESS_ASK_STORE. */
Access access_resolve_from_store(const Gate *gate, Work *work, Store *store, Arena *arena);
