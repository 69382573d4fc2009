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
void view_queue(const json_t *queue, const ViewStyle *style, Buffer *out);
/* The same behind another table. */
void view_waiting(const json_t *queue, const ViewStyle *style, Buffer *out);
void view_events(const json_t *events, const ViewStyle *style, Buffer *out);
void view_projects(const json_t *projects, const ViewStyle *style, Buffer *out);
void view_keys(const json_t *keys, const ViewStyle *style, Buffer *out);

/* For sentences. Who it is, on one line, safe to print: "anna  e2e  https://…"; nothing of an empty holder. */
void view_holder(const json_t *holder, Buffer *out);
/* "52m" since a date of an answer; nothing of what is no date. */
void view_age(Slice date, int64_t now_ms, Buffer *out);
