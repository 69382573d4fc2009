/*
 * Items → rows. In the table the attributes have the names that dynamodb-toolbox saves them by (_et, _ct, _md; the key of a
 * project is its SK, that of a stack "KEY#NAME" beside projectKey and stackName); somebody may have written out its own ones
 * (entity, created, modified, projectKey). Both are read.
 */
#include "transfer/original.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <time.h>

#include "base/limits.h"
#include "service/secrets.h"
#include "transfer/filling.h"
#include "transfer/original_items.h"

typedef struct OriginalProject {
    Slice key; /* its text */
    ProjectRow row;
    KeyRow api_key;
} OriginalProject;

typedef struct OriginalStack {
    OriginalProject *project;
    StackRow row;
} OriginalStack;

typedef struct Original {
    const OriginalOptions *options;
    Buffer *reason;
    Arena arena;
    json_t *items; /* the texts of all rows are theirs, or the arena's */
    OriginalProject *projects;
    OriginalStack *stacks;
    size_t project_count, stack_count, skipped;
    bool is_used[OPTION_LIST_MAX]; /* of the renames */
} Original;

/* ---- attributes ---- */

/* The first of these names that the item has as a text. */
static Slice text_of(const json_t *item, const char *name, const char *alias) {
    const json_t *value = json_object_get(item, name);
    if (!json_is_string(value) && alias != NULL)
        value = json_object_get(item, alias);
    return (Slice){.ptr = json_string_value(value), .len = json_string_length(value)};
}

/* Absent too where it is empty. */
static Slice filled_text_of(const json_t *item, const char *name) {
    Slice text = text_of(item, name, NULL);
    return text.len > 0 ? text : SLICE_ABSENT;
}

/* Milliseconds since 1970 of "2022-03-04T14:19:54.448Z". False: it is no such text. */
static bool parse_time(Slice text, int64_t *wall_ms) {
    char copy[32];
    if (slice_is_absent(text) || text.len >= sizeof copy)
        return false;
    memcpy(copy, text.ptr, text.len);
    copy[text.len] = '\0';
    struct tm date = {.tm_isdst = 0};
    const char *rest = strptime(copy, "%Y-%m-%dT%H:%M:%S", &date);
    int64_t ms = 0;
    if (rest != NULL && *rest == '.') {
        int64_t unit = 100;
        for (rest++; *rest >= '0' && *rest <= '9'; rest++, unit /= 10)
            ms += (*rest - '0') * unit;
    }
    if (rest == NULL || strcmp(rest, "Z") != 0)
        return false;
    *wall_ms = (int64_t)timegm(&date) * 1000 + ms;
    return *wall_ms >= 0;
}

/* An item that was made by hand has no time: `fallback`. False: it has one that is none. */
static bool time_of(const json_t *item, const char *name, const char *alias, int64_t fallback, int64_t *wall_ms) {
    Slice text = text_of(item, name, alias);
    *wall_ms = fallback;
    return slice_is_absent(text) || parse_time(text, wall_ms);
}

/* ---- what is wrong ---- */

static int refuse(Original *o, const char *format, ...) PRINTF_LIKE(2, 3);
static int refuse(Original *o, const char *format, ...) {
    char sentence[768];
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(sentence, sizeof sentence, format, arguments);
    va_end(arguments);
    buffer_add_text(o->reason, sentence);
    return TRANSFER_REFUSED;
}

static int failed(Original *o, int error) {
    buffer_add_text(o->reason, strerror(-error));
    return error;
}

/* Fields as an operation would be sent them, so that they are what it would take: `pairs` of name and value, absent ones left
 * out. The command borrows from *object. 0 | TRANSFER_REFUSED, with *problem | -ENOMEM. */
static int decode(OperationId operation, const Slice (*pairs)[2], size_t count, json_t **object, Command *out,
                  FieldProblem *problem) {
    *object = json_object();
    for (size_t i = 0; i < count; i++) {
        Slice value = pairs[i][1];
        if (!slice_is_absent(value) &&
            json_object_set_new(*object, pairs[i][0].ptr, json_stringn(value.ptr, value.len)) != 0)
            return -ENOMEM;
    }
    if (*object == NULL)
        return -ENOMEM;
    int r = fields_decode(operation_row(operation)->command, *object, FIELDS_FROM_JSON, out, problem);
    return r == 0 ? 0 : TRANSFER_REFUSED;
}
#define PAIR(name, value)                                                                                              \
    { SLICE_LITERAL(name), value }

