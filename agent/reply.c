/*
 * What came back, judged. Invariant: whatever a coordinator (or what pretends to be one) sends ends as a known outcome, a
 * checked field or an escaped text.
 */
#include "agent/reply.h"

#include <string.h>

#include "agent/limits.h"
#include "agent/print.h"
#include "client/views.h"
#include "protocol/rules.h"

void reply_init(Reply *reply) {
    client_reply_init(&reply->raw);
    reply->outcome = OUTCOME_UNREACHABLE;
    answer_init(&reply->answer);
    buffer_init(&reply->detail, REASON_MAX);
}

void reply_deinit(Reply *reply) {
    if (reply == NULL)
        return;
    client_reply_deinit(&reply->raw);
    buffer_deinit(&reply->detail);
    reply_init(reply);
}

Slice reply_text(const json_t *object, const char *member) {
    const json_t *value = json_object_get(object, member);
    return (Slice){.ptr = json_string_value(value), .len = json_string_length(value)};
}

/* What the table cannot say, since the coordinator writes these without reading them. */
static const char *check_grant(const Answer *answer) {
    const char *wrong = NULL;
    if (slice_is_absent(answer->stack_name))
        return NULL; /* another operation's answer */
    wrong = rule_stack_name(answer->stack_name);
    if (wrong != NULL)
        return "the stack's name cannot be one";
    if (!slice_is_absent(answer->last_deployed_commit) && rule_commit(answer->last_deployed_commit) != NULL)
        return "the last deployed commit cannot be one";
    if (!slice_is_absent(answer->url) && rule_link(answer->url) != NULL)
        return "the stack's url cannot be one";
    if (answer->has_lease && !slice_is_absent(answer->lease.secret) && rule_commit(answer->lease.secret) != NULL)
        return "the lease's secret cannot be one";
    return NULL;
}

static void refuse_answer(Reply *reply, const char *why) {
    reply->outcome = OUTCOME_INTERNAL;
    buffer_printf(&reply->detail, "the answer is not a coordinator's (%s): check the URL", why);
}

/* A list's table describes its page; such an answer is read from the JSON itself. */
static bool is_list(const OperationRow *operation) {
    return (operation->flags & OPERATION_READS) != 0;
}

static void read_success(const OperationRow *operation, Reply *reply) {
    FieldProblem problem;
    const FieldTable *table = reply->outcome == OUTCOME_QUEUED ? &queued_fields : operation->answer;
    if (reply->raw.json == NULL) {
        refuse_answer(reply, "its body is no JSON object");
        return;
    }
    if (is_list(operation))
        return;
    if (fields_decode(table, reply->raw.json, FIELDS_FROM_JSON, &reply->answer, &problem) != 0) {
        refuse_answer(reply, problem.detail);
        return;
    }
    const char *wrong = check_grant(&reply->answer);
    if (wrong != NULL)
        refuse_answer(reply, wrong);
}

static void read_refusal(Reply *reply) {
    const json_t *json = reply->raw.json;
    Outcome outcome = outcome_by_code(reply_text(json, "code"));
    bool is_refusal = outcome != OUTCOME_DONE && outcome != OUTCOME_QUEUED && outcome != OUTCOME_COUNT;
    reply->outcome = is_refusal ? outcome : outcome_by_status(reply->raw.status);
    if (reply->outcome == OUTCOME_DONE || reply->outcome == OUTCOME_QUEUED)
        reply->outcome = OUTCOME_INTERNAL; /* another 2xx: nothing that we know how to read */
    if (!is_refusal && reply->raw.status == 410)
        reply->outcome = OUTCOME_UNREACHABLE; /* only a coordinator knows that a lease is over, and it says so */
    Slice detail = reply_text(json, "detail");
    if (slice_is_absent(detail))
        detail = reply_text(json, "message");
    if (detail.len > 0)
        print_foreign(&reply->detail, detail);
    else if (reply->raw.status >= 300 && reply->raw.status < 400)
        buffer_add_text(&reply->detail, "a redirect, which is not followed");
    else
        buffer_add_text(&reply->detail, "no reason given");
}

void reply_read(const OperationRow *operation, Reply *reply) {
    answer_init(&reply->answer);
    buffer_clear(&reply->detail);
    if (reply->raw.status == 200 || reply->raw.status == 202) {
        reply->outcome = reply->raw.status == 200 ? OUTCOME_DONE : OUTCOME_QUEUED;
        read_success(operation, reply);
    } else {
        read_refusal(reply);
    }
}

