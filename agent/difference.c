/*
 * Trees by libgit2; a commit that is not here by the git command, since libgit2 knows nothing of the credentials that a
 * checkout leaves in git's configuration. Invariant: what goes to git's command line is a full hash and a remote's name that
 * is no option.
 */
#include "agent/difference.h"

#include <errno.h>
#include <git2.h>
#include <string.h>

#include "agent/git_command.h"
#include "agent/globs.h"
#include "agent/limits.h"
#include "agent/worktree.h"
#include "base/utf8.h"
#include "client/text_table.h"

enum { HASH_DIGITS = 40, HASH_DIGITS_MIN = 7 };

typedef struct Work {
    const DifferenceAsk *ask;
    Difference *out;
    Buffer *reason;
} Work;

static void tree_freep(git_tree **tree) {
    git_tree_free(*tree);
    *tree = NULL;
}

static void diff_freep(git_diff **diff) {
    git_diff_free(*diff);
    *diff = NULL;
}

static void object_freep(git_object **object) {
    git_object_free(*object);
    *object = NULL;
}

void difference_init(Difference *difference) {
    *difference = (Difference){.count = 0};
    buffer_init(&difference->files, CHANGED_FILES_MAX);
}

void difference_deinit(Difference *difference) {
    if (difference == NULL)
        return;
    buffer_deinit(&difference->files);
    difference_init(difference);
}

/* ---- names ---- */

static bool is_text(Slice name) {
    for (size_t at = 0; at < name.len;) {
        uint32_t code_point = 0;
        size_t size = utf8_read(name.ptr + at, name.len - at, &code_point);
        if (size == 0 || utf8_is_control(code_point) || code_point == '"' || code_point == '\\')
            return false;
        at += size;
    }
    return true;
}

void difference_add_name(Slice name, Buffer *out) {
    if (is_text(name)) {
        buffer_add_slice(out, name);
        return;
    }
    buffer_add_char(out, '"');
    for (size_t i = 0; i < name.len; i++) {
        unsigned char c = (unsigned char)name.ptr[i];
        if (c == '"' || c == '\\')
            buffer_printf(out, "\\%c", c);
        else if (c >= 0x20 && c < 0x7F)
            buffer_add_char(out, (char)c);
        else
            buffer_printf(out, "\\%03o", c);
    }
    buffer_add_char(out, '"');
}

static int add_file(Difference *out, Slice name) {
    OWN(buffer_deinit) Buffer line;
    buffer_init(&line, CHANGED_FILES_MAX);
    if (out->count++ != out->named)
        return 0; /* one did not fit: those behind it stay out too, so that what is named is a beginning */
    if (out->named > 0)
        buffer_add_char(&line, '\n');
    difference_add_name(name, &line);
    if (buffer_error(&line) == -ENOMEM)
        return -ENOMEM;
    if (buffer_error(&line) != 0 || out->files.len + line.len > CHANGED_FILES_MAX)
        return 0;
    buffer_add_slice(&out->files, buffer_slice(&line));
    out->named++;
    return buffer_error(&out->files);
}

/* ---- commits ---- */

static bool is_hex(Slice text) {
    for (size_t i = 0; i < text.len; i++) {
        if (memchr("0123456789abcdefABCDEF", text.ptr[i], 22) == NULL)
            return false;
    }
    return text.len >= HASH_DIGITS_MIN && text.len <= HASH_DIGITS;
}

/* 0 | a libgit2 error (negative) */
static int find_tree(git_repository *repository, Slice commit, git_tree **out) {
    OWN(object_freep) git_object *object = NULL;
    OWN(object_freep) git_object *tree = NULL;
    git_oid id;
    int r = git_oid_fromstrn(&id, commit.ptr, commit.len);
    if (r == 0)
        r = git_object_lookup_prefix(&object, repository, &id, commit.len, GIT_OBJECT_COMMIT);
    if (r == 0)
        r = git_object_peel(&tree, object, GIT_OBJECT_TREE);
    if (r == 0)
        *out = (git_tree *)steal(&tree);
    return r;
}

