/*
 * What the git worktree around a folder says: its branch and its commit. Right for detached heads, linked worktrees,
 * shallow, partial and sparse clones, bare repositories and unborn branches; other kinds are asked of the git command.
 */
#pragma once

#include "agent/ci.h"
#include "agent/limits.h"

typedef struct Worktree {
    char *branch;                /* malloc'd, without refs/heads/; NULL: the head is detached */
    char commit[COMMIT_MAX + 1]; /* HEAD in full hex; "": there is no commit yet */
} Worktree;

void worktree_deinit(Worktree *w);

enum {
    WORKTREE_NONE = 1,       /* no repository here */
    WORKTREE_UNREADABLE = 2, /* there is one; `reason` says why it cannot be read, and the way out */
};

/* `directory`: where to start looking, upwards. `workspace`: CI's checkout, or NULL: at or under it another user's
 * repository is read, elsewhere not. 0 | WORKTREE_… | -errno; *out is written on 0 only. */
int worktree_read(const char *directory, const char *workspace, EnvironGet environ_get, Worktree *out, Buffer *reason)
    MUST_USE;

/* The nearest folder at or above `directory` that has a .git, else `directory` itself; absolute, links resolved, malloc'd.
 * NULL: it cannot be reached. Reads no repository. */
char *worktree_root(const char *directory) MUST_USE;

/* Opens the repository as worktree_read does, by libgit2 alone, for what has to read objects. What `visit` returns | -ENOMEM |
 * WORKTREE_… . */
struct git_repository;
typedef int WorktreeVisit(struct git_repository *repository, const char *root, bool is_trusted, void *arg);
int worktree_visit(const char *directory, const char *workspace, EnvironGet environ_get, WorktreeVisit *visit,
                   void *arg, Buffer *reason) MUST_USE;
