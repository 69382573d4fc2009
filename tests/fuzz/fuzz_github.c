/*
 * What a step writes for GitHub's runner, read by a model of the runner: NAME \0 VALUE \0 TITLE \0 EVENT. Promised: an entry
 * between two others is read back as it was, and nothing else with it, or it is refused; a command is one line and that
 * command; a summary holds no markup but ours; a file's name is one line from which the name can be had again; an event is
 * read or not, whatever it holds.
 */
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "agent/ci.h"
#include "agent/difference.h"
#include "agent/github_files.h"
#include "agent/github_summary.h"
#include "agent/globs.h"
#include "agent/workflow_command.h"
#include "base/log.h"
#include "fuzz/require.h"
#include "seeded_random.h"

#define TEXT_MAX ((size_t)4 * 1024 * 1024)

/* ---- the runner's reader of files, after FileCommandManager.cs ---- */

typedef struct Entry {
    Slice name, value;
} Entry;

static bool next_line(Slice *text, Slice *line) {
    if (text->len == 0)
        return false;
    *line = *text;
    if (!slice_split(text, '\n', line))
        *text = (Slice){.ptr = text->ptr + text->len, .len = 0};
    return true;
}

static bool read_heredoc(Slice *text, Slice delimiter, Slice *value) {
    Slice line;
    const char *start = text->ptr, *end = start;
    while (next_line(text, &line)) {
        if (slice_compare(line, delimiter) == 0) {
            *value = (Slice){.ptr = start, .len = (size_t)(end - start)};
            return true;
        }
        end = line.ptr + line.len;
    }
    return false;
}

static const char *find(Slice text, const char *words) {
    return text.len > 0 ? memmem(text.ptr, text.len, words, strlen(words)) : NULL;
}

/* How many entries; -1: the step would fail. */
static int read_entries(Slice text, Entry *entries, int max) {
    int count = 0;
    Slice line;
    while (next_line(&text, &line)) {
        if (line.len == 0)
            continue;
        const char *equals = find(line, "="), *here = find(line, "<<");
        const char *cut = equals != NULL && (here == NULL || equals < here) ? equals : here;
        if (cut == NULL || cut == line.ptr || count == max)
            return -1;
        size_t skip = cut == equals ? 1 : 2;
        Entry entry = {.name = {.ptr = line.ptr, .len = (size_t)(cut - line.ptr)},
                       .value = {.ptr = cut + skip, .len = line.len - (size_t)(cut - line.ptr) - skip}};
        if (cut == here && !read_heredoc(&text, entry.value, &entry.value))
            return -1;
        entries[count++] = entry;
    }
    return count;
}

static void try_entry(Slice name, Slice value, uint64_t seed) {
    SeededRandom random;
    Entry entries[4];
    OWN(buffer_deinit) Buffer text;
    buffer_init(&text, TEXT_MAX);
    seeded_random_init(&random, seed);
    REQUIRE(github_entry_add(&random.base, slice_of("before"), slice_of("1\n2"), &text) == 0);
    int r = github_entry_add(&random.base, name, value, &text);
    REQUIRE(r == 0 || r == GITHUB_NAME_REFUSED || r == GITHUB_VALUE_REFUSED);
    REQUIRE(github_entry_add(&random.base, slice_of("after"), slice_of(""), &text) == 0);
    int count = read_entries(buffer_slice(&text), entries, 4);
    REQUIRE(count == (r == 0 ? 3 : 2));
    REQUIRE(slice_equal_text(entries[0].name, "before") && slice_equal_text(entries[0].value, "1\n2"));
    REQUIRE(slice_equal_text(entries[count - 1].name, "after") && entries[count - 1].value.len == 0);
    REQUIRE(r != 0 || (slice_equal(entries[1].name, name) && slice_compare(entries[1].value, value) == 0));
    REQUIRE(github_env_name_refusal(name) != NULL || r != GITHUB_NAME_REFUSED);
}

