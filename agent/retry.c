/*
 * Rounds over the addresses. Invariants: the deadline bounds every try and every pause; what must not arrive twice is
 * sent again only when nothing of it can have arrived.
 */
#include "agent/retry.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>

#include "agent/limits.h"
#include "base/fields.h"
#include "base/options.h"

/* A last try gets this long, rather than a pause that ends with the deadline. */
#define LAST_TRY_MS 1000

typedef struct Rounds {
    const RetryWorld *world;
    const RetryCall *call;
    Client **clients;
    size_t count;
    ClientReply *reply;
    bool is_given_up[OPTION_LIST_MAX]; /* addresses where nothing is to be had */
    bool is_sent, is_unsure;
    int try_count;
    int result;          /* of the latest try */
    size_t latest;       /* … the address it was at */
    int64_t asked_ms;    /* the longest Retry-After of this round */
    int64_t backoff_ms;  /* the next pause is random below it */
    int64_t reminded_ms; /* when the wait was mentioned last */
    char mentioned[256]; /* … and why */
} Rounds;

static int64_t left_ms(const Rounds *r) {
    return r->call->deadline_ms - clock_boot_ms(r->world->clock);
}

/* 429 and 503 by any name: a coordinator that is busy, shutting down, or behind a proxy that does not reach it. */
static bool is_busy(int status) {
    return status == 429 || status == 502 || status == 503 || status == 504 || (status >= 520 && status <= 527);
}

static bool has_code(const ClientReply *reply) {
    return json_string_length(json_object_get(reply->json, "code")) > 0;
}

/* A page, or an error without a code, is somebody's in between. He may be all there is at this address; but where a coordinator
 * was met before, or this call may have reached one, it is there still. */
static bool is_between(const Rounds *r) {
    bool is_foreign = r->reply->json == NULL || (r->reply->status >= 300 && !has_code(r->reply));
    return is_foreign && (r->call->is_met || r->is_unsure);
}

static bool has_answer(const Rounds *r) {
    return r->result == 0 && !is_busy(r->reply->status) && !is_between(r);
}

static bool is_over(const Rounds *r) {
    if (r->result == 0)
        return has_answer(r) || (!r->call->is_repeatable && r->reply->status != 429);
    if (r->result == CLIENT_FAULT || r->result == CLIENT_REFUSED)
        return !r->call->is_repeatable && r->is_sent;
    return true;
}

static void try_address(Rounds *r, size_t index, size_t still_to_try) {
    ClientCall call = r->call->call;
    int64_t share = left_ms(r) / (int64_t)still_to_try;
    int64_t longest_ms = r->call->try_max_ms > 0 ? r->call->try_max_ms : TRY_MS;
    call.timeout_ms = share > longest_ms ? longest_ms : share > 1 ? share : 1;
    client_reply_deinit(r->reply);
    r->latest = index;
    r->result = r->call->fit != NULL ? r->call->fit(r->call->fit_arg, call.timeout_ms, &call.body) : 0;
    if (r->result == 0)
        r->result = client_call(r->clients[index], &call, r->reply);
    bool is_refused = r->result == 0 && r->reply->status == 429 && has_code(r->reply);
    r->is_unsure = r->is_unsure || (r->reply->is_sent && !has_answer(r) && !is_refused);
    r->is_sent = r->is_sent || r->reply->is_sent;
    r->reply->is_sent = r->is_sent;
    r->reply->is_unsure = r->is_unsure;
    r->try_count++;
    r->is_given_up[index] = r->result == CLIENT_REFUSED;
    int64_t seconds = r->reply->retry_after_seconds;
    if (r->result == 0 && seconds != FIELD_ABSENT) {
        seconds = seconds > RETRY_AFTER_MAX_SECONDS ? RETRY_AFTER_MAX_SECONDS : seconds;
        r->asked_ms = seconds * 1000 > r->asked_ms ? seconds * 1000 : r->asked_ms;
    }
}

