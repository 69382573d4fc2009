/*
 * CI systems as rows: how one is recognised and which variables say what. Only the branch on GitHub needs code, since
 * there the ref of most events is not the branch people work on.
 */
#include "agent/ci.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/limits.h"
#include "base/json_guard.h"

enum { ALTERNATIVES = 4 };

typedef struct CiRow {
    const char *provider;
    const char *mark;                   /* set: this is the system */
    const char *branches[ALTERNATIVES]; /* the first one that is set counts */
    const char *workspace;
    const char *repository, *run, *attempt, *job, *link;
    const char *actors[ALTERNATIVES];
    int (*refine)(EnvironGet environ_get, Arena *arena, CiJob *job); /* or NULL */
} CiRow;

const char *ci_variable(EnvironGet environ_get, const char *name) {
    const char *value = name != NULL ? environ_get(name) : NULL;
    return value != NULL && *value != '\0' ? value : NULL;
}

static const char *first_of(EnvironGet environ_get, const char *const *names) {
    for (size_t i = 0; i < ALTERNATIVES && names[i] != NULL; i++) {
        const char *value = ci_variable(environ_get, names[i]);
        if (value != NULL)
            return value;
    }
    return NULL;
}

/* The event's payload, the one place where GitHub names some branches. Absent when anything about it is odd. */
static json_t *read_event(const char *path) {
    OWN(closep) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    struct stat about;
    if (fd < 0 || fstat(fd, &about) < 0 || !S_ISREG(about.st_mode) || about.st_size > EVENT_FILE_MAX)
        return NULL;
    OWN(buffer_deinit) Buffer text;
    buffer_init(&text, EVENT_FILE_MAX);
    char *room = buffer_reserve(&text, (size_t)about.st_size);
    ssize_t got = room != NULL ? read(fd, room, (size_t)about.st_size) : -1;
    if (got < 0)
        return NULL;
    buffer_grew(&text, (size_t)got);
    json_t *event = NULL;
    JsonProblem problem;
    return json_parse(buffer_slice(&text), EVENT_DEPTH_MAX, &event, &problem) == 0 ? event : NULL;
}

static Slice without_prefix(Slice text, const char *prefix) {
    size_t len = strlen(prefix);
    return slice_starts_with(text, prefix) ? (Slice){.ptr = text.ptr + len, .len = text.len - len} : text;
}

int ci_event_text(EnvironGet environ_get, Arena *arena, const char *path, Slice *out) {
    const char *file = ci_variable(environ_get, "GITHUB_EVENT_PATH");
    OWN(json_decrefp) json_t *event = file != NULL ? read_event(file) : NULL;
    OWN(freep) char *words = strdup(path);
    if (words == NULL)
        return -ENOMEM;
    json_t *at = event;
    char *rest = words, *member;
    while ((member = strsep(&rest, ".")) != NULL)
        at = json_object_get(at, member);
    const char *text = json_string_value(at);
    return text != NULL ? arena_copy(arena, slice_of(text), out) : 0;
}

/* refs/heads/gh-readonly-queue/BASE/pr-7-COMMIT → BASE, which may hold slashes. */
static Slice queue_base(Slice ref) {
    Slice rest = without_prefix(ref, "refs/heads/gh-readonly-queue/");
    if (rest.ptr == ref.ptr)
        return SLICE_ABSENT;
    for (size_t at = rest.len; at > 0; at--) {
        Slice tail = {.ptr = rest.ptr + at, .len = rest.len - at};
        if (slice_starts_with(tail, "/pr-"))
            return (Slice){.ptr = rest.ptr, .len = at};
    }
    return SLICE_ABSENT;
}

/*
 * push, tag, schedule, dispatch: the ref's name. Pull requests: the head's branch, since the ref is refs/pull/7/merge.
 * Merge queue: the base branch, since the ref is a throw-away one. A pull request's ref without a head gives nothing:
 * "7/merge" would be a branch that nobody knows.
 */
