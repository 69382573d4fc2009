/* list: the project's stacks, who has them and since when, and who waits for one. */
#include "agent/command.h"
#include "agent/pages.h"
#include "agent/print.h"

static int read_list(const Agent *agent, OperationId operation, const char *member, json_t **out) {
    Command command = {.operation = operation};
    fields_clear(operation_row(operation)->command, &command);
    return pages_read(agent, &command, member, "list", out);
}

int command_list(const Agent *agent) {
    OWN(json_decrefp) json_t *stacks = NULL;
    OWN(json_decrefp) json_t *queue = NULL;
    int r = read_list(agent, OP_LIST_STACKS, "stacks", &stacks);
    if (r == 0 && agent->options->is_json)
        return print_json(agent, stacks);
    if (r == 0)
        r = read_list(agent, OP_LIST_QUEUE, "queue", &queue);
    const json_t *waiting = json_object_get(queue, "queue");
    if (r == 0)
        r = print_view(agent, view_stacks, json_object_get(stacks, "stacks"));
    if (r == 0 && json_array_size(waiting) > 0)
        r = print_view(agent, view_waiting, waiting);
    return r;
}