static void try_path(Slice folder) {
    OWN(buffer_deinit) Buffer text;
    buffer_init(&text, TEXT_MAX);
    int r = github_path_add(folder, &text);
    Slice rest = buffer_slice(&text), line;
    REQUIRE(r == 0 || (r == GITHUB_VALUE_REFUSED && rest.len == 0));
    REQUIRE(r != 0 || (next_line(&rest, &line) && slice_equal(line, folder) && rest.len == 0));
}

/* ---- its reader of lines, after ActionCommand.cs ---- */

static void add_unescaped(Buffer *out, Slice text) {
    for (size_t i = 0; i < text.len; i++) {
        unsigned code;
        char digits[3] = "";
        bool is_escape = text.ptr[i] == '%' && i + 2 < text.len;
        if (is_escape)
            memcpy(digits, text.ptr + i + 1, 2);
        if (is_escape && sscanf(digits, "%2X", &code) == 1 && strchr("\r\n%:,", (int)code) != NULL) {
            buffer_add_char(out, (char)code);
            i += 2;
        } else {
            buffer_add_char(out, text.ptr[i]);
        }
    }
}

/* "::name title=…::data": what is between the first two "::", and what is behind the second. */
static void split_command(Slice line, Slice *info, Slice *data) {
    REQUIRE(slice_starts_with(line, "::"));
    Slice rest = {.ptr = line.ptr + 2, .len = line.len - 2};
    const char *end = find(rest, "::");
    REQUIRE(end != NULL);
    *info = (Slice){.ptr = rest.ptr, .len = (size_t)(end - rest.ptr)};
    *data = (Slice){.ptr = end + 2, .len = rest.len - info->len - 2};
}

static void try_command(Slice title, Slice text) {
    OWN(buffer_deinit) Buffer out, said, expected;
    OWN(freep) char *words = slice_dup(title);
    Slice info, data, line;
    buffer_init(&out, TEXT_MAX);
    buffer_init(&said, TEXT_MAX);
    buffer_init(&expected, TEXT_MAX);
    REQUIRE(words != NULL);
    workflow_command_add(&out, "error", words, text);
    Slice rest = buffer_slice(&out);
    REQUIRE(next_line(&rest, &line) && rest.len == 0);
    split_command(line, &info, &data);
    REQUIRE(slice_starts_with(info, "error title="));
    Slice escaped = {.ptr = info.ptr + strlen("error title="), .len = info.len - strlen("error title=")};
    REQUIRE(find(escaped, ",") == NULL && find(escaped, "\r") == NULL);
    add_unescaped(&said, escaped);
    REQUIRE(slice_compare(buffer_slice(&said), slice_of(words)) == 0 || (said.len == 0 && *words == '\0'));
    buffer_clear(&said);
    add_unescaped(&said, data);
    log_add_printable(&expected, text);
    REQUIRE(slice_compare(buffer_slice(&said), buffer_slice(&expected)) == 0);
}

static void try_mask(Slice secret) {
    OWN(buffer_deinit) Buffer out;
    buffer_init(&out, TEXT_MAX);
    workflow_command_mask(&out, secret);
    Slice rest = buffer_slice(&out), line, info, data;
    bool is_first = true;
    while (next_line(&rest, &line)) {
        OWN(buffer_deinit) Buffer said;
        buffer_init(&said, TEXT_MAX);
        split_command(line, &info, &data);
        REQUIRE(slice_equal_text(info, "add-mask") && data.len > 0);
        add_unescaped(&said, data);
        REQUIRE(!is_first || slice_compare(buffer_slice(&said), secret) == 0);
        is_first = false;
    }
    REQUIRE(is_first == (secret.len == 0));
}

/* ---- pages, names, events ---- */

static void try_summary(Slice text) {
    OWN(buffer_deinit) Buffer out;
    buffer_init(&out, TEXT_MAX);
    github_summary_text(text, &out);
    Slice shown = buffer_slice(&out);
    for (size_t i = 0; i < shown.len; i++)
        REQUIRE((unsigned char)shown.ptr[i] >= 0x20 && strchr("<>\"'|`*_[]()!@~$\\:./-+={}", shown.ptr[i]) == NULL);
}

