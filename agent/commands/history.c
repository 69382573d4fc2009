/* history: the latest events, the last one at the end. */
#include "agent/command.h"
#include "agent/pages.h"
#include "agent/print.h"
#include "protocol/rules.h"

int command_history(const Agent *agent) {
    Command command = {.operation = OP_LIST_EVENTS};
    fields_clear(operation_row(OP_LIST_EVENTS)->command, &command);
    command.limit = agent->options->limit;
    if (agent->options->after != OPTION_UNSET)
        command.after = agent->options->after;
    if (agent->argument_count > 0) {
        command.stack_name = slice_of(agent->arguments[0]);
        const char *wrong = rule_stack_name(command.stack_name);
        if (wrong != NULL)
            return agent_fail(agent, EX_USAGE, "the stack's name %s", wrong);
    }
    OWN(json_decrefp) json_t *list = NULL;
    int r = pages_read(agent, &command, "events", "history", &list);
    if (r != 0)
        return r;
    return agent->options->is_json ? print_json(agent, list)
                                   : print_view(agent, view_events, json_object_get(list, "events"));
}