/* All addresses once. True: the call is over, with r->result. */
static bool play_round(Rounds *r) {
    size_t alive = 0;
    r->asked_ms = 0;
    for (size_t i = 0; i < r->count; i++)
        alive += !r->is_given_up[i];
    for (size_t i = 0; i < r->count; i++) {
        if (r->is_given_up[i])
            continue;
        if (r->try_count > 0 && left_ms(r) <= 0)
            return true;
        try_address(r, i, alive--);
        if (is_over(r))
            return true;
    }
    for (size_t i = 0; i < r->count; i++) {
        if (!r->is_given_up[i])
            return false;
    }
    return true;
}

/* Full jitter. 0: no further try fits before the deadline. */
static int64_t next_pause(Rounds *r) {
    uint64_t noise = 0;
    if (random_fill(r->world->random, &noise, sizeof noise) != 0)
        noise = UINT64_MAX / 2;
    int64_t pause_ms = 1 + (int64_t)(noise % (uint64_t)r->backoff_ms);
    int64_t rest_ms = left_ms(r);
    r->backoff_ms = r->backoff_ms * 2 > BACKOFF_MAX_MS ? BACKOFF_MAX_MS : r->backoff_ms * 2;
    pause_ms += r->asked_ms; /* those who were all told the same second must not come back in it together */
    if (pause_ms + LAST_TRY_MS <= rest_ms)
        return pause_ms;
    return rest_ms > LAST_TRY_MS ? rest_ms - LAST_TRY_MS : 0;
}

static void mention(Rounds *r) {
    char text[sizeof r->mentioned];
    const char *reason = buffer_text(&r->reply->reason);
    if (r->result == 0)
        (void)snprintf(text, sizeof text, "coordinator answers %d", r->reply->status);
    else
        (void)snprintf(text, sizeof text, "coordinator unreachable (%s)", reason != NULL ? reason : "out of memory");
    int64_t now_ms = clock_boot_ms(r->world->clock);
    bool is_new = slice_compare(slice_of(text), slice_of(r->mentioned)) != 0;
    if (!is_new && now_ms - r->reminded_ms < REMIND_MS)
        return;
    (void)snprintf(r->mentioned, sizeof r->mentioned, "%s", text);
    r->reminded_ms = now_ms;
    r->world->waiting(r->world->arg, text, left_ms(r));
}

static void remember_who_answers(const Rounds *r) {
    if (!has_answer(r))
        return;
    Client *answering = r->clients[r->latest];
    for (size_t i = r->latest; i > 0; i--)
        r->clients[i] = r->clients[i - 1];
    r->clients[0] = answering;
}

int retry_call(const RetryWorld *world, Client **clients, size_t count, const RetryCall *call, ClientReply *reply) {
    Rounds r = {.world = world,
                .call = call,
                .clients = clients,
                .count = count <= OPTION_LIST_MAX ? count : OPTION_LIST_MAX,
                .reply = reply,
                .result = CLIENT_FAULT,
                .backoff_ms = BACKOFF_FIRST_MS};
    for (;;) {
        if (play_round(&r) || call->is_one_try) {
            remember_who_answers(&r);
            return r.result;
        }
        int64_t pause_ms = next_pause(&r);
        if (pause_ms == 0)
            return r.result;
        mention(&r);
        int paused = world->pause(world->arg, pause_ms, call->call.cancel_fd);
        if (paused != 0)
            return paused;
    }
}

int retry_pause(void *arg, int64_t ms, int cancel_fd) {
    (void)arg;
    const Clock *clock = clock_system();
    int64_t until_ms = clock_boot_ms(clock) + ms;
    for (;;) {
        int64_t rest_ms = until_ms - clock_boot_ms(clock);
        if (rest_ms <= 0)
            return 0;
        struct pollfd cancel = {.fd = cancel_fd, .events = POLLIN}; /* poll ignores a negative one */
        int ready = poll(&cancel, 1, rest_ms > INT_MAX ? INT_MAX : (int)rest_ms);
        if (ready < 0 && errno != EINTR)
            return -errno;
        if (ready > 0)
            return -ECANCELED;
    }
}
