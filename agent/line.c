/*
 *   ask without waiting ──► 200                                  (a free stack: not in line at all)
 *        │ 202, said
 *        ▼
 *   long poll, at most until the next reminder ──► 200, refusal
 *        │ 202
 *        └──► said, if the place has changed or a minute is over; again, while there is time
 *
 * What goes wrong between two answers is session_call's: it repeats until the same deadline.
 */
#include "agent/line.h"

#include <errno.h>

#include "agent/limits.h"
#include "agent/retry.h"
#include "client/views.h"

/* ---- words ---- */

static const char *ordinal_suffix(int64_t number) {
    static const char *const suffixes[] = {"th", "st", "nd", "rd"};
    bool is_teen = number % 100 >= 11 && number % 100 <= 13;
    return is_teen || number % 10 > 3 ? suffixes[0] : suffixes[number % 10];
}

static void add_word(Buffer *out, Slice text) {
    if (text.len == 0)
        return;
    buffer_add_char(out, ' ');
    print_foreign(out, text);
}

static void describe_stack(const json_t *stack, int64_t now_wall_ms, Buffer *out) {
    const json_t *lease = json_object_get(stack, "lease");
    const json_t *holder = json_object_get(lease, "holder");
    buffer_add_text(out, out->len > 0 ? "; " : "");
    print_foreign(out, reply_text(stack, "stackName"));
    if (!json_is_object(lease)) {
        bool is_quiet = json_is_true(json_object_get(stack, "quiet"));
        add_word(out,
                 is_quiet ? slice_of("rests until its last holder must have stopped") : reply_text(stack, "state"));
        return;
    }
    Slice actor = reply_text(holder, "actor");
    add_word(out, reply_text(stack, "branch"));
    add_word(out, actor.len > 0 ? actor : reply_text(holder, "note"));
    buffer_add_text(out, " (");
    view_age(reply_text(lease, "since"), now_wall_ms, out);
    buffer_add_char(out, ')');
    add_word(out, reply_text(holder, "link"));
}

/* "2nd in line, 4m; test-1 feat/a anna (52m) https://…; test-2 quarantined; and 3 more": `position` FIELD_ABSENT: without
 * the first half. `stacks`: the items of listStacks, NULL: unknown; the first LOOK_STACKS_MAX that are not available are
 * named. Safe to print. */
static void describe(int64_t position, int64_t waited_seconds, const json_t *stacks, int64_t now_wall_ms, Buffer *out) {
    if (position != FIELD_ABSENT) {
        char span[24];
        clock_format_span(waited_seconds, span);
        buffer_printf(out, "%lld%s in line, %s", (long long)position, ordinal_suffix(position), span);
    }
    size_t named = 0, unnamed = 0;
    for (size_t i = 0; i < json_array_size(stacks); i++) {
        const json_t *stack = json_array_get(stacks, i);
        if (json_is_true(json_object_get(stack, "isAvailable")))
            continue;
        if (named == LOOK_STACKS_MAX) {
            unnamed++;
            continue;
        }
        describe_stack(stack, now_wall_ms, out);
        named++;
    }
    if (unnamed > 0)
        buffer_printf(out, "; and %zu more", unnamed);
}

/* ---- looking ---- */

int line_look(Session *session, const Line *line, Buffer *out) {
    const Agent *agent = session->agent;
    Command command = {.operation = OP_LIST_STACKS};
    OWN(reply_deinit) Reply reply;
    reply_init(&reply);
    fields_clear(operation_row(OP_LIST_STACKS)->command, &command);
    SessionLimits limits = {.within_ms = LOOK_MS, .is_one_try = true, .cancel_fd = line->cancel_fd};
    int r = session_call(session, &command, limits, &reply);
    if (r == -ECANCELED)
        return r;
    bool is_seen = r == 0 && reply.outcome == OUTCOME_DONE;
    describe(line->position, (clock_boot_ms(agent->clock) - line->began_ms) / 1000,
             is_seen ? json_object_get(reply.raw.json, "stacks") : NULL, clock_wall_ms(agent->clock), out);
    return 0;
}