static int github_branch(EnvironGet environ_get, Arena *arena, Slice *out) {
    Slice head = slice_of(ci_variable(environ_get, "GITHUB_HEAD_REF"));
    Slice ref = slice_of(ci_variable(environ_get, "GITHUB_REF"));
    const char *event = ci_variable(environ_get, "GITHUB_EVENT_NAME");
    if (!slice_is_absent(head)) {
        *out = head;
        return 0;
    }
    if (slice_starts_with(ref, "refs/pull/"))
        return ci_event_text(environ_get, arena, "pull_request.head.ref", out);
    if (event != NULL && strcmp(event, "merge_group") == 0) {
        int r = ci_event_text(environ_get, arena, "merge_group.base_ref", out);
        if (slice_is_absent(*out))
            *out = queue_base(ref);
        *out = without_prefix(*out, "refs/heads/");
        return r;
    }
    *out = slice_of(ci_variable(environ_get, "GITHUB_REF_NAME"));
    if (slice_is_absent(*out) && !slice_is_absent(ref))
        *out = without_prefix(without_prefix(ref, "refs/heads/"), "refs/tags/");
    return 0;
}

static int refine_github(EnvironGet environ_get, Arena *arena, CiJob *job) {
    const char *server = ci_variable(environ_get, "GITHUB_SERVER_URL");
    Holder *h = &job->holder;
    if (server != NULL && !slice_is_absent(h->repository) && !slice_is_absent(h->run)) {
        h->link =
            arena_printf(arena, "%s/%.*s/actions/runs/%.*s", server, SLICE_PRINT(h->repository), SLICE_PRINT(h->run));
        if (slice_is_absent(h->link))
            return -ENOMEM;
    }
    return github_branch(environ_get, arena, &job->branch);
}

/* The git plugin names the remote's branch. */
static int refine_jenkins(EnvironGet environ_get, Arena *arena, CiJob *job) {
    (void)environ_get;
    (void)arena;
    job->branch = without_prefix(without_prefix(job->branch, "refs/remotes/"), "origin/");
    return 0;
}

static int refine_circle(EnvironGet environ_get, Arena *arena, CiJob *job) {
    const char *owner = ci_variable(environ_get, "CIRCLE_PROJECT_USERNAME");
    if (owner == NULL || slice_is_absent(job->holder.repository))
        return 0;
    job->holder.repository = arena_printf(arena, "%s/%.*s", owner, SLICE_PRINT(job->holder.repository));
    return slice_is_absent(job->holder.repository) ? -ENOMEM : 0;
}

static int refine_local(EnvironGet environ_get, Arena *arena, CiJob *job) {
    char host[256] = "";
    if (gethostname(host, sizeof host - 1) < 0)
        (void)snprintf(host, sizeof host, "localhost");
    if (slice_is_absent(job->holder.actor))
        job->holder.actor = arena_printf(arena, "uid %lu@%s", (unsigned long)getuid(), host);
    else
        job->holder.actor = arena_printf(arena, "%.*s@%s", SLICE_PRINT(job->holder.actor), host);
    (void)environ_get;
    return slice_is_absent(job->holder.actor) ? -ENOMEM : 0;
}

