/*
 * Tables by table: a view is a list of columns, a column a heading and a function that makes a cell of an item.
 */
#include "client/views.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/limits.h"

#define SHORT_COMMIT 12

static Slice member(const json_t *object, const char *name) {
    const json_t *text = json_object_get(object, name);
    return (Slice){.ptr = json_string_value(text), .len = json_string_length(text)};
}

/* ---- dates ---- */

/* Seconds since 1970 of "2026-11-22T20:22:15.474Z". */
static bool read_date(Slice date, int64_t *seconds) {
    struct tm t = {.tm_isdst = 0};
    char text[CLOCK_ISO_SIZE];
    if (date.len != sizeof text - 1)
        return false;
    memcpy(text, date.ptr, date.len);
    text[date.len] = '\0';
    if (strptime(text, "%Y-%m-%dT%H:%M:%S", &t) == NULL)
        return false;
    *seconds = timegm(&t);
    return true;
}

static void add_span(int64_t seconds, Buffer *cell) {
    char span[24];
    clock_format_span(seconds > 0 ? seconds : 0, span);
    buffer_add_text(cell, span);
}

void view_age(Slice date, int64_t now_ms, Buffer *out) {
    int64_t then;
    if (read_date(date, &then))
        add_span(now_ms / 1000 - then, out);
}

static void add_age(Slice date, const ViewStyle *style, Buffer *cell) {
    view_age(date, style->now_ms, cell);
}

static void add_date(Slice date, Buffer *cell) {
    int64_t then;
    if (read_date(date, &then))
        buffer_printf(cell, "%.10s %.8s", date.ptr, date.ptr + 11);
}

/* ---- cells ---- */

typedef struct Column {
    const char *heading;
    const char *name; /* of the item's member */
    void (*make)(const json_t *item, const char *name, const ViewStyle *style,
                 Buffer *cell); /* NULL: the member's text */
    Colour colour;
} Column;

static void make_age(const json_t *item, const char *name, const ViewStyle *style, Buffer *cell) {
    add_age(member(item, name), style, cell);
}

static void make_date(const json_t *item, const char *name, const ViewStyle *style, Buffer *cell) {
    (void)style;
    add_date(member(item, name), cell);
}

static void make_commit(const json_t *item, const char *name, const ViewStyle *style, Buffer *cell) {
    (void)style;
    Slice commit = member(item, name);
    commit.len = commit.len > SHORT_COMMIT ? SHORT_COMMIT : commit.len;
    buffer_add_slice(cell, commit);
}

static void make_number(const json_t *item, const char *name, const ViewStyle *style, Buffer *cell) {
    (void)style;
    const json_t *number = json_object_get(item, name);
    if (json_is_integer(number))
        buffer_add_number(cell, json_integer_value(number));
    else
        buffer_add_char(cell, '-');
}

/* For how long: leased since, else requested. */
static void make_since(const json_t *item, const char *name, const ViewStyle *style, Buffer *cell) {
    (void)name;
    Slice since = member(json_object_get(item, "lease"), "since");
    add_age(slice_is_absent(since) ? member(item, "requested") : since, style, cell);
}

/* Until when a bound lease lasts unless it is renewed. */
static void make_left(const json_t *item, const char *name, const ViewStyle *style, Buffer *cell) {
    (void)name;
    int64_t then;
    if (read_date(member(json_object_get(item, "lease"), "expires"), &then))
        add_span(then - style->now_ms / 1000, cell);
}

/* A stack that is its own state's, but rests, is not to be had. */
static void make_state(const json_t *item, const char *name, const ViewStyle *style, Buffer *cell) {
    (void)style;
    bool is_quiet = json_is_true(json_object_get(item, "quiet"));
    Slice state = member(item, name);
    if (is_quiet && slice_equal_text(state, "available"))
        state = SLICE_ABSENT;
    buffer_add_slice(cell, state);
    if (is_quiet)
        buffer_add_text(cell, state.len > 0 ? ", quiet" : "quiet");
}

/* Its place; those that were not heard of lately are passed over. */
static void make_place(const json_t *item, const char *name, const ViewStyle *style, Buffer *cell) {
    if (json_is_integer(json_object_get(item, name)))
        make_number(item, name, style, cell);
    else
        buffer_add_text(cell, "silent");
}