/* What to do about it; the coordinator's own sentence says what is wrong. */
static const char *way_out(Outcome outcome) {
    switch (outcome) {
    case OUTCOME_UNAUTHENTICATED:
        return "check STACK_AGENT_KEY or the key file, and that the URL is that project's coordinator; "
               "`stack-coordinator key create PROJECT` makes a new key";
    case OUTCOME_FORBIDDEN:
        return "use a key of this project with a wider scope";
    case OUTCOME_NONE_AVAILABLE:
        return "`--wait DURATION` waits in line; `stack-agent list` shows who has the stacks";
    case OUTCOME_QUEUED:
        return "`stack-agent list` shows who has the stacks; more may be allowed with `stack-coordinator project "
               "update NAME --max-stacks N`";
    case OUTCOME_LEASE_LOST:
        return "stop working on the stack: it is not this job's any more";
    case OUTCOME_UNKNOWN_OPERATION:
    case OUTCOME_METHOD_NOT_ALLOWED:
        return "check STACK_AGENT_URL or --url, and that the coordinator is not older than this program";
    case OUTCOME_UNREACHABLE:
        return "check STACK_AGENT_URL or --url, and that the coordinator runs";
    case OUTCOME_STORE_UNAVAILABLE:
    case OUTCOME_DRAINING:
    case OUTCOME_RATE_LIMITED:
        return "try again later";
    case OUTCOME_INTERNAL:
        return "the coordinator's log tells more";
    case OUTCOME_LEASE_REQUIRED:
        return "only the job that has the lease, or an operator, can change this stack";
    case OUTCOME_UNKNOWN_REQUEST:
        return "check --request-id or STACK_REQUEST_ID: it is what `request --json` printed";
    case OUTCOME_DONE:
    case OUTCOME_VALIDATION:
    case OUTCOME_UNKNOWN_STACK:
    case OUTCOME_UNKNOWN_PROJECT:
    case OUTCOME_UNKNOWN_KEY:
    case OUTCOME_WRONG_STATE:
    case OUTCOME_EXISTS:
    case OUTCOME_IN_USE:
    case OUTCOME_REQUEST_OVER:
    case OUTCOME_TOO_LARGE:
    case OUTCOME_BAD_JSON:
    case OUTCOME_REQUEST_MISMATCH:
    case OUTCOME_COUNT:
        break;
    }
    return NULL;
}

static bool contains(const Buffer *text, Slice words) {
    return words.len > 0 && text->len > 0 && memmem(text->data, text->len, words.ptr, words.len) != NULL;
}

static void add_now_held(const json_t *holder, Buffer *out) {
    OWN(buffer_deinit) Buffer words;
    buffer_init(&words, REASON_MAX);
    if (!json_is_object(holder))
        return;
    view_holder(holder, &words);
    const char *text = buffer_text(&words);
    buffer_printf(out, "; %s has it now", text != NULL && *text != '\0' ? text : "somebody else");
}

/* Of a 410, what the coordinator's sentence does not say: "(expired at 2026-…); anna feat https://… has it now". */
static void add_ending(const Reply *reply, Buffer *out) {
    static const struct { const char *member, *lead; } parts[] = {{"why", ""}, {"by", " by "}, {"at", " at "}};
    if (reply->outcome != OUTCOME_LEASE_LOST && reply->outcome != OUTCOME_REQUEST_OVER)
        return;
    if (!contains(&reply->detail, reply_text(reply->raw.json, "why"))) {
        size_t before = out->len;
        buffer_add_text(out, " (");
        for (size_t i = 0; i < COUNT_OF(parts); i++) {
            Slice text = reply_text(reply->raw.json, parts[i].member);
            if (text.len == 0)
                continue;
            buffer_add_text(out, parts[i].lead);
            print_foreign(out, text);
        }
        if (out->len == before + 2)
            out->len = before;
        else
            buffer_add_char(out, ')');
    }
    add_now_held(json_object_get(reply->raw.json, "holder"), out);
}

int reply_fail(const Agent *agent, const Reply *reply, const char *what) {
    const OutcomeRow *row = outcome_row(reply->outcome);
    OWN(buffer_deinit) Buffer line;
    buffer_init(&line, REASON_MAX * 2);
    buffer_printf(&line, "%s: ", what);
    if (reply->raw.status != 0 && reply->outcome != OUTCOME_QUEUED) /* 202 says no more than "waiting" */
        buffer_printf(&line, "%d: ", reply->raw.status);
    Slice detail = buffer_slice(&reply->detail);
    while (detail.len > 0 && detail.ptr[detail.len - 1] == '.')
        detail.len--;
    buffer_add_slice(&line, detail.len > 0 ? detail : slice_of(row->title));
    add_ending(reply, &line);
    if (way_out(reply->outcome) != NULL)
        buffer_printf(&line, "; %s", way_out(reply->outcome));
    const char *text = buffer_text(&line);
    return agent_fail(agent, row->exit_code, "%s", text != NULL ? text : row->title);
}
