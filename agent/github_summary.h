/*
 * What a person finds on the page of the workflow's run: which stack, for what, and why it is deployed to. Markdown in which
 * every text from outside is text.
 */
#pragma once

#include "base/buffer.h"

typedef struct SummaryRow {
    const char *label; /* ours */
    Slice text;        /* from outside; absent or empty: the row is left out */
    Slice link;        /* http or https; absent: none */
} SummaryRow;

void github_summary_add(const char *title, const SummaryRow *rows, size_t count, Buffer *out);
/* A text as Markdown shows it unchanged: all but letters, digits and blanks as numbered entities. */
void github_summary_text(Slice text, Buffer *out);