/* The last row is what we are when no mark is set. */
static const CiRow systems[] = {
    {
        .provider = "github",
        .mark = "GITHUB_ACTIONS",
        .workspace = "GITHUB_WORKSPACE",
        .repository = "GITHUB_REPOSITORY",
        .run = "GITHUB_RUN_ID",
        .attempt = "GITHUB_RUN_ATTEMPT",
        .job = "GITHUB_JOB",
        .actors = {"GITHUB_TRIGGERING_ACTOR", "GITHUB_ACTOR"},
        .refine = refine_github,
    },
    {
        .provider = "gitlab",
        .mark = "GITLAB_CI",
        .branches = {"CI_MERGE_REQUEST_SOURCE_BRANCH_NAME", "CI_EXTERNAL_PULL_REQUEST_SOURCE_BRANCH_NAME",
                     "CI_COMMIT_REF_NAME"},
        .workspace = "CI_PROJECT_DIR",
        .repository = "CI_PROJECT_PATH",
        .run = "CI_PIPELINE_ID",
        .job = "CI_JOB_NAME",
        .link = "CI_JOB_URL",
        .actors = {"GITLAB_USER_LOGIN"},
    },
    {
        .provider = "jenkins",
        .mark = "JENKINS_URL",
        .branches = {"CHANGE_BRANCH", "BRANCH_NAME", "GIT_LOCAL_BRANCH", "GIT_BRANCH"},
        .run = "BUILD_NUMBER",
        .job = "JOB_NAME",
        .link = "BUILD_URL",
        .actors = {"BUILD_USER_ID", "CHANGE_AUTHOR"},
        .refine = refine_jenkins,
    },
    {
        .provider = "circleci",
        .mark = "CIRCLECI",
        .branches = {"CIRCLE_BRANCH", "CIRCLE_TAG"},
        .repository = "CIRCLE_PROJECT_REPONAME",
        .run = "CIRCLE_BUILD_NUM",
        .job = "CIRCLE_JOB",
        .link = "CIRCLE_BUILD_URL",
        .actors = {"CIRCLE_USERNAME"},
        .refine = refine_circle,
    },
    {
        .provider = "local",
        .actors = {"USER", "LOGNAME"},
        .refine = refine_local,
    },
};

static const CiRow *find_system(EnvironGet environ_get) {
    size_t i = 0;
    while (i + 1 < COUNT_OF(systems) && ci_variable(environ_get, systems[i].mark) == NULL)
        i++;
    return &systems[i];
}

Slice ci_cut(Slice text, size_t max) {
    if (text.len <= max)
        return text;
    while (max > 0 && ((unsigned char)text.ptr[max] & 0xC0) == 0x80)
        max--;
    return (Slice){.ptr = text.ptr, .len = max};
}

static bool is_holder_too_large(const Holder *holder) {
    OWN(buffer_deinit) Buffer encoded;
    buffer_init(&encoded, HOLDER_MAX);
    holder_encode(holder, &encoded);
    return buffer_error(&encoded) != 0;
}

static Slice *member_of(Holder *holder, const Field *field) {
    return (Slice *)(void *)((char *)holder + field->offset);
}

void ci_fit_holder(Holder *holder) {
    for (size_t i = 0; i < holder_fields.count; i++) {
        const Field *field = &holder_fields.rows[i];
        Slice *text = member_of(holder, field);
        if (slice_is_absent(*text))
            continue;
        /* Half a link leads nowhere. */
        bool is_link = text == &holder->link;
        if (field->max > 0 && !is_link)
            *text = ci_cut(*text, (size_t)field->max);
        bool is_long = field->max > 0 && text->len > (size_t)field->max;
        if (is_long || text->len == 0 || (field->check != NULL && field->check(*text) != NULL))
            *text = SLICE_ABSENT;
    }
    /* The table goes from what people need most to what they need least. */
    for (size_t i = holder_fields.count; i > 0 && is_holder_too_large(holder); i--)
        *member_of(holder, &holder_fields.rows[i - 1]) = SLICE_ABSENT;
}

int ci_read(EnvironGet environ_get, Arena *arena, CiJob *out) {
    const CiRow *row = find_system(environ_get);
    CiJob job = {
        .provider = row->provider,
        .branch = slice_of(first_of(environ_get, row->branches)),
        .workspace = ci_variable(environ_get, row->workspace),
        .holder = {.provider = slice_of(row->provider),
                   .repository = slice_of(ci_variable(environ_get, row->repository)),
                   .run = slice_of(ci_variable(environ_get, row->run)),
                   .attempt = slice_of(ci_variable(environ_get, row->attempt)),
                   .job = slice_of(ci_variable(environ_get, row->job)),
                   .actor = slice_of(first_of(environ_get, row->actors)),
                   .link = slice_of(ci_variable(environ_get, row->link))},
    };
    int r = row->refine != NULL ? row->refine(environ_get, arena, &job) : 0;
    if (r != 0)
        return r;
    ci_fit_holder(&job.holder);
    *out = job;
    return 0;
}
