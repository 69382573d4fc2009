/* A coordinator's `next` is not trusted to come to an end: pages are counted, and each must move on. */
#include "agent/pages.h"

#include <errno.h>

#include "agent/limits.h"
#include "base/json_guard.h"

static int read_page(Session *session, const Command *command, const char *member, const char *what, json_t *items,
                     int64_t *next) {
    OWN(reply_deinit) Reply reply;
    reply_init(&reply);
    int r = session_call(session, command, (SessionLimits){.within_ms = CALL_MS, .cancel_fd = -1}, &reply);
    if (r != 0)
        return r;
    if (reply.outcome != OUTCOME_DONE)
        return reply_fail(session->agent, &reply, what);
    json_t *page = json_object_get(reply.raw.json, member);
    if (!json_is_array(page))
        return agent_fail(session->agent, EX_SOFTWARE, "%s: the answer has no list of %s: check the URL", what, member);
    const json_t *more = json_object_get(reply.raw.json, "next");
    *next = json_is_integer(more) ? json_integer_value(more) : FIELD_ABSENT;
    return json_array_extend(items, page) == 0 ? 0 : -ENOMEM;
}

static int read_all(Session *session, Command *command, const char *member, const char *what, json_t *items) {
    bool is_limited = command->limit != FIELD_ABSENT;
    for (int i = 0; i < PAGES_MAX; i++) {
        int64_t next = FIELD_ABSENT;
        int r = read_page(session, command, member, what, items, &next);
        if (r != 0 || next == FIELD_ABSENT || is_limited)
            return r;
        if (command->after != FIELD_ABSENT && next <= command->after)
            break;
        command->after = next;
    }
    return agent_fail(session->agent, EX_SOFTWARE, "%s: the list does not end", what);
}

int pages_read(const Agent *agent, Command *command, const char *member, const char *what, json_t **out) {
    OWN(session_close) Session session = {.agent = agent};
    int r = session_open(&session, agent, SLICE_ABSENT, SLICE_ABSENT);
    if (r == 0)
        r = session_load_key(&session);
    if (r != 0)
        return r;
    OWN(json_decrefp) json_t *list = json_object();
    json_t *items = json_array();
    if (json_object_set_new(list, member, items) != 0)
        return -ENOMEM;
    r = read_all(&session, command, member, what, items);
    if (r == 0)
        *out = steal(&list);
    return r;
}