/* ---- projects ---- */

/* NEW of the OLD=NEW that is meant for it. */
static Slice new_name(Original *o, Slice name) {
    const OptionList *renames = o->options->renames;
    for (size_t i = 0; i < renames->count; i++) {
        const char *sign = strrchr(renames->items[i], '=');
        Slice old = {.ptr = renames->items[i], .len = (size_t)(sign - renames->items[i])};
        if (slice_equal(old, name)) {
            o->is_used[i] = true;
            return slice_of(sign + 1);
        }
    }
    return name;
}

static int take_settings(Original *o, const json_t *item, Slice name, OriginalProject *p) {
    OWN(json_decrefp) json_t *object = NULL;
    Command command;
    FieldProblem problem;
    Slice prefix = text_of(item, "prefix", NULL), initial_commit = filled_text_of(item, "initialCommit");
    const Slice pairs[][2] = {PAIR("project", new_name(o, name)), PAIR("prefix", prefix),
                              PAIR("initialCommit", initial_commit)};
    int r = decode(OP_CREATE_PROJECT, pairs, COUNT_OF(pairs), &object, &command, &problem);
    if (r == -ENOMEM)
        return failed(o, r);
    if (r != 0 && strcmp(problem.field, "project") == 0)
        return refuse(o, "project \"%.*s\": the name of a %s: say --rename \"%.*s=NEW\"", SLICE_PRINT(name),
                      problem.detail, SLICE_PRINT(name));
    if (r != 0)
        return refuse(o, "project \"%.*s\": %s; change it in the file", SLICE_PRINT(name), problem.detail);
    int64_t created_ms;
    int64_t now_ms = clock_wall_ms(o->options->clock);
    if (!time_of(item, "_ct", "created", now_ms, &created_ms))
        return refuse(o, "project \"%.*s\": created is no time such as 2022-03-04T14:19:54.448Z", SLICE_PRINT(name));
    p->row = project_row_new(new_name(o, name), created_ms);
    if (!slice_is_absent(prefix))
        p->row.prefix = prefix;
    p->row.initial_commit = initial_commit;
    r = random_fill(o->options->random, p->row.lease_key, sizeof p->row.lease_key);
    return r < 0 ? failed(o, r) : 0;
}

static int take_key(Original *o, Slice name, OriginalProject *p) {
    OWN(json_decrefp) json_t *object = NULL;
    Command command;
    FieldProblem problem;
    KeyClaim claim;
    const Slice pairs[][2] = {PAIR("project", p->row.name), PAIR("secret", p->key)};
    int r = decode(OP_IMPORT_KEY, pairs, COUNT_OF(pairs), &object, &command, &problem);
    if (r == TRANSFER_REFUSED)
        return refuse(o, "project \"%.*s\": its key, as a %s; give it another in the file, and its clients",
                      SLICE_PRINT(name), problem.detail);
    if (r == 0)
        r = key_read(p->key, &claim);
    if (r == SECRET_MALFORMED)
        return refuse(o, "project \"%.*s\": its key begins with sok_, as ours do, and is none of ours",
                      SLICE_PRINT(name));
    if (r == 0)
        r = arena_copy(&o->arena, slice_of(claim.id), &p->api_key.id);
    if (r != 0)
        return failed(o, r);
    p->api_key.project = p->row.name;
    p->api_key.scope = command.key_scope;
    p->api_key.created_ms = p->row.created_ms;
    memcpy(p->api_key.hash, claim.hash, sizeof p->api_key.hash);
    return 0;
}

static int take_project(Original *o, const json_t *item, size_t number) {
    OriginalProject *p = &o->projects[o->project_count];
    Slice name = text_of(item, "projectName", NULL);
    *p = (OriginalProject){.key = text_of(item, "SK", "projectKey")};
    if (slice_is_absent(name) || slice_is_absent(p->key))
        return refuse(o, "item %zu, a project, has no %s", number,
                      slice_is_absent(name) ? "projectName" : "SK or projectKey");
    int r = take_settings(o, item, name, p);
    if (r == 0)
        r = take_key(o, name, p);
    o->project_count += r == 0;
    return r;
}

