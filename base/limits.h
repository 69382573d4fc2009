/*
 * Every ceiling that more than one layer keeps to, with what it protects; those of one layer alone stand in its header.
 * Nothing is unbounded by accident: what has no ceiling has no business growing with input from outside.
 */
#pragma once

/* What one message may be. */
#define BODY_MAX (64 * 1024)          /* bytes of a request body, over any transport */
#define JSON_DEPTH_MAX 32             /* nesting of a request */
#define ANSWER_MAX (64 * 1024 * 1024) /* bytes of an answer: a list of 100,000 stacks is about 30 MB */
#define RPC_ANSWER_MAX (1024 * 1024)  /* bytes of an answer over nng; longer lists say `next` */
#define EVENT_PAGE_MAX 200            /* rows of one listEvents answer */
#define LIST_ROW_MAX (64 * 1024) /* bytes of one row of a list, escaped; a list that gets so near its ceiling is cut */

/* What one field may be (bytes). */
#define BRANCH_MAX 255
#define COMMIT_MAX 64
#define PROJECT_NAME_MAX 63
#define PREFIX_MAX 63
#define STACK_NAME_MAX (PREFIX_MAX + 19)
#define REQUEST_ID_MIN 16
#define REQUEST_ID_MAX 128
#define NOTE_MAX 1024
#define URL_MAX 1024
#define HOLDER_MAX 2048 /* all of a holder, encoded */
#define KEY_TEXT_MIN 8
#define KEY_TEXT_MAX 256
#define LABEL_MAX 128
#define HOLD_SECONDS_MIN 60 /* of a project's maxHold */
#define HOLD_SECONDS_MAX (365 * 86400)
#define GRACE_SECONDS_MAX 3600
#define LEASE_SECONDS_MIN 2
#define LEASE_SECONDS_MAX 86400
#define WAIT_SECONDS_MAX 25
#define QUEUE_LENGTH_MAX 100000 /* requests waiting in one project */
#define STACK_COUNT_MAX 1000000
#define ROW_NUMBER_MAX                                                                                                 \
    ((INT64_C(1) << 42) - 1) /* stacks, tickets, events of one project: what every engine has room for */
#define EXACT_NUMBER_MAX ((INT64_C(1) << 53) - 1) /* generations and times: what every JSON reader keeps exactly */

/* What is brought along in files. */
#define TRANSFER_LINE_MAX (256 * 1024)         /* bytes of a line of an export */
#define TRANSFER_ROWS_MAX 256                  /* rows that go into a store at once */
#define ORIGINAL_BYTES_MAX (256 * 1024 * 1024) /* of the original's table, read as a whole */

/* What the service holds at once. */
#define BATCH_MAX 256                    /* operations of one transaction */
#define QUEUE_MAX 8192                   /* operations waiting for the worker; requests are refused at ¾ */
#define DECIDE_ROUNDS_MAX 8              /* loads in a row that let nothing be decided: then something is wrong */
#define WORKS_KEPT 512                   /* operations whose memory, 2 KB each, waits for the next ones */
#define PARKING_BUCKETS 4096             /* for operations that wait */
#define DUE_MAX 256                      /* of what time made due, so much is decided in one transaction */
#define NEIGHBOURS_MAX 64                /* other coordinators that are watched */
#define CLAIMS_KEPT 256                  /* keys whose hash is remembered: those that are in use */
#define KEYS_ASIDE_MAX 64                /* keys whose last use waits to be saved, though their place is another's */
#define KEY_CACHE_MAX 16384              /* keys and projects known without asking the store */
#define SNAPSHOT_MAX 1024                /* projects whose rendered list is kept */
#define SNAPSHOT_BYTES_MAX (1024 * 1024) /* … if it is no longer than this */
#define LIST_BRIEF_BYTES (32 * 1024)     /* of a list's rows where there is no room for more: then `next` */
#define LISTS_BYTES_MAX                                                                                                \
    ((size_t)128 << 20)      /* of lists in memory, kept or on their way to who asked; of the kept ones half */
#define FAILED_AUTH_BURST 60 /* failed authentications of one address before 429 */
#define FAILED_AUTH_REFILL 1 /* … of which so many come back each second */

