/* list: the project's stacks, who has them and since when. */
#include "agent/command.h"
#include "agent/pages.h"
#include "agent/print.h"

int command_list(const Agent *agent) {
    Command command = {.operation = OP_LIST_STACKS};
    fields_clear(operation_row(OP_LIST_STACKS)->command, &command);
    OWN(json_decrefp) json_t *list = NULL;
    int r = pages_read(agent, &command, "stacks", "list", &list);
    if (r != 0)
        return r;
    return agent->options->is_json ? print_json(agent, list)
                                   : print_view(agent, view_stacks, json_object_get(list, "stacks"));
}
