/* Invariant: is_needed is true until a comparison said otherwise. */
#include "agent/deploy_need.h"

#include <errno.h>
#include <string.h>

#include "agent/limits.h"
#include "agent/print.h"

enum { NAMED_FILES = 3, SHORT_COMMIT = 12 };

void deploy_need_init(DeployNeed *need) {
    *need = (DeployNeed){.is_needed = true};
    difference_init(&need->difference);
    buffer_init(&need->reason, REASON_MAX * 2);
}

void deploy_need_deinit(DeployNeed *need) {
    if (need == NULL)
        return;
    worktree_deinit(&need->worktree);
    difference_deinit(&need->difference);
    buffer_deinit(&need->reason);
}

static Slice shortened(Slice commit) {
    return (Slice){.ptr = commit.ptr, .len = commit.len < SHORT_COMMIT ? commit.len : SHORT_COMMIT};
}

static void describe_files(const Difference *difference, Slice deployed, Buffer *out) {
    size_t count = difference->count;
    Slice rest = buffer_slice(&difference->files), name;
    buffer_printf(out, "%zu file%s differ%s from the deployed %.*s: ", count, count == 1 ? "" : "s",
                  count == 1 ? "s" : "", SLICE_PRINT(shortened(deployed)));
    for (size_t i = 0; i < NAMED_FILES && i < difference->named; i++) {
        name = rest;
        (void)slice_split(&rest, '\n', &name);
        buffer_add_text(out, i > 0 ? ", " : "");
        print_foreign(out, name.len <= 160 ? name : slice_of("…"));
    }
    if (count > NAMED_FILES)
        buffer_printf(out, " and %zu more", count - NAMED_FILES);
}

static int read_head(const Agent *agent, CiJob *job, Arena *texts, DeployNeed *need) {
    OWN(buffer_deinit) Buffer why;
    buffer_init(&why, REASON_MAX);
    int r = ci_read(agent->environ_get, texts, job);
    if (r == 0)
        r = worktree_read(agent->options->worktree, job->workspace, agent->environ_get, &need->worktree, &why);
    if (r == WORKTREE_UNREADABLE)
        buffer_add_slice(&need->reason, buffer_slice(&why));
    else if (r == WORKTREE_NONE || (r == 0 && need->worktree.commit[0] == '\0'))
        buffer_add_text(&need->reason, "there is no checkout here to compare with (a step before has to make one)");
    return r;
}

static int compare(const Agent *agent, const CiJob *job, Slice deployed, Slice globs, DeployNeed *need) {
    const DifferenceAsk ask = {.directory = agent->options->worktree,
                               .workspace = job->workspace,
                               .environ_get = agent->environ_get,
                               .from = deployed,
                               .to = slice_of(need->worktree.commit),
                               .globs = globs};
    int r = difference_read(&ask, &need->difference, &need->reason);
    if (r != 0)
        return r;
    need->is_compared = true;
    need->is_needed = need->difference.count > 0;
    if (need->is_needed)
        describe_files(&need->difference, deployed, &need->reason);
    else
        buffer_printf(&need->reason, "nothing that counts differs from the deployed %.*s",
                      SLICE_PRINT(shortened(deployed)));
    return 0;
}

int deploy_need_find(const Agent *agent, Slice deployed, Slice globs, DeployNeed *need) {
    OWN(arena_deinit) Arena texts;
    CiJob job = {.provider = NULL};
    arena_init(&texts);
    int r = read_head(agent, &job, &texts, need);
    if (r != 0 || need->worktree.commit[0] == '\0')
        return r == -ENOMEM ? r : 0;
    if (deployed.len == 0) {
        buffer_add_text(&need->reason, "what is on the stack is not known");
        return 0;
    }
    if (slice_equal_text(deployed, need->worktree.commit)) {
        need->is_compared = true;
        need->is_needed = false;
        buffer_printf(&need->reason, "%.*s is deployed", SLICE_PRINT(shortened(deployed)));
        return 0;
    }
    r = compare(agent, &job, deployed, globs, need);
    return r == -ENOMEM ? r : 0;
}

static void set_needed(LeaseState *lease, const void *arg) {
    (void)arg;
    lease->is_deploy_needed = true;
}

int deploy_need_note(const Agent *agent, const StateFolder *folder, Slice request_id) {
    OWN(buffer_deinit) Buffer reason;
    buffer_init(&reason, REASON_MAX);
    int r = lease_state_change(folder, request_id, set_needed, NULL, &reason);
    if (r == 0 || r == STATE_ABSENT)
        return 0;
    return agent_fail(agent, EX_SOFTWARE, "that a deploy is needed cannot be noted in %s: %s", folder->path,
                      r < 0 ? strerror(-r) : buffer_text(&reason));
}
