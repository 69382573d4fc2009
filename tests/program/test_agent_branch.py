"""Which branch and commit the agent asks for: what CI says, and clones of every kind."""

import os
import shutil

import pytest
from jobs import GITHUB, GITLAB, Job, commit, head
from programs import git

CI_BRANCHES = [
    ({**GITHUB, "GITHUB_EVENT_NAME": "push", "GITHUB_REF": "refs/heads/feat/x", "GITHUB_REF_NAME": "feat/x"}, "feat/x"),
    (
        {
            **GITHUB,
            "GITHUB_EVENT_NAME": "pull_request",
            "GITHUB_REF": "refs/pull/7/merge",
            "GITHUB_REF_NAME": "7/merge",
            "GITHUB_HEAD_REF": "feat/pr",
            "GITHUB_BASE_REF": "main",
        },
        "feat/pr",
    ),
    (
        {
            **GITHUB,
            "GITHUB_EVENT_NAME": "pull_request_target",
            "GITHUB_REF": "refs/heads/main",
            "GITHUB_REF_NAME": "main",
            "GITHUB_HEAD_REF": "feat/target",
            "GITHUB_BASE_REF": "main",
        },
        "feat/target",
    ),
    (
        {
            **GITHUB,
            "GITHUB_EVENT_NAME": "merge_group",
            "GITHUB_REF_NAME": "gh-readonly-queue/rel/2/pr-7-abc",
            "GITHUB_REF": "refs/heads/gh-readonly-queue/rel/2/pr-7-abc",
        },
        "rel/2",
    ),
    (
        {
            **GITHUB,
            "GITHUB_EVENT_NAME": "push",
            "GITHUB_REF": "refs/tags/v1",
            "GITHUB_REF_NAME": "v1",
            "GITHUB_REF_TYPE": "tag",
        },
        "v1",
    ),
    ({**GITHUB, "GITHUB_EVENT_NAME": "schedule", "GITHUB_REF": "refs/heads/main", "GITHUB_REF_NAME": "main"}, "main"),
    (
        {**GITHUB, "GITHUB_EVENT_NAME": "workflow_dispatch", "GITHUB_REF": "refs/heads/rel", "GITHUB_REF_NAME": "rel"},
        "rel",
    ),
    ({**GITLAB, "CI_COMMIT_REF_NAME": "feat/gl", "CI_COMMIT_BRANCH": "feat/gl"}, "feat/gl"),
    (
        {
            **GITLAB,
            "CI_COMMIT_REF_NAME": "refs/merge-requests/7/head",
            "CI_MERGE_REQUEST_SOURCE_BRANCH_NAME": "feat/mr",
        },
        "feat/mr",
    ),
    ({**GITLAB, "CI_COMMIT_REF_NAME": "v2", "CI_COMMIT_TAG": "v2"}, "v2"),
    ({"JENKINS_URL": "https://j", "CHANGE_BRANCH": "feat/j", "BRANCH_NAME": "PR-7"}, "feat/j"),
    ({"JENKINS_URL": "https://j", "GIT_BRANCH": "origin/feat/j2"}, "feat/j2"),
    ({"CIRCLECI": "true", "CIRCLE_BRANCH": "feat/c"}, "feat/c"),
]


@pytest.mark.parametrize(("variables", "branch"), CI_BRANCHES, ids=[b for _, b in CI_BRANCHES])
def test_the_branch_is_what_ci_says(job, variables, branch):
    git("checkout", "-q", "--detach", cwd=job.worktree)
    said = job.request(**variables)
    assert said["branch"] == branch
    assert said["commit"] == head(job.worktree), "never CI's own variable"


def test_a_flag_counts_before_ci_and_ci_before_git(job):
    push = {**GITHUB, "GITHUB_EVENT_NAME": "push", "GITHUB_REF": "refs/heads/ci", "GITHUB_REF_NAME": "ci"}
    assert job.request(**push)["branch"] == "ci"
    assert job.request(STACK_AGENT_BRANCH="twin", **push)["branch"] == "twin"
    assert job.request("--branch", "flag", "--commit", "abc", STACK_AGENT_BRANCH="twin", **push)["branch"] == "flag"


