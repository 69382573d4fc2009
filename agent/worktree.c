/*
 * libgit2 reads the head; where it cannot, the git command is asked. Invariants: only HEAD and references are read, never
 * an object (a shallow or partial clone has few); a hash is never cut (libgit2 built for SHA-1 refuses SHA-256
 * repositories, and we never allow that extension).
 */
#include "agent/worktree.h"

#include <errno.h>
#include <git2.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "agent/git_command.h"
#include "agent/limits.h"
#include "base/log.h"

#define HEADS "refs/heads/"

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define HAS_LEAK_SANITIZER
#endif
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(HAS_LEAK_SANITIZER)
/* libgit2 1.5 loses its regular expressions' match data with each repository of format 1 that it opens. */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void) {
    return "leak:libpcre2-8.so";
}
#endif

void worktree_deinit(Worktree *w) {
    if (w == NULL)
        return;
    free(w->branch);
    *w = (Worktree){.branch = NULL};
}

/* Whether `path`/.git is there; a file in linked worktrees and submodules. */
static bool has_git(const char *path) {
    OWN(freep) char *inner = NULL;
    return asprintf(&inner, "%s/.git", path) >= 0 && access(inner, F_OK) == 0;
}

/* Cuts `path` down to the nearest folder with a .git. False: there is none, `path` is spoilt. */
static bool climb(char *path) {
    while (!has_git(path)) {
        char *slash = strrchr(path, '/');
        if (slash == NULL || path[1] == '\0')
            return false;
        slash[slash == path ? 1 : 0] = '\0';
    }
    return true;
}

char *worktree_root(const char *directory) {
    OWN(freep) char *start = realpath(directory, NULL);
    if (start == NULL)
        return NULL;
    OWN(freep) char *root = strdup(start);
    if (root == NULL)
        return NULL;
    return climb(root) ? steal(&root) : steal(&start);
}

static bool is_within(const char *path, const char *folder) {
    OWN(freep) char *real_path = realpath(path, NULL);
    OWN(freep) char *real_folder = realpath(folder, NULL);
    if (real_path == NULL || real_folder == NULL)
        return false;
    size_t len = strlen(real_folder);
    if (strcmp(real_folder, "/") == 0)
        return false; /* everything would be within: no workspace is meant by that */
    return strncmp(real_path, real_folder, len) == 0 && (real_path[len] == '/' || real_path[len] == '\0');
}

static void repository_freep(git_repository **repository) {
    git_repository_free(*repository);
    *repository = NULL;
}

static void reference_freep(git_reference **reference) {
    git_reference_free(*reference);
    *reference = NULL;
}

/* Extensions that change nothing about how HEAD and references are read. */
static void allow_extensions(void) {
    static const char *names[] = {"partialclone", "worktreeconfig", "preciousobjects", "relativeworktrees"};
    (void)git_libgit2_opts(GIT_OPT_SET_EXTENSIONS, names, (size_t)COUNT_OF(names));
}

static int set_branch(Worktree *w, const char *reference) {
    size_t prefix = strlen(HEADS);
    if (strncmp(reference, HEADS, prefix) != 0)
        return 0;
    w->branch = strdup(reference + prefix);
    return w->branch != NULL ? 0 : -ENOMEM;
}

/* As core.preferSymlinkRefs writes it: libgit2 takes what it leads to for a detached head. */
static bool is_head_a_link(git_repository *repository) {
    OWN(freep) char *head = NULL;
    struct stat about;
    return asprintf(&head, "%sHEAD", git_repository_path(repository)) >= 0 && lstat(head, &about) == 0 &&
           S_ISLNK(about.st_mode);
}

/* 0 | a libgit2 error (negative) */
static int read_head(git_repository *repository, Worktree *w) {
    OWN(reference_freep) git_reference *head = NULL;
    int r = is_head_a_link(repository) ? GIT_EINVALID : git_reference_lookup(&head, repository, "HEAD");
    if (r != 0)
        return r;
    if (git_reference_type(head) == GIT_REFERENCE_SYMBOLIC && set_branch(w, git_reference_symbolic_target(head)) != 0)
        return GIT_ERROR;
    git_oid id;
    r = git_reference_name_to_id(&id, repository, "HEAD");
    if (r == GIT_ENOTFOUND && w->branch != NULL)
        return 0; /* a branch without its first commit */
    if (r == 0)
        (void)git_oid_tostr(w->commit, sizeof w->commit, &id);
    return r;
}

