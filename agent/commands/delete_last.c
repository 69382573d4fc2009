/* delete-last: one stack less, the one with the highest number. */
#include "agent/command.h"
#include "agent/limits.h"
#include "agent/print.h"
#include "agent/session.h"

int command_delete_last(const Agent *agent) {
    OWN(session_close) Session session = {.agent = agent};
    OWN(reply_deinit) Reply reply;
    OWN(buffer_deinit) Buffer line;
    reply_init(&reply);
    buffer_init(&line, REASON_MAX * 2);
    Command command = {.operation = OP_DELETE_LAST_STACK};
    int r = session_open(&session, agent, SLICE_ABSENT, SLICE_ABSENT);
    if (r == 0)
        r = session_load_key(&session);
    if (r == 0)
        r = session_call(&session, &command, (SessionLimits){.within_ms = CALL_MS, .cancel_fd = -1}, &reply);
    if (r != 0)
        return r;
    if (reply.outcome != OUTCOME_DONE)
        return reply_fail(agent, &reply, "delete-last");
    if (agent->options->is_json)
        return print_json(agent, reply.raw.json);
    print_foreign(&line, reply.answer.message);
    buffer_add_char(&line, '\n');
    return print_out(agent, &line);
}