def test_who_asks_is_shown(job, project):
    job.request(**GITHUB, GITHUB_REF="refs/heads/x", GITHUB_REF_NAME="x", GITHUB_JOB="e2e", GITHUB_RUN_ATTEMPT="2")
    assert project.stacks["test-1"]["lease"]["holder"] == {
        "provider": "github",
        "repository": "acme/web",
        "run": "17",
        "attempt": "2",
        "job": "e2e",
        "actor": "anna",
        "link": "https://github.example/acme/web/actions/runs/17",
    }


def test_a_holder_that_is_too_much_never_fails_a_request(job, project):
    said = job.request(
        **{
            **GITHUB,
            "GITHUB_REF_NAME": "x",
            "GITHUB_REF": "refs/heads/x",
            "GITHUB_JOB": "é" * 5000,
            "GITHUB_ACTOR": "a\x1b[31m\nb",
            "GITHUB_REPOSITORY": "r" * 5000,
            "GITHUB_SERVER_URL": "javascript:alert(1)",
        },
        STACK_AGENT_HOLDER_NOTE="n" * 5000,
    )
    assert said["stackName"] == "test-1"
    holder = project.stacks["test-1"]["lease"]["holder"]
    assert all(c.isprintable() for value in holder.values() for c in value) and "link" not in holder


@pytest.fixture
def origin(clone):
    return clone.parent / "origin"


def ask(project, folder, worktree, **more):
    said = Job(project, folder, worktree).request(**more)
    return said["branch"], said.get("commit")


def test_a_worktree_beside_the_clone(project, tmp_path, clone):
    git("worktree", "add", "-q", "-b", "feat/beside", tmp_path / "beside", cwd=clone)
    assert ask(project, tmp_path, tmp_path / "beside") == ("feat/beside", head(clone))
    (tmp_path / "beside" / "deep").mkdir()
    assert ask(project, tmp_path / "x", tmp_path / "beside" / "deep") == ("feat/beside", head(clone))


def test_a_shallow_clone(project, tmp_path, origin):
    commit(origin, "two\n")
    git("clone", "-q", "--depth", "1", f"file://{origin}", tmp_path / "shallow")
    assert (tmp_path / "shallow" / ".git" / "shallow").exists()
    assert ask(project, tmp_path, tmp_path / "shallow") == ("feat/login", head(origin))


def test_a_partial_and_sparse_clone(project, tmp_path, origin):
    git("config", "uploadpack.allowFilter", "true", cwd=origin)
    git("clone", "-q", "--filter=blob:none", "--sparse", f"file://{origin}", tmp_path / "partial")
    git("sparse-checkout", "set", "nothing", cwd=tmp_path / "partial")
    assert "partialclone" in git("config", "--list", cwd=tmp_path / "partial").lower()
    assert ask(project, tmp_path, tmp_path / "partial") == ("feat/login", head(origin))


def test_packed_references(project, tmp_path, clone):
    git("pack-refs", "--all", cwd=clone)
    git("gc", "-q", cwd=clone)
    assert ask(project, tmp_path, clone) == ("feat/login", head(clone))


def test_a_bare_repository(project, tmp_path, origin):
    git("clone", "-q", "--bare", origin, tmp_path / "bare.git")
    assert ask(project, tmp_path, tmp_path / "bare.git") == ("feat/login", head(origin))


def test_a_submodule(project, tmp_path, clone, origin):
    git("-c", "protocol.file.allow=always", "submodule", "add", "-q", origin, "sub", cwd=clone)
    assert ask(project, tmp_path, clone / "sub") == ("feat/login", head(origin))