typedef struct Failure {
    bool is_none;    /* there is simply no repository */
    bool is_foreign; /* it belongs to another user */
    char text[256];
} Failure;

/* libgit2 1.5 tells a foreign owner in two ways: by its own code, or by the missing configuration it looked for. */
static void describe(int error, Failure *failure) {
    const git_error *last = git_error_last();
    const char *message = last != NULL && last->message != NULL ? last->message : "unknown";
    bool is_about_config = strstr(message, "safe.directory") != NULL;
    failure->is_foreign = error == GIT_EOWNER || is_about_config;
    failure->is_none =
        error == GIT_ENOTFOUND && !is_about_config && last != NULL && last->klass == GIT_ERROR_REPOSITORY;
    (void)snprintf(failure->text, sizeof failure->text, "%s", message);
}

/* 0 | a libgit2 error (negative) */
static int open_repository(const char *directory, bool is_trusted, EnvironGet environ_get, git_repository **out) {
    unsigned flags = ci_variable(environ_get, "GIT_DIR") != NULL ? GIT_REPOSITORY_OPEN_FROM_ENV : 0;
    const char *ceiling = flags == 0 ? ci_variable(environ_get, "GIT_CEILING_DIRECTORIES") : NULL;
    bool is_named = strcmp(directory, ".") != 0;
    (void)git_libgit2_opts(GIT_OPT_SET_OWNER_VALIDATION, is_trusted ? 0 : 1);
    /* With a folder to start from libgit2 heeds all of git's variables but GIT_DIR itself. */
    return git_repository_open_ext(out, flags != 0 && !is_named ? NULL : directory, flags, ceiling);
}

static bool read_by_library(const char *directory, bool is_trusted, EnvironGet environ_get, Worktree *out,
                            Failure *failure) {
    OWN(worktree_deinit) Worktree w = {.branch = NULL};
    OWN(repository_freep) git_repository *repository = NULL;
    int r = open_repository(directory, is_trusted, environ_get, &repository);
    if (r == 0)
        r = read_head(repository, &w);
    if (r != 0) {
        describe(r, failure);
        return false;
    }
    *out = w;
    w.branch = NULL;
    return true;
}

/* The last line of what git printed: warnings come before the answer. */
static Slice last_line(const Buffer *output) {
    Slice rest = buffer_slice(output);
    while (rest.len > 0 && rest.ptr[rest.len - 1] == '\n')
        rest.len--;
    Slice line;
    while (slice_split(&rest, '\n', &line))
        continue;
    return rest;
}

static bool is_hash(Slice text) {
    for (size_t i = 0; i < text.len; i++) {
        if (memchr("0123456789abcdef", text.ptr[i], 16) == NULL)
            return false;
    }
    return text.len == 40 || text.len == 64;
}

/* 0 | GIT_COMMAND_… | -errno; what git said last stays in `output`. */
static int read_by_command(const char *directory, bool is_trusted, Worktree *out, Buffer *output) {
    static const char *const ask_branch[] = {"symbolic-ref", "--quiet", "HEAD", NULL};
    static const char *const ask_commit[] = {"rev-parse", "--verify", "HEAD", NULL};
    OWN(worktree_deinit) Worktree w = {.branch = NULL};
    int r = git_command(directory, is_trusted, ask_branch, output);
    if (r != 0 && r != GIT_COMMAND_FAILED)
        return r;
    if (r == 0) {
        OWN(freep) char *reference = slice_dup(last_line(output));
        if (reference == NULL || set_branch(&w, reference) != 0)
            return -ENOMEM;
    }
    buffer_clear(output);
    r = git_command(directory, is_trusted, ask_commit, output);
    Slice hash = last_line(output);
    if (r == 0 && is_hash(hash))
        (void)snprintf(w.commit, sizeof w.commit, "%.*s", SLICE_PRINT(hash));
    else if (r != GIT_COMMAND_FAILED || w.branch == NULL)
        return r != 0 ? r : GIT_COMMAND_FAILED;
    *out = w;
    w.branch = NULL;
    return 0;
}