/* "origin", else the only one there is. NULL: none can be chosen. */
static char *choose_remote(git_repository *repository) {
    git_strarray names = {.count = 0};
    if (git_remote_list(&names, repository) != 0)
        return NULL;
    const char *chosen = names.count == 1 ? names.strings[0] : NULL;
    for (size_t i = 0; i < names.count; i++) {
        if (strcmp(names.strings[i], "origin") == 0)
            chosen = names.strings[i];
    }
    char *copy = chosen != NULL && chosen[0] != '-' ? strdup(chosen) : NULL;
    git_strarray_dispose(&names);
    return copy;
}

/* One commit and its trees. A complete clone gets what leads to the commit too: depth 1 would make it a shallow one. */
static int fetch(git_repository *repository, const char *root, bool is_trusted, const char *commit, Buffer *said) {
    OWN(freep) char *remote = choose_remote(repository);
    if (remote == NULL) {
        buffer_add_text(said, "the clone has no remote");
        return GIT_COMMAND_FAILED;
    }
    const char *depth = git_repository_is_shallow(repository) == 1 ? "--depth=1" : "--no-auto-maintenance";
    const char *const words[] = {"-c",
                                 "core.hooksPath=/dev/null",
                                 "fetch",
                                 depth,
                                 "--quiet",
                                 "--no-tags",
                                 "--no-recurse-submodules",
                                 "--no-write-fetch-head",
                                 "--",
                                 remote,
                                 commit,
                                 NULL};
    return git_command_within(root, is_trusted, words, GIT_FETCH_MS, said);
}

static Slice first_line(const Buffer *text) {
    Slice rest = buffer_slice(text), line = rest;
    return slice_split(&rest, '\n', &line) ? line : rest;
}

/* Without what stands before an @ in URLs: a remote may name a token there. */
static void add_without_secrets(Buffer *out, Slice text) {
    static const char end[] = "/ '\"";
    OWN(buffer_deinit) Buffer left;
    buffer_init(&left, GIT_OUTPUT_MAX);
    for (size_t at = 0; at < text.len;) {
        Slice rest = {.ptr = text.ptr + at, .len = text.len - at};
        size_t skipped = 0;
        if (slice_starts_with(rest, "://"))
            for (size_t i = 3; i < rest.len && strchr(end, rest.ptr[i]) == NULL; i++)
                skipped = rest.ptr[i] == '@' ? i - 2 : skipped;
        size_t kept = skipped > 0 ? 3 : 1;
        buffer_add_slice(&left, (Slice){.ptr = rest.ptr, .len = kept});
        at += kept + skipped;
    }
    print_foreign(out, buffer_slice(&left));
}

static int explain_fetch(const Work *work, int result, const Buffer *said) {
    Slice words = result == GIT_COMMAND_MISSING  ? slice_of("git is not installed")
                  : result == GIT_COMMAND_FAILED ? first_line(said)
                  : result < 0                   ? slice_of(strerror(-result))
                                                 : slice_of("it was fetched, and is no commit");
    buffer_printf(work->reason, "the deployed commit %.*s is not in this clone and cannot be fetched (",
                  SLICE_PRINT(work->ask->from));
    add_without_secrets(work->reason, words.len > 0 ? words : slice_of("no reason given"));
    buffer_add_text(work->reason, ")");
    return DIFFERENCE_UNKNOWN;
}