def test_a_branch_without_a_commit(project, tmp_path):
    git("init", "-q", "-b", "trunk", tmp_path / "unborn")
    assert ask(project, tmp_path, tmp_path / "unborn") == ("trunk", None)


def test_a_sha256_repository(project, tmp_path):
    folder = tmp_path / "sha256"
    git("init", "-q", "--object-format=sha256", "-b", "feat/new", folder)
    (folder / "page").write_text("one\n")
    git("add", "page", cwd=folder)
    git("commit", "-q", "-m", "one", cwd=folder)
    branch, found = ask(project, tmp_path, folder)
    assert branch == "feat/new" and found == head(folder) and len(found) == 64
    # Without git nobody can read it: then that is said, with the way out, and the way out works.
    job = Job(project, tmp_path / "without-git", folder, PATH="/nowhere")
    done = job("request")
    assert done.returncode == 66 and "git" in done.stderr and "--branch" in done.stderr
    assert job.request("--branch", "b", "--commit", "abc")["branch"] == "b"


def test_git_is_not_needed_for_the_usual_ones(project, tmp_path, clone):
    assert ask(project, tmp_path, clone, PATH="/nowhere") == ("feat/login", head(clone))


@pytest.mark.parametrize("kind", ["detached", "no repository"])
def test_what_names_no_branch_is_an_error_that_names_the_way_out(project, tmp_path, clone, kind):
    if kind == "detached":
        git("checkout", "-q", "--detach", cwd=clone)
        folder = clone
    else:
        folder = tmp_path / "plain"
        folder.mkdir()
    job = Job(project, tmp_path, folder)
    for words in (["request"], ["run", "--", "true"]):
        done = job(*words)
        assert done.returncode == 64 and "--branch" in done.stderr and done.stdout == ""
    assert project.states == {} and job.files() == []
    assert job.request("--branch", "b")["branch"] == "b"


@pytest.mark.parametrize("damage", ["HEAD", "config", "HEAD is a folder", "nowhere"])
def test_a_damaged_repository_is_an_error_that_names_the_way_out(project, tmp_path, clone, damage):
    if damage == "HEAD":
        (clone / ".git" / "HEAD").write_bytes(os.urandom(200))
    elif damage == "config":
        (clone / ".git" / "config").write_text("[core\n=\x00")
    elif damage == "HEAD is a folder":
        (clone / ".git" / "HEAD").unlink()
        (clone / ".git" / "HEAD").mkdir()
    else:
        shutil.rmtree(clone / ".git")
        (clone / ".git").write_text("gitdir: /nowhere/at/all\n")
    job = Job(project, tmp_path, clone)
    done = job("request")
    assert done.returncode in (64, 66) and "--branch" in done.stderr and "--commit" in done.stderr
    assert project.states == {}
    assert job.request("--branch", "b", "--commit", "abc")["commit"] == "abc"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files to another user")
def test_another_users_repository(project, tmp_path, clone):
    expected = ("feat/login", head(clone))
    for path in [clone, *clone.rglob("*")]:
        os.chown(path, 12345, 12345, follow_symlinks=False)
    job = Job(project, tmp_path, clone)
    done = job("request")
    assert done.returncode == 66 and "safe.directory" in done.stderr and "--branch" in done.stderr
    assert project.states == {}
    # CI's own checkout belongs to another user by CI's design.
    for variables in ({**GITHUB, "GITHUB_WORKSPACE": str(clone)}, {**GITLAB, "CI_PROJECT_DIR": str(clone)}):
        said = job.request(**variables)
        assert (said["branch"], said["commit"]) == expected
    assert job("request", **GITHUB, GITHUB_WORKSPACE="/").returncode == 66
    assert job("request", **GITHUB, GITHUB_WORKSPACE=str(tmp_path / "elsewhere")).returncode == 66
    # The way out that the error names.
    git("config", "--file", job.env["HOME"] + "/.gitconfig", "--add", "safe.directory", clone)
    said = job.request()
    assert (said["branch"], said["commit"]) == expected