/* ---- stacks ---- */

/* By its whole key: one that is the beginning of another does not get the other's stacks. */
static OriginalProject *project_of(const Original *o, Slice key) {
    for (size_t i = 0; i < o->project_count; i++)
        if (slice_equal(o->projects[i].key, key))
            return &o->projects[i];
    return NULL;
}

/* From "KEY#NAME", where they do not stand apart: no name of a stack has a # in it. */
static void find_key_and_name(const json_t *item, Slice *key, Slice *name) {
    Slice both = text_of(item, "SK", NULL);
    *key = text_of(item, "projectKey", NULL);
    *name = text_of(item, "stackName", NULL);
    for (size_t i = both.len; i > 0 && (slice_is_absent(*key) || slice_is_absent(*name)); i--)
        if (both.ptr[i - 1] == '#') {
            *key = (Slice){.ptr = both.ptr, .len = i - 1};
            *name = (Slice){.ptr = both.ptr + i, .len = both.len - i};
        }
}

static int check_fields(Original *o, OperationId operation, const Slice (*pairs)[2], size_t count, Slice project,
                        Slice stack) {
    OWN(json_decrefp) json_t *object = NULL;
    Command command;
    FieldProblem problem;
    int r = decode(operation, pairs, count, &object, &command, &problem);
    if (r == TRANSFER_REFUSED)
        return refuse(o, "project \"%.*s\", stack \"%.*s\": %s; change it in the file", SLICE_PRINT(project),
                      SLICE_PRINT(stack), problem.detail);
    return r == 0 ? 0 : failed(o, r);
}

static int take_content(Original *o, const json_t *item, Slice project, StackRow *row) {
    row->branch = text_of(item, "branch", NULL);
    row->last_commit = filled_text_of(item, "lastDeployedCommit");
    const Slice content[][2] = {PAIR("branch", row->branch), PAIR("commit", row->last_commit)};
    const Slice name[][2] = {PAIR("stackName", row->name)};
    int r = check_fields(o, OP_REQUEST_STACK, content, COUNT_OF(content), project, row->name);
    return r == 0 ? check_fields(o, OP_QUARANTINE_STACK, name, COUNT_OF(name), project, row->name) : r;
}

static int take_stack(Original *o, const json_t *item, size_t number) {
    OriginalStack *stack = &o->stacks[o->stack_count];
    Slice key;
    *stack = (OriginalStack){.row.is_collected = true};
    StackRow *row = &stack->row;
    find_key_and_name(item, &key, &row->name);
    if (slice_is_absent(key) || slice_is_absent(row->name))
        return refuse(o, "item %zu, a stack, has neither projectKey and stackName nor both in SK", number);
    stack->project = project_of(o, key);
    if (stack->project == NULL) {
        o->skipped++;
        return 0;
    }
    Slice project = stack->project->row.name;
    const json_t *is_available = json_object_get(item, "isAvailable");
    if (!json_is_boolean(is_available))
        return refuse(o, "project \"%.*s\", stack \"%.*s\": isAvailable is neither true nor false",
                      SLICE_PRINT(project), SLICE_PRINT(row->name));
    row->state = json_is_true(is_available) ? STACK_AVAILABLE : STACK_LEASED;
    row->number = stack_number_of(row->name);
    if (row->number == 0)
        return refuse(o, "project \"%.*s\", stack \"%.*s\": its name does not end in a number; change it in the file",
                      SLICE_PRINT(project), SLICE_PRINT(row->name));
    int r = take_content(o, item, project, row);
    if (r != 0)
        return r;
    int64_t now_ms = clock_wall_ms(o->options->clock);
    if (!time_of(item, "_ct", "created", now_ms, &row->created_ms) ||
        !time_of(item, "_md", "modified", row->created_ms, &row->modified_ms))
        return refuse(o,
                      "project \"%.*s\", stack \"%.*s\": created or modified is no time such as "
                      "2022-03-04T14:19:54.448Z",
                      SLICE_PRINT(project), SLICE_PRINT(row->name));
    o->stack_count++;
    return 0;
}

