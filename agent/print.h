/*
 * What goes to stdout. Whatever came from outside has passed print_foreign() before.
 */
#pragma once

#include <jansson.h>

#include "agent/agent.h"
#include "client/views.h"

/* Writes the text to stdout in full. 0 | EX_SOFTWARE, said (a full disk, a closed pipe). */
int print_out(const Agent *agent, const Buffer *text);
/* One JSON document and a newline, ASCII only, with nothing in it that a CI system takes for a command. */
int print_json(const Agent *agent, const json_t *json);

/* A list for people. Colours on a terminal that wants them. */
typedef void ViewFunction(const json_t *items, const ViewStyle *style, Buffer *out);
int print_view(const Agent *agent, ViewFunction *view, const json_t *items);