static int find_or_fetch(const Work *work, git_repository *repository, const char *root, bool is_trusted,
                         git_tree **out) {
    if (find_tree(repository, work->ask->from, out) == 0)
        return 0;
    if (work->ask->from.len != HASH_DIGITS) {
        buffer_printf(work->reason, "the deployed commit %.*s is not in this clone, and too short to be fetched",
                      SLICE_PRINT(work->ask->from));
        return DIFFERENCE_UNKNOWN;
    }
    OWN(buffer_deinit) Buffer said;
    buffer_init(&said, GIT_OUTPUT_MAX);
    OWN(freep) char *commit = slice_dup(work->ask->from);
    if (commit == NULL)
        return -ENOMEM;
    int r = fetch(repository, root, is_trusted, commit, &said);
    if (r == -ENOMEM || (r == 0 && find_tree(repository, work->ask->from, out) == 0))
        return r;
    return explain_fetch(work, r, &said);
}

/* ---- trees ---- */

/* Of a submodule, and of a link that leads elsewhere now, more may have changed than any tree of ours tells. */
static bool is_container(const git_diff_file *file) {
    return file->mode == GIT_FILEMODE_COMMIT || file->mode == GIT_FILEMODE_LINK;
}

static int collect(const Work *work, git_diff *diff) {
    size_t count = git_diff_num_deltas(diff);
    for (size_t i = 0; i < count; i++) {
        const git_diff_delta *delta = git_diff_get_delta(diff, i);
        const char *path = delta->new_file.path != NULL ? delta->new_file.path : delta->old_file.path;
        bool may_be_within = is_container(&delta->old_file) || is_container(&delta->new_file);
        bool is_meant = globs_match(work->ask->globs, slice_of(path), may_be_within);
        int r = is_meant ? add_file(work->out, slice_of(path)) : 0;
        if (r != 0)
            return r;
    }
    return 0;
}

static int unreadable(const Work *work) {
    const git_error *last = git_error_last();
    buffer_add_text(work->reason, "the two commits cannot be compared (");
    print_foreign(work->reason, slice_of(last != NULL && last->message != NULL ? last->message : "unknown"));
    buffer_add_text(work->reason, ")");
    return DIFFERENCE_UNKNOWN;
}

static int compare(struct git_repository *repository, const char *root, bool is_trusted, void *arg) {
    const Work *work = arg;
    OWN(tree_freep) git_tree *from = NULL;
    OWN(tree_freep) git_tree *to = NULL;
    OWN(diff_freep) git_diff *diff = NULL;
    int r = find_or_fetch(work, repository, root, is_trusted, &from);
    if (r != 0)
        return r;
    git_diff_options options;
    bool is_compared = find_tree(repository, work->ask->to, &to) == 0 &&
                       git_diff_options_init(&options, GIT_DIFF_OPTIONS_VERSION) == 0;
    if (is_compared) {
        options.flags |= GIT_DIFF_INCLUDE_TYPECHANGE | GIT_DIFF_SKIP_BINARY_CHECK;
        is_compared = git_diff_tree_to_tree(&diff, repository, from, to, &options) == 0;
    }
    return is_compared ? collect(work, diff) : unreadable(work);
}

int difference_read(const DifferenceAsk *ask, Difference *out, Buffer *reason) {
    Work work = {.ask = ask, .out = out, .reason = reason};
    OWN(buffer_deinit) Buffer why;
    buffer_init(&why, REASON_MAX);
    if (!is_hex(ask->from) || !is_hex(ask->to)) {
        buffer_add_text(reason, "the deployed commit ");
        print_foreign(reason, ask->from);
        buffer_add_text(reason, " cannot be compared with HEAD: they are not both hashes of git's usual kind");
        return DIFFERENCE_UNKNOWN;
    }
    int r = worktree_visit(ask->directory, ask->workspace, ask->environ_get, compare, &work, &why);
    if (r == WORKTREE_NONE || r == WORKTREE_UNREADABLE) {
        buffer_add_text(reason, "the checkout cannot be read (");
        print_foreign(reason, why.len > 0 ? buffer_slice(&why) : slice_of("there is none"));
        buffer_add_text(reason, ")");
        return DIFFERENCE_UNKNOWN;
    }
    return r;
}
