"""Names that mean something to a shell, a terminal, a page or a CI system, on their way through the agent."""

import json
import os
import subprocess

import pytest
from jobs import GITHUB, GITLAB, Job, Project
from programs import AGENT, git

HOSTILE = [
    "<img/src=x/onerror=alert(1)>",
    "<script>alert(1)</script>",
    "$(touch${IFS}CANARY)",
    "`touch${IFS}CANARY`",
    "';touch${IFS}CANARY;'",
    '";touch${IFS}CANARY;"',
    ";touch${IFS}CANARY;",
    "|touch${IFS}CANARY",
    "&touch${IFS}CANARY&",
    "${IFS}",
    "{a,b}",
    "a<<EOF",
    "-x",
    "--upload-pack=x",
    "--help",
    "--json",
    "LD_PRELOAD=/x.so",
    "%00",
    "%s%n%d",
    "a%0ab",
    "../../etc/passwd",
    "a'OR'1'='1",
    "\\",
    '"',
    "'",
    "\u202egnp.exe",
    "é世😀",
    'zzz";echo${IFS}"hello";#',
    "#",
    "!",
    "*",
    "a b",
    "::set-output name=x::y",
    "##[group]x",
    "a##[error]b",
    "refs/heads/x",
    "HEAD",
    "null",
    "0",
    "x" * 255,
]
REFUSED = [
    "",
    "x" * 256,
    "a\nb",
    "a\rb",
    "a\x1b[31mb",
    "a\tb",
    "a\x7fb",
    "a\u0085b",
    "a\u009bb",
    b"a\xffb",
    b"\xc0\x80",
    b"\xed\xa0\x80",
]


@pytest.fixture
def canary(tmp_path, clone):
    """Where a name that was executed would leave its mark: the agent's folder."""
    yield clone / "CANARY"
    assert not list(tmp_path.rglob("CANARY"))


def surfaces(name):
    """The ways a branch's name comes in."""
    yield ["--branch", name], {}
    yield [], {"STACK_AGENT_BRANCH": name}
    yield (
        [],
        {**GITHUB, "GITHUB_EVENT_NAME": "pull_request", "GITHUB_REF": "refs/pull/7/merge", "GITHUB_HEAD_REF": name},
    )
    yield [], {**GITLAB, "CI_MERGE_REQUEST_SOURCE_BRANCH_NAME": name}


def test_hostile_branch_names_come_through_unharmed(daemon, tmp_path, clone, canary):
    project = Project(daemon)  # as many stacks as are asked for
    job = Job(project, tmp_path, clone)
    asked = {}
    for name in HOSTILE:
        for words, variables in surfaces(name):
            # Behind `=` a value may look like an option.
            flag = [f"--branch={name}"] if words else []
            done = job("request", *flag, **variables)
            assert done.returncode == 0, (name, done.stderr)
            asked[done.stdout.removesuffix("\n")] = name
    assert {name: stack["branch"] for name, stack in project.stacks.items()} == asked
    for words, rows in ((["list"], "stacks"), (["history", "--limit", "200"], "events")):
        shown = job.succeeds(*words).stdout
        assert all(c.isprintable() or c == "\n" for c in shown)
        assert "##[" not in shown and not any(line.lstrip().startswith("::") for line in shown.splitlines())
        count = len(json.loads(job.succeeds(*words, "--json").stdout)[rows])
        assert len(shown.splitlines()) == count + 1, "a head, then one line each"


def test_a_hostile_name_reaches_the_command_as_text(job, project, canary):
    for name in HOSTILE:
        done = job.succeeds("run", f"--branch={name}", "--", "sh", "-c", 'printf %s "$STACK_NAME"')
        assert done.stdout == "test-1"
        assert project.stacks["test-1"]["branch"] == name


def test_names_that_are_none_are_refused_by_name(job, project, canary):
    for name in REFUSED:
        text = os.fsdecode(name) if isinstance(name, bytes) else name
        for words, variables in surfaces(text):
            if text == "" and not words:
                continue  # an empty variable is as good as none
            done = subprocess.run(
                [AGENT, "request", *words],
                cwd=job.worktree,
                env={**job.env, **variables},
                capture_output=True,
                check=False,
                timeout=60,
            )
            assert done.returncode == 64 and done.stdout == b"" and b"--branch" in done.stderr, (name, done)
            assert all(byte >= 0x20 or byte == 0x0A for byte in done.stderr), done.stderr
            assert b"\x7f" not in done.stderr and b"\xc2\x85" not in done.stderr and b"\xc2\x9b" not in done.stderr
    assert project.states == {}


def test_hostile_branches_that_git_allows(job, project, canary):
    tried = 0
    for name in HOSTILE:
        legal = subprocess.run(["git", "check-ref-format", f"refs/heads/{name}"], check=False).returncode == 0
        if not legal or len(name) > 200:
            continue
        git("update-ref", f"refs/heads/{name}", "HEAD", cwd=job.worktree)
        git("symbolic-ref", "HEAD", f"refs/heads/{name}", cwd=job.worktree)
        assert job.request()["branch"] == name
        job.succeeds("release")
        git("symbolic-ref", "HEAD", "refs/heads/feat/login", cwd=job.worktree)
        git("update-ref", "-d", f"refs/heads/{name}", cwd=job.worktree)
        tried += 1
    assert tried > 20


def test_what_the_coordinator_shows_draws_nothing_on_a_terminal(job, project):
    """Texts of others, some stored before any rule was: only what a line can show."""
    holder = {"actor": "\u202eanna", "job": "::error::x", "note": "##[error]y", "link": "https://x/::stop-commands::t"}
    assert project.http.call("requestStack", {"branch": "::add-mask::x", "holder": holder}).status == 200
    project.daemon.admin("stack", "note", project.name, "test-1", "::warning::note ##[section]")
    for verb in ("list", "history"):
        shown = job.succeeds(verb).stdout
        assert "\u202e" not in shown and "##[" not in shown
        assert not any(line.lstrip().startswith("::") for line in shown.splitlines())
