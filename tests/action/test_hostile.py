"""Texts that others choose: branches, events, files, those who hold stacks. See hostile.py for what must hold."""

import json
import os
import pathlib
import re
import subprocess

import pytest
from hostile import AGENT, HOSTILE, REFUSED, read_page
from runner import git
from worker import read_entries


def surfaces(name):
    """The ways a branch's name comes in."""
    yield {"INPUT_BRANCH": name}
    yield {"GITHUB_EVENT_NAME": "pull_request", "GITHUB_REF": "refs/pull/7/merge", "GITHUB_HEAD_REF": name}
    yield {"GITHUB_EVENT_NAME": "push", "GITHUB_REF": f"refs/heads/{os.fsdecode(name)}"}


def test_branches(step, project, canary, tmp_path):
    for name in HOSTILE:
        for variables in surfaces(name):
            main = step(**variables).check()
            assert main.code == 0, (name, main.lines)
            assert project.stacks["test-1"]["branch"] == name
            assert any(shown == name or "\\u" in shown for shown in read_page(main.text["STEP_SUMMARY"])), name
            state = {f"STATE_{k}": v for k, v in read_entries(main.text["STATE"]).items()}
            post = step("post", **variables, **state, **{"INPUT_JOB-STATUS": "success"})
            assert post.code == 0 and project.states == {"test-1": "available"}, post.lines


def test_branches_in_the_event(step, project, canary, tmp_path):
    event = tmp_path / "event.json"
    for name in HOSTILE:
        repo = {"full_name": name}
        event.write_text(json.dumps({"pull_request": {"head": {"ref": name, "sha": name, "repo": repo}}}))
        variables = {"GITHUB_REF": "refs/pull/7/merge", "GITHUB_EVENT_PATH": str(event), "GITHUB_REPOSITORY": "a/b"}
        main = step(**variables).check()
        assert main.code == 0 and project.stacks["test-1"]["branch"] == name
        step("post", **{f"STATE_{k}": v for k, v in read_entries(main.text["STATE"]).items()})
        fork = step(INPUT_KEY="", **variables).check()
        assert fork.code == 77 and "fork" in fork.lines[0]


@pytest.mark.parametrize("name", REFUSED, ids=lambda n: repr(n)[:24])
def test_branches_that_are_none(step, project, name):
    for variables in surfaces(name):
        main = step(**variables).check()
        assert main.code == 64 and "branch" in main.lines[-1], main.lines
    assert project.states == {}


def test_who_has_the_stacks(step, project, daemon):
    """While one waits, others' words are shown."""
    for name in HOSTILE:
        holder = {"actor": name[:100], "note": name, "job": name, "link": "https://x/" + "::error::x"}
        asked = {"branch": name, "holder": holder}
        names = [project.http.call("requestStack", asked).body["stackName"] for _ in range(2)]
        main = step(INPUT_WAIT="0").check()
        assert main.code == 75
        daemon.admin("stack", "release", project.name, names[0])
        daemon.admin("stack", "release", project.name, names[1])


def test_names_of_files(step, project, clone):
    first = step().check()
    state = {f"STATE_{k}": v for k, v in read_entries(first.text["STATE"]).items()}
    deployed = subprocess.run(
        [AGENT, "deployed"],
        cwd=clone,
        env={"PATH": os.environ["PATH"], "STACK_AGENT_STATE_DIR": state["STATE_state_dir"]},
        check=False,
        capture_output=True,
    )
    assert deployed.returncode == 0, deployed.stderr
    assert step("post", **state).code == 0
    names = {n.encode() if isinstance(n, str) else n for n in [*HOSTILE, *REFUSED]}
    names = {n for n in names if b"/" not in n and len(n) <= 255}
    for name in names:
        pathlib.Path(os.fsdecode(os.fsencode(clone) + b"/" + name)).write_text("x")
    git("add", "--all", cwd=clone)
    git("commit", "-q", "-m", "names", cwd=clone)
    main = step().check()
    files = main.outputs["changed-files"].split("\n")
    assert len(files) == len(names) and main.outputs["needs-deploy"] == "true"
    assert {unquoted(f) for f in files} == names


def unquoted(name):
    """git's quoting undone."""
    if not name.startswith('"'):
        return name.encode()
    inner = re.sub(rb"\\([0-7]{3})", lambda m: bytes([int(m[1], 8)]), name[1:-1].encode())
    return re.sub(rb'\\(["\\])', rb"\1", inner)


def test_an_event_that_is_none(step, project, tmp_path):
    event = tmp_path / "event.json"
    for text in ("", "{", "[]", "null", '{"pull_request": 7}', '{"a":1,"a":2}', "[" * 5000, "\0", "x" * 5_000_000):
        event.write_text(text)
        main = step(GITHUB_REF="refs/pull/7/merge", GITHUB_EVENT_PATH=str(event)).check()
        # The branch is git's then: the clone has one checked out.
        assert main.code == 0 and project.stacks["test-1"]["branch"] == "feat/login"
        step("post", **{f"STATE_{k}": v for k, v in read_entries(main.text["STATE"]).items()})