/* What the transports hold. */
#define HTTP_CONNECTIONS_DEFAULT 4096
#define HTTP_REQUEST_SECONDS 30 /* to send a request, and to take an answer */
#define HTTP_IDLE_SECONDS 75 /* until a connection's next request: longer than the 60 of common balancers and proxies */
#define HTTP_CROWD 1024      /* connections that wait for a stack: then a second server takes who comes */
#define HTTP_POOL_BYTES (12 * 1024) /* a connection's memory: the request's head, and the answer's */
#define RPC_CONNECTIONS_MAX HTTP_CONNECTIONS_DEFAULT
#define RPC_CALLS_MAX 1024 /* requests under way over nng, on all connections */
#define RPC_CALLS_KEPT 64  /* of them never wait for a stack */
#define RPC_OWED_MAX                                                                                                   \
    ((size_t)4 << 20) /* bytes of answers a connection is owed, lists as if they were as long as may be */
#define RPC_UNSENT_MAX                                                                                                 \
    ((size_t)64 << 20)        /* … all of them together: then lists are brief, and refused if all is unread */
#define RPC_ENVELOPE_MAX 4096 /* what op and key may add to a body */
#define DRAIN_FLUSH_MS 5000

/* How long things are kept. */
#define HISTORY_DAYS 90
#define REQUEST_KEPT_MS (24LL * 3600 * 1000) /* after the request is over */
#define KEY_USED_SAVE_MS 60000               /* `last used` is written at most this often */
#define PRUNE_INTERVAL_MS 60000
#define PRUNE_ROWS_MAX 512       /* rows one pruning step deletes */
#define PRUNE_PATIENCE_MS 600000 /* pruning waits for a quiet moment, at most so long */
#define WAL_PAGES_MAX 4096       /* checkpoint between batches past this */

/* What the embedded store keeps in memory and in its log of changes. */
#define RESIDENT_ROWS_MAX                                                                                              \
    262144 /* stacks and requests of projects in memory, some 600 bytes each; one project may be more, and stays */
#define FLUSH_SLOTS 128     /* 4 KB each: then the log is brought into the tables, between two batches */
#define LOG_SLOTS_MAX 16384 /* 64 MB: so long the log may grow while that fails */
#define CHANGES_MAX                                                                                                    \
    (32 * 1024 *                                                                                                       \
     1024) /* bytes of one transaction in the log: BATCH_MAX operations take a tenth at most, thousands of a queue may want more */

/* How long the shared store may take, and what one statement may be. Some are told to the server too. */
#define STORE_URL_MAX 4096
#define STORE_HOSTS_MAX 16       /* of the URL, asked at once; of more than these one after the other */
#define STORE_CONNECT_SECONDS 2  /* until one of them takes writes, if the URL does not say connect_timeout */
#define STORE_UNHEARD_MS 4000    /* nothing comes back from the server's machine: it is gone */
#define STORE_ANSWER_MS 6000     /* for one answer; then the connection is given up */
#define STORE_LOCK_MS 5000       /* for a lock that another coordinator has */
#define STORE_IDLE_MS 5000       /* a coordinator that stopped in the middle of a transaction loses it */
#define KEY_KNOWN_MS 5000        /* another coordinator may revoke it meanwhile */
#define STORE_DOUBT_MS 10000     /* for finding out what became of a COMMIT */
#define STORE_MIGRATION_MS 60000 /* for another coordinator's migration */
#define STORE_RETRY_MIN_MS 100   /* between attempts to connect, doubled each time … */
#define STORE_RETRY_MAX_MS 1000  /* … up to this */
#define STATEMENT_BYTES_MAX (32 * 1024 * 1024) /* parameters: BATCH_MAX operations take a tenth at most */

/* What time does, by the lease clock. */
#define WATCH_STEP_MAX_MS 2000         /* the clock advances at most so far a tick */
#define COLLECT_MS 20000               /* a grant from the queue is collected within this */
#define QUEUE_LIVE_MS 60000            /* a queued request is live so long after it was heard of */
#define QUEUE_KEPT_MS (10 * 60 * 1000) /* … and keeps its place so long after that */
