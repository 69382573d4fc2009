/* HTML, since a Markdown table's cells cannot hold everything; entities, since they begin no construct of either. */
#include "agent/github_summary.h"

#include "base/log.h"
#include "protocol/rules.h"

static bool is_plain(char c) {
    return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == ' ' ||
           ((unsigned char)c & 0x80) != 0;
}

void github_summary_text(Slice text, Buffer *out) {
    OWN(buffer_deinit) Buffer printable;
    buffer_init(&printable, out->ceiling);
    log_add_printable(&printable, text);
    Slice shown = buffer_slice(&printable);
    for (size_t i = 0; i < shown.len; i++) {
        if (is_plain(shown.ptr[i]))
            buffer_add_char(out, shown.ptr[i]);
        else
            buffer_printf(out, "&#%d;", (unsigned char)shown.ptr[i]);
    }
}

static void add_row(const SummaryRow *row, Buffer *out) {
    bool is_link = row->link.len > 0 && rule_link(row->link) == NULL;
    if (row->text.len == 0)
        return;
    buffer_printf(out, "<tr><th align=\"left\">%s</th><td>", row->label);
    if (is_link) {
        buffer_add_text(out, "<a href=\"");
        github_summary_text(row->link, out);
        buffer_add_text(out, "\">");
    }
    buffer_add_text(out, "<code>");
    github_summary_text(row->text, out);
    buffer_printf(out, "</code>%s</td></tr>\n", is_link ? "</a>" : "");
}

void github_summary_add(const char *title, const SummaryRow *rows, size_t count, Buffer *out) {
    buffer_printf(out, "### %s\n\n<table>\n", title);
    for (size_t i = 0; i < count; i++)
        add_row(&rows[i], out);
    buffer_add_text(out, "</table>\n\n");
}
