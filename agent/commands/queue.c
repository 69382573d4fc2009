/* queue: who waits for a stack. */
#include "agent/command.h"
#include "agent/pages.h"
#include "agent/print.h"

int command_queue(const Agent *agent) {
    Command command = {.operation = OP_LIST_QUEUE};
    fields_clear(operation_row(OP_LIST_QUEUE)->command, &command);
    OWN(json_decrefp) json_t *list = NULL;
    int r = pages_read(agent, &command, "queue", "queue", &list);
    if (r != 0)
        return r;
    return agent->options->is_json ? print_json(agent, list)
                                   : print_view(agent, view_queue, json_object_get(list, "queue"));
}