static void add_unquoted(Buffer *out, Slice name) {
    if (!slice_starts_with(name, "\"")) {
        buffer_add_slice(out, name);
        return;
    }
    REQUIRE(name.len >= 2 && name.ptr[name.len - 1] == '"');
    for (size_t i = 1; i + 1 < name.len; i++) {
        if (name.ptr[i] != '\\') {
            buffer_add_char(out, name.ptr[i]);
            continue;
        }
        char next = name.ptr[++i];
        if (next == '"' || next == '\\') {
            buffer_add_char(out, next);
            continue;
        }
        REQUIRE(i + 3 < name.len);
        buffer_add_char(out, (char)((next - '0') * 64 + (name.ptr[i + 1] - '0') * 8 + (name.ptr[i + 2] - '0')));
        i += 2;
    }
}

static void try_name(Slice name) {
    OWN(buffer_deinit) Buffer line, again;
    buffer_init(&line, TEXT_MAX);
    buffer_init(&again, TEXT_MAX);
    difference_add_name(name, &line);
    REQUIRE(find(buffer_slice(&line), "\n") == NULL && find(buffer_slice(&line), "\r") == NULL);
    add_unquoted(&again, buffer_slice(&line));
    REQUIRE(slice_compare(buffer_slice(&again), name) == 0);
    (void)globs_match(name, buffer_slice(&line), name.len % 2 == 0);
    (void)globs_check(name);
}

/* The two kinds of events whose branch the payload names. */
static const char *const events[][2] = {{"pull_request", "refs/pull/7/merge"},
                                        {"merge_group", "refs/heads/gh-readonly-queue/main/pr-7-a"}};
static size_t event_at;
static char event_path[64];

static const char *variable(const char *name) {
    const char *const variables[][2] = {{"GITHUB_ACTIONS", "true"},
                                        {"GITHUB_EVENT_NAME", events[event_at][0]},
                                        {"GITHUB_REF", events[event_at][1]},
                                        {"GITHUB_EVENT_PATH", event_path}};
    for (size_t i = 0; i < COUNT_OF(variables); i++) {
        if (strcmp(name, variables[i][0]) == 0)
            return variables[i][1];
    }
    return NULL;
}

static void read_event(void) {
    OWN(arena_deinit) Arena texts;
    CiJob job;
    Slice name = SLICE_ABSENT;
    arena_init(&texts);
    REQUIRE(ci_read(variable, &texts, &job) == 0);
    REQUIRE(ci_event_text(variable, &texts, "pull_request.head.repo.full_name", &name) == 0);
    const Slice found[] = {job.branch, name};
    for (size_t i = 0; i < COUNT_OF(found); i++)
        REQUIRE(found[i].len == 0 || memchr(found[i].ptr, '\0', found[i].len) == NULL);
}

static void try_event(Slice event) {
    OWN(closep) int fd = memfd_create("event", MFD_CLOEXEC);
    REQUIRE(fd >= 0 && write(fd, event.len > 0 ? event.ptr : "", event.len) == (ssize_t)event.len);
    (void)snprintf(event_path, sizeof event_path, "/proc/self/fd/%d", fd);
    for (event_at = 0; event_at < COUNT_OF(events); event_at++)
        read_event();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    Slice rest = {.ptr = (const char *)data, .len = size};
    Slice parts[4] = {SLICE_LITERAL(""), SLICE_LITERAL(""), SLICE_LITERAL(""), SLICE_LITERAL("")};
    for (size_t i = 0; i < COUNT_OF(parts) && rest.len > 0; i++) {
        if (i + 1 == COUNT_OF(parts) || !slice_split(&rest, '\0', &parts[i])) {
            parts[i] = rest;
            break;
        }
    }
    try_entry(parts[0], parts[1], size);
    try_entry(slice_of("name"), (Slice){.ptr = (const char *)data, .len = size}, size);
    try_path(parts[1]);
    try_command(parts[2], parts[1]);
    try_mask(parts[1]);
    try_summary(parts[1]);
    try_name(parts[1]);
    try_event(parts[3]);
    return 0;
}
