/*
 * The coordinator as a verb sees it: its addresses, the key, and one call that is answered or has a reason why not.
 */
#pragma once

#include "agent/reply.h"

typedef struct Session {
    const Agent *agent;
    Client *clients[OPTION_LIST_MAX];
    size_t count;
    char *urls;    /* all of them, separated by blanks: what a lease's file keeps */
    char *words;   /* the same, cut apart; the clients borrow from it */
    char *ca_file; /* absolute; NULL: the transport's own */
    char *key;     /* NULL until session_load_key() */
} Session;

/* `urls` absent: those of the command line. 0 | an exit code, said | -errno. */
int session_open(Session *session, const Agent *agent, Slice urls, Slice ca_file) MUST_USE;
void session_close(Session *session);
/* From the key file, else the environment. 0 | an exit code, said | -errno. */
int session_load_key(Session *session) MUST_USE;

typedef struct SessionLimits {
    int64_t within_ms;  /* 0: one try at each address, at most CALL_MS */
    int64_t try_max_ms; /* one try; 0: TRY_MS */
    bool is_one_try;    /* one try at each address within within_ms */
    bool is_met;        /* see RetryCall */
    int cancel_fd;      /* -1: none */
} SessionLimits;

/* Asks, repeats what may be repeated, reads the answer. `reply` is initialised. The key goes along unless the command names a
 * lease. 0: reply->outcome tells, OUTCOME_UNREACHABLE with its reason included | -ECANCELED | -ENOMEM. */
int session_call(Session *session, const Command *command, SessionLimits limits, Reply *reply) MUST_USE;