/* At once, on change, and every minute. */
static int tell(Session *session, Line *line) {
    const Agent *agent = session->agent;
    int64_t now_ms = clock_boot_ms(agent->clock);
    if (line->position == line->told_position && now_ms - line->told_ms < REMIND_MS)
        return 0;
    OWN(buffer_deinit) Buffer text;
    buffer_init(&text, REASON_MAX);
    int r = line_look(session, line, &text);
    if (r != 0)
        return r;
    const char *words = buffer_text(&text);
    if (words != NULL && line->position != line->told_position)
        agent_notice(agent, "Waiting for a stack", "%s", words);
    else if (words != NULL)
        agent_say(agent, LOG_INFO, "%s", words);
    line->told_ms = now_ms;
    line->told_position = line->position;
    return 0;
}

/* ---- waiting ---- */

/* As long as a poll may be, but not longer than until something has to be said or given up. */
static int64_t next_wait_seconds(const Line *line, int64_t now_ms) {
    int64_t left_ms = line->deadline_ms - LAST_ANSWER_MS - now_ms;
    int64_t quiet_ms = line->told_ms + REMIND_MS - now_ms;
    int64_t seconds = (left_ms < quiet_ms ? left_ms : quiet_ms) / 1000;
    if (seconds < 1)
        seconds = left_ms >= 1000 ? 1 : 0;
    return seconds < WAIT_SECONDS_MAX ? seconds : WAIT_SECONDS_MAX;
}

static int ask(Session *session, Command *command, Line *line, Reply *reply) {
    int64_t left_ms = line->deadline_ms - clock_boot_ms(session->agent->clock);
    int64_t wait_seconds = command->wait_seconds != FIELD_ABSENT ? command->wait_seconds : 0;
    line->sent_ms = clock_boot_ms(session->agent->clock);
    reply_deinit(reply);
    SessionLimits limits = {.within_ms = left_ms > 1 ? left_ms : 1,
                            .try_max_ms = wait_seconds * 1000 + TRY_MS,
                            .is_one_try = line->is_one_try,
                            .is_met = line->is_met,
                            .cancel_fd = line->cancel_fd};
    if (line->is_one_try)
        limits.within_ms = CALL_MS;
    int r = session_call(session, command, limits, reply);
    line->is_met = line->is_met || (r == 0 && reply->outcome == OUTCOME_QUEUED);
    line->is_unsure = line->is_unsure || reply->raw.is_unsure;
    return r;
}

/* Who was not parked is told when to come again. A short rest even when told to come at once: a coordinator that answers
 * every poll with that must not be flooded. */
static int rest(const Session *session, const Line *line, const Reply *reply, bool was_parked) {
    int64_t left_ms = line->deadline_ms - clock_boot_ms(session->agent->clock);
    int64_t seconds = reply->answer.retry_after_seconds;
    int64_t rest_ms = seconds <= 0 ? 0 : seconds > RETRY_AFTER_MAX_SECONDS ? RETRY_AFTER_MAX_SECONDS : seconds;
    rest_ms *= 1000;
    if (!was_parked && rest_ms < BACKOFF_FIRST_MS)
        rest_ms = BACKOFF_FIRST_MS;
    rest_ms = rest_ms < left_ms ? rest_ms : left_ms;
    return rest_ms > 0 ? retry_pause(NULL, rest_ms, line->cancel_fd) : 0;
}

int line_wait(Session *session, Command *command, Line *line, Reply *reply) {
    const Agent *agent = session->agent;
    const bool can_park = command->operation == OP_REQUEST_STACK;
    for (bool is_first = true;; is_first = false) {
        int64_t asked_ms = clock_boot_ms(agent->clock);
        if (!is_first && line->deadline_ms - asked_ms < LAST_ANSWER_MS)
            return 0; /* what was said last: no answer would come in time, and none is not what there was */
        if (can_park)
            command->wait_seconds = is_first || line->is_one_try ? 0 : next_wait_seconds(line, asked_ms);
        int r = ask(session, command, line, reply);
        if (r != 0 || reply->outcome != OUTCOME_QUEUED)
            return r;
        line->position = reply->answer.position;
        if (line->is_one_try)
            return 0;
        r = tell(session, line);
        int64_t now_ms = clock_boot_ms(agent->clock);
        if (r != 0 || now_ms >= line->deadline_ms)
            return r;
        bool was_parked = can_park && now_ms - asked_ms >= command->wait_seconds * 1000;
        bool is_just_queued = can_park && is_first; /* it asked not to be parked, so when to come again is no answer */
        if (!is_just_queued)
            r = rest(session, line, reply, was_parked);
        if (r != 0)
            return r;
    }
}