/* ---- orders ---- */

static int by_name(const void *a, const void *b) {
    return slice_compare(((const OriginalProject *)a)->row.name, ((const OriginalProject *)b)->row.name);
}

static int by_number(int64_t a, int64_t b) {
    return a < b ? -1 : a > b;
}

/* Of each project the one asked for longest ago first. */
static int by_age(const void *a, const void *b) {
    const OriginalStack *left = a, *right = b;
    int order = slice_compare(left->project->row.name, right->project->row.name);
    if (order == 0)
        order = by_number(left->row.modified_ms, right->row.modified_ms);
    return order != 0 ? order : by_number(left->row.number, right->row.number);
}

static int by_place(const void *a, const void *b) {
    const OriginalStack *left = a, *right = b;
    int order = slice_compare(left->project->row.name, right->project->row.name);
    return order != 0 ? order : by_number(left->row.number, right->row.number);
}

/* As if each had been granted when it was last modified: generations grow with that, and are never those to come. */
static void number_grants(Original *o) {
    qsort(o->stacks, o->stack_count, sizeof *o->stacks, by_age);
    for (size_t i = 0; i < o->stack_count; i++) {
        StackRow *row = &o->stacks[i].row;
        ProjectRow *project = &o->stacks[i].project->row;
        int64_t next = project->last_generation + 1;
        project->last_generation = row->modified_ms > next ? row->modified_ms : next;
        row->requested = project->last_generation;
        row->requested_ms = row->modified_ms;
        project->stack_count++;
        if (row->state != STACK_LEASED)
            continue;
        row->ticket = ++project->last_ticket;
        row->generation = row->requested;
        row->since_ms = row->modified_ms;
        project->leased_count++;
    }
}

/* first_unused; and that no number is there twice. */
static int look_at_numbers(Original *o) {
    qsort(o->stacks, o->stack_count, sizeof *o->stacks, by_place);
    for (size_t i = 0; i < o->stack_count; i++) {
        ProjectRow *project = &o->stacks[i].project->row;
        int64_t number = o->stacks[i].row.number;
        bool is_same = i > 0 && o->stacks[i - 1].project == o->stacks[i].project;
        if (is_same && o->stacks[i - 1].row.number == number)
            return refuse(
                o, "project \"%.*s\": stacks \"%.*s\" and \"%.*s\" have the same number; change one in the file",
                SLICE_PRINT(project->name), SLICE_PRINT(o->stacks[i - 1].row.name), SLICE_PRINT(o->stacks[i].row.name));
        if (number == project->first_unused)
            project->first_unused++;
    }
    return 0;
}

static int look_at_names(Original *o) {
    qsort(o->projects, o->project_count, sizeof *o->projects, by_name);
    for (size_t i = 1; i < o->project_count; i++)
        if (slice_equal(o->projects[i - 1].row.name, o->projects[i].row.name))
            return refuse(o, "two projects would be called \"%.*s\": change the projectName of one in the file",
                          SLICE_PRINT(o->projects[i].row.name));
    return 0;
}

/* ---- all of it ---- */

/* 'P'roject, 'S'tack; 0: neither. */
static char kind_of(const json_t *item) {
    Slice kind = text_of(item, "_et", "entity");
    if (slice_is_absent(kind))
        kind = text_of(item, "PK", "modelName");
    return slice_equal_text(kind, "Project") ? 'P' : slice_equal_text(kind, "Stack") ? 'S' : '\0';
}

static int take_all(Original *o, char kind, int (*take)(Original *o, const json_t *item, size_t number)) {
    int r = 0;
    for (size_t i = 0; r == 0 && i < json_array_size(o->items); i++) {
        const json_t *item = json_array_get(o->items, i);
        char its_kind = kind_of(item);
        if (its_kind == '\0')
            return refuse(o, "item %zu is neither a Project nor a Stack, by its _et, entity or PK", i + 1);
        if (its_kind == kind)
            r = take(o, item, i + 1);
    }
    return r;
}

