/* What the coordinator keeps is what was said: a name that moves, or half a hash, means nothing there. */
#include "agent/commit.h"

#include <ctype.h>

#include "agent/print.h"
#include "base/limits.h"
#include "protocol/rules.h"

static bool is_full_hash(Slice commit) {
    for (size_t i = 0; i < commit.len; i++)
        if (!isxdigit((unsigned char)commit.ptr[i]))
            return false;
    return commit.len == 40 || commit.len == 64;
}

int commit_check(const Agent *agent, Slice commit) {
    const char *wrong = commit.len == 0                    ? "is empty"
                        : commit.len > COMMIT_MAX          ? "is too long"
                        : slice_equal_text(commit, "HEAD") ? "is to be a hash: leave it out for HEAD's"
                                                           : rule_commit(commit);
    if (wrong != NULL)
        return agent_fail(agent, EX_USAGE, "the commit of --commit %s", wrong);
    if (!is_full_hash(commit))
        agent_say(agent, LOG_WARNING,
                  "the commit %.*s of --commit is no full hash of git's: no checkout can be compared with it, so "
                  "`changed` always says that a deploy is needed",
                  SLICE_PRINT(commit));
    return 0;
}