static void explain(const char *root, const Failure *failure, int command_result, const Buffer *output,
                    Buffer *reason) {
    Slice said = command_result == GIT_COMMAND_FAILED ? last_line(output) : slice_of(failure->text);
    log_add_printable(reason, slice_of(root));
    if (failure->is_foreign) {
        buffer_add_text(reason,
                        " belongs to another user: if you trust it, run `git config --global --add safe.directory ");
        log_add_printable(reason, slice_of(root));
        buffer_add_text(reason, "` (this needs git installed), or pass --branch and --commit");
        return;
    }
    buffer_add_text(reason, " cannot be read (");
    log_add_printable(reason, said);
    buffer_add_text(reason, command_result == GIT_COMMAND_MISSING
                                ? "): install git, which may know this kind of repository,"
                                  " or pass --branch and --commit"
                                : "): pass --branch and --commit");
}

static int read_worktree(const char *directory, const char *root, bool is_trusted, EnvironGet environ_get,
                         Worktree *out, Buffer *reason) {
    Failure failure = {.is_none = false};
    if (read_by_library(directory, is_trusted, environ_get, out, &failure))
        return 0;
    if (failure.is_none && !has_git(root))
        return WORKTREE_NONE;
    OWN(buffer_deinit) Buffer output;
    buffer_init(&output, GIT_OUTPUT_MAX);
    int r = read_by_command(directory, is_trusted, out, &output);
    if (r == 0 || r == -ENOMEM)
        return r;
    explain(root, &failure, r, &output, reason);
    return WORKTREE_UNREADABLE;
}

/*
 * libgit2 parses the system's whole bundle of trusted roots when it starts (3 MB and half of the time of a `request`),
 * though nothing here speaks to a remote. It looks where OpenSSL's two variables say, so for that moment they say nowhere.
 */
static int start_libgit2(void) {
    static const char *const names[] = {"SSL_CERT_FILE", "SSL_CERT_DIR"};
    char *kept[COUNT_OF(names)] = {NULL};
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        const char *value = getenv(names[i]);
        if (value != NULL && (kept[i] = strdup(value)) == NULL)
            return -ENOMEM;
        (void)setenv(names[i], "/dev/null", 1);
    }
    int r = git_libgit2_init();
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        if (kept[i] != NULL)
            (void)setenv(names[i], kept[i], 1);
        else
            (void)unsetenv(names[i]);
        free(kept[i]);
    }
    return r < 0 ? -ENOMEM : 0;
}

static int no_folder(const char *directory, Buffer *reason) {
    buffer_add_text(reason, "the folder ");
    log_add_printable(reason, slice_of(directory));
    buffer_printf(reason, " cannot be entered (%s)", strerror(errno));
    return WORKTREE_UNREADABLE;
}

int worktree_read(const char *directory, const char *workspace, EnvironGet environ_get, Worktree *out, Buffer *reason) {
    OWN(freep) char *root = worktree_root(directory);
    if (root == NULL)
        return no_folder(directory, reason);
    if (start_libgit2() < 0)
        return -ENOMEM;
    allow_extensions();
    bool is_trusted = workspace != NULL && is_within(root, workspace);
    int r = read_worktree(directory, root, is_trusted, environ_get, out, reason);
    (void)git_libgit2_shutdown();
    return r;
}

static int visit_repository(const char *root, const char *directory, bool is_trusted, EnvironGet environ_get,
                            WorktreeVisit *visit, void *arg, Buffer *reason) {
    OWN(repository_freep) git_repository *repository = NULL;
    Failure failure = {.is_none = false};
    int r = open_repository(directory, is_trusted, environ_get, &repository);
    if (r == 0)
        return visit(repository, root, is_trusted, arg);
    describe(r, &failure);
    if (failure.is_none && !has_git(root))
        return WORKTREE_NONE;
    log_add_printable(reason, slice_of(failure.text));
    return WORKTREE_UNREADABLE;
}

int worktree_visit(const char *directory, const char *workspace, EnvironGet environ_get, WorktreeVisit *visit,
                   void *arg, Buffer *reason) {
    OWN(freep) char *root = worktree_root(directory);
    if (root == NULL)
        return no_folder(directory, reason);
    if (start_libgit2() < 0)
        return -ENOMEM;
    allow_extensions();
    bool is_trusted = workspace != NULL && is_within(root, workspace);
    int r = visit_repository(root, directory, is_trusted, environ_get, visit, arg, reason);
    (void)git_libgit2_shutdown();
    return r;
}
