/*
 * Asks the git command what libgit2 cannot tell: repositories of newer formats (SHA-256, other reference storage), and
 * those that another user owns and safe.directory allows.
 */
#pragma once

#include "base/buffer.h"

enum {
    GIT_COMMAND_FAILED = 1,  /* git said no; `output` holds what it said */
    GIT_COMMAND_MISSING = 2, /* there is no git here */
};

/* Runs `git -C directory …` with the words of `arguments` (NULL-terminated), at most GIT_MS. What it prints on stdout and
 * stderr goes to `output`. `is_trusted`: whoever owns the repository. 0 | GIT_COMMAND_… | -errno. */
int git_command(const char *directory, bool is_trusted, const char *const *arguments, Buffer *output) MUST_USE;
/* The same with a limit of its own, for what speaks to a remote. -ETIMEDOUT: it took longer. */
int git_command_within(const char *directory, bool is_trusted, const char *const *arguments, int64_t within_ms,
                       Buffer *output) MUST_USE;