static void add_words(Buffer *cell, const Slice *words, size_t count) {
    for (size_t i = 0; i < count; i++) {
        if (words[i].len == 0)
            continue;
        buffer_add_text(cell, cell->len > 0 ? "  " : "");
        buffer_add_slice(cell, words[i]);
    }
}

static void add_holder(const json_t *holder, Buffer *cell) {
    const Slice words[] = {member(holder, "actor"), member(holder, "job"), member(holder, "link"),
                           member(holder, "note")};
    add_words(cell, words, COUNT_OF(words));
}

void view_holder(const json_t *holder, Buffer *out) {
    OWN(buffer_deinit) Buffer words;
    buffer_init(&words, ANSWER_MAX);
    add_holder(holder, &words);
    print_foreign(out, buffer_slice(&words));
}

/* Who has it, where to look, and what people should know. */
static void make_stack_remarks(const json_t *item, const char *name, const ViewStyle *style, Buffer *cell) {
    (void)name, (void)style;
    const Slice note[] = {member(item, "note")};
    add_holder(json_object_get(json_object_get(item, "lease"), "holder"), cell);
    add_words(cell, note, COUNT_OF(note));
}

static void make_holder(const json_t *item, const char *name, const ViewStyle *style, Buffer *cell) {
    (void)style;
    add_holder(json_object_get(item, name), cell);
}

/* Who, how it was left, and what was said. Who took a stack from its holder is named first, then the holder. */
static void make_event_remarks(const json_t *item, const char *name, const ViewStyle *style, Buffer *cell) {
    (void)name, (void)style;
    const json_t *holder = json_object_get(item, "holder");
    const Slice actor = member(holder, "actor"), by = member(item, "by");
    const bool is_taken = slice_equal_text(member(item, "kind"), "forced") && actor.len > 0;
    const Slice words[] = {is_taken || actor.len == 0 ? by : actor,
                           is_taken ? (Slice)SLICE_LITERAL("took it from") : SLICE_ABSENT,
                           is_taken ? actor : SLICE_ABSENT,
                           member(item, "outcome"),
                           member(item, "note"),
                           member(holder, "link")};
    add_words(cell, words, COUNT_OF(words));
}

static void make_key_state(const json_t *item, const char *name, const ViewStyle *style, Buffer *cell) {
    (void)name, (void)style;
    buffer_add_text(cell, json_object_get(item, "revoked") != NULL ? "revoked" : "live");
}

static void make_last_used(const json_t *item, const char *name, const ViewStyle *style, Buffer *cell) {
    Slice date = member(item, name);
    if (slice_is_absent(date)) {
        buffer_add_text(cell, "never");
        return;
    }
    add_age(date, style, cell);
    buffer_add_text(cell, " ago");
}

static Colour colour_of(Slice text) {
    static const struct {
        const char *text;
        Colour colour;
    } colours[] = {{"available", COLOUR_GREEN}, {"leased", COLOUR_YELLOW},   {"retiring", COLOUR_YELLOW},
                   {"dirty", COLOUR_RED},       {"quarantined", COLOUR_RED}, {"revoked", COLOUR_RED},
                   {"quiet", COLOUR_YELLOW},    {"silent", COLOUR_YELLOW},   {"expired", COLOUR_RED},
                   {"forced", COLOUR_RED},      {"abandoned", COLOUR_RED},   {"uncollected", COLOUR_YELLOW}};
    for (size_t i = 0; i < COUNT_OF(colours); i++)
        if (slice_equal_text(text, colours[i].text))
            return colours[i].colour;
    return COLOUR_NONE;
}

/* ---- views ---- */

