/*
 * Lists as both programs show them to people: `stack-agent list` and `stack-coordinator stack list` are one view. Each takes
 * the array of an answer's member as JSON and appends a table, or a line that says that there is nothing.
 */
#pragma once

#include <jansson.h>

#include "client/text_table.h"

typedef struct ViewStyle {
    bool has_colours;
    int64_t now_ms; /* wall clock: ages are counted to it */
} ViewStyle;

void view_stacks(const json_t *stacks, const ViewStyle *style, Buffer *out);
void view_events(const json_t *events, const ViewStyle *style, Buffer *out);
void view_projects(const json_t *projects, const ViewStyle *style, Buffer *out);
void view_keys(const json_t *keys, const ViewStyle *style, Buffer *out);