static int check_renames(Original *o) {
    const OptionList *renames = o->options->renames;
    for (size_t i = 0; i < renames->count; i++)
        if (!o->is_used[i])
            return refuse(o, "--rename %s: there is no such project in the file", renames->items[i]);
    return 0;
}

static int take_items(Original *o) {
    size_t most = json_array_size(o->items) + 1;
    o->projects = calloc(most, sizeof *o->projects);
    o->stacks = calloc(most, sizeof *o->stacks);
    if (o->projects == NULL || o->stacks == NULL)
        return failed(o, -ENOMEM);
    int r = take_all(o, 'P', take_project);
    if (r == 0)
        r = check_renames(o);
    if (r == 0)
        r = look_at_names(o); /* and from here on they stay where they are */
    if (r == 0)
        r = take_all(o, 'S', take_stack);
    if (r != 0)
        return r;
    number_grants(o);
    return look_at_numbers(o);
}

static int fill(Original *o, Filling *f) {
    int r = 0;
    for (size_t i = 0; r == 0 && i < o->project_count; i++) {
        o->projects[i].row.last_event = 1;
        r = filling_add(
            f,
            &(StoredRow){.kind = STORED_PROJECT, .project = o->projects[i].row.name, .as.project = o->projects[i].row});
    }
    for (size_t i = 0; r == 0 && i < o->project_count; i++)
        r = filling_add(
            f, &(StoredRow){.kind = STORED_KEY, .project = o->projects[i].row.name, .as.key = o->projects[i].api_key});
    for (size_t i = 0; r == 0 && i < o->stack_count; i++)
        r = filling_add(f, &(StoredRow){.kind = STORED_STACK,
                                        .project = o->stacks[i].project->row.name,
                                        .as.stack = o->stacks[i].row});
    const EventRow event = {.id = 1,
                            .at_ms = clock_wall_ms(o->options->clock),
                            .kind = EVENT_PROJECT_CREATED,
                            .by = SLICE_LITERAL("import"),
                            .note = SLICE_LITERAL("brought along from test-stack-orchestrator")};
    for (size_t i = 0; r == 0 && i < o->project_count; i++)
        r = filling_add(f, &(StoredRow){.kind = STORED_EVENT, .project = o->projects[i].row.name, .as.event = event});
    return r;
}

static int read_file(FILE *in, Buffer *text, Buffer *reason) {
    char piece[65536];
    size_t length;
    errno = EIO;
    while ((length = fread(piece, 1, sizeof piece, in)) > 0)
        buffer_add(text, piece, length);
    int r = ferror(in) != 0 ? -errno : buffer_error(text);
    if (r == -EMSGSIZE) {
        buffer_printf(reason, "it is longer than %d MB", ORIGINAL_BYTES_MAX / (1024 * 1024));
        return TRANSFER_REFUSED;
    }
    if (r != 0)
        buffer_add_text(reason, strerror(-r));
    return r;
}

static int check_rename_texts(const OptionList *renames, Buffer *reason) {
    for (size_t i = 0; i < renames->count; i++)
        if (strrchr(renames->items[i], '=') == NULL) {
            buffer_printf(reason, "--rename %s: must be OLD=NEW", renames->items[i]);
            return TRANSFER_REFUSED;
        }
    return 0;
}

int original_read(Store *store, FILE *in, const OriginalOptions *options, TransferCounts *counts, size_t *skipped,
                  Buffer *reason) {
    OWN(buffer_deinit) Buffer text;
    buffer_init(&text, ORIGINAL_BYTES_MAX);
    Original o = {.options = options, .reason = reason};
    Filling filling = {.store = store};
    arena_init(&o.arena);
    int r = check_rename_texts(options->renames, reason);
    if (r == 0)
        r = read_file(in, &text, reason);
    if (r == 0)
        r = original_items_parse(buffer_slice(&text), &o.items, reason);
    if (r == 0)
        r = take_items(&o);
    if (r == 0)
        r = filling_begin(&filling, store, reason);
    if (r == 0)
        r = fill(&o, &filling);
    if (r == 0)
        r = filling_end(&filling, counts);
    if (r == 0)
        *skipped = o.skipped;
    filling_deinit(&filling);
    json_decref(o.items);
    free(o.projects);
    free(o.stacks);
    arena_deinit(&o.arena);
    return r;
}