static void render(const Column *columns, size_t count, const char *nothing, const json_t *items,
                   const ViewStyle *style, Buffer *out) {
    OWN(text_table_deinit) TextTable table;
    OWN(buffer_deinit) Buffer cell;
    text_table_init(&table, count);
    buffer_init(&cell, ANSWER_MAX);
    if (json_array_size(items) == 0) {
        buffer_add_text(out, nothing);
        return;
    }
    for (size_t c = 0; c < count; c++)
        text_table_add(&table, slice_of(columns[c].heading), COLOUR_BOLD);
    for (size_t i = 0; i < json_array_size(items); i++) {
        const json_t *item = json_array_get(items, i);
        for (size_t c = 0; c < count; c++) {
            buffer_clear(&cell);
            if (columns[c].make == NULL)
                buffer_add_slice(&cell, member(item, columns[c].name));
            else
                columns[c].make(item, columns[c].name, style, &cell);
            Slice text = cell.len > 0 ? buffer_slice(&cell) : SLICE_ABSENT;
            Colour colour = columns[c].colour != COLOUR_NONE ? columns[c].colour : colour_of(text);
            text_table_add(&table, text, colour);
        }
    }
    text_table_render(&table, style->has_colours, out);
}

void view_stacks(const json_t *stacks, const ViewStyle *style, Buffer *out) {
    static const Column columns[] = {
        {"STACK", "stackName", NULL, COLOUR_BOLD},
        {"STATE", "state", make_state, COLOUR_NONE},
        {"FOR", NULL, make_since, COLOUR_NONE},
        {"LEFT", NULL, make_left, COLOUR_NONE},
        {"BRANCH", "branch", NULL, COLOUR_NONE},
        {"COMMIT", "lastDeployedCommit", make_commit, COLOUR_NONE},
        {"HOLDER", NULL, make_stack_remarks, COLOUR_NONE},
    };
    render(columns, COUNT_OF(columns), "no stacks yet: the first request makes one\n", stacks, style, out);
}

void view_queue(const json_t *queue, const ViewStyle *style, Buffer *out) {
    static const Column columns[] = {
        {"PLACE", "position", make_place, COLOUR_BOLD}, {"FOR", "purpose", NULL, COLOUR_NONE},
        {"WAITS", "since", make_age, COLOUR_NONE},      {"BRANCH", "branch", NULL, COLOUR_NONE},
        {"WHO", "holder", make_holder, COLOUR_NONE},
    };
    render(columns, COUNT_OF(columns), "nobody waits\n", queue, style, out);
}

void view_waiting(const json_t *queue, const ViewStyle *style, Buffer *out) {
    size_t count = json_array_size(queue);
    buffer_printf(out, "\n%zu wait%s for a stack:\n", count, count == 1 ? "s" : "");
    view_queue(queue, style, out);
}

void view_events(const json_t *events, const ViewStyle *style, Buffer *out) {
    static const Column columns[] = {
        {"AT (UTC)", "at", make_date, COLOUR_NONE},
        {"STACK", "stackName", NULL, COLOUR_BOLD},
        {"WHAT", "kind", NULL, COLOUR_NONE},
        {"BRANCH", "branch", NULL, COLOUR_NONE},
        {"COMMIT", "commit", make_commit, COLOUR_NONE},
        {"BY", NULL, make_event_remarks, COLOUR_NONE},
    };
    render(columns, COUNT_OF(columns), "nothing is known of the last 90 days\n", events, style, out);
}

void view_projects(const json_t *projects, const ViewStyle *style, Buffer *out) {
    static const Column columns[] = {
        {"PROJECT", "project", NULL, COLOUR_BOLD},      {"PREFIX", "prefix", NULL, COLOUR_NONE},
        {"STACKS", "stacks", make_number, COLOUR_NONE}, {"MAX", "maxStacks", make_number, COLOUR_NONE},
        {"CLEANING", "cleaning", NULL, COLOUR_NONE},    {"CREATED (UTC)", "created", make_date, COLOUR_NONE},
    };
    render(columns, COUNT_OF(columns), "no projects yet: `project create NAME` makes one\n", projects, style, out);
}

void view_keys(const json_t *keys, const ViewStyle *style, Buffer *out) {
    static const Column columns[] = {
        {"KEY", "keyId", NULL, COLOUR_BOLD},           {"SCOPE", "scope", NULL, COLOUR_NONE},
        {"STATE", NULL, make_key_state, COLOUR_NONE},  {"LAST USED", "lastUsed", make_last_used, COLOUR_NONE},
        {"CREATED", "created", make_age, COLOUR_NONE}, {"LABEL", "label", NULL, COLOUR_NONE},
    };
    render(columns, COUNT_OF(columns), "no keys: `key create PROJECT` makes one\n", keys, style, out);
}
