"""The workflows of README.md and docs/ci.md, run by act, in this machine's own processes, with the assembled action."""

import os
import re
import subprocess

import pytest
from documents import ONE_JOB, README_STEPS, SEVERAL_JOBS, as_workflow
from runner import TOOLS, Project, git, head


@pytest.fixture
def play(project, action, tmp_path):
    """Runs a workflow in a repository with a deploy and tests; what act said."""
    repository, home, programs = tmp_path / "repository", tmp_path / "home", tmp_path / "programs"
    workflows = repository / ".github/workflows"
    workflows.mkdir(parents=True)
    for folder in (home, programs):
        folder.mkdir()
    for name, text in {
        repository / "deploy.sh": 'echo "deploying to $1"; test ! -e "$FAIL_DEPLOY"',
        repository / "e2e.sh": 'echo "testing $*"; test ! -e "$FAIL_TESTS"',
        programs / "npx": 'echo "testing $STACK_NAME with $*"; test ! -e "$FAIL_TESTS"',
    }.items():
        name.write_text(f"#!/bin/sh\n{text}\n")
        name.chmod(0o755)
    git("init", "-q", "-b", "feat/login", repository)

    def run(workflow, tests_fail=False, deploy_fails=False, check=True):
        (workflows / "it.yml").write_text(workflow)
        git("add", "--all", cwd=repository)
        git("commit", "-q", "--allow-empty", "-m", "it", cwd=repository)
        (tmp_path / "secrets").write_text(f"STACK_AGENT_KEY={project.key}\n")
        (tmp_path / "variables").write_text(f"STACK_AGENT_URL={project.daemon.url}\n")
        done = subprocess.run(
            [
                TOOLS / "bin/act", "push", "--platform", "ubuntu-latest=-self-hosted",
                "--workflows", workflows / "it.yml",
                "--local-repository", f"OWNER/stack-orchestrator@v1={action}", "--secret-file", tmp_path / "secrets",
                "--var-file", tmp_path / "variables", "--env", f"FAIL_TESTS={'/' if tests_fail else '/nowhere'}",
                "--env", f"FAIL_DEPLOY={'/' if deploy_fails else '/nowhere'}",
            ],
            cwd=repository,
            env={
                "PATH": f"{programs}:{TOOLS}/bin:{os.environ['PATH']}",
                "HOME": str(home),
                "NO_PROXY": "*",
                "GIT_CONFIG_GLOBAL": "/dev/null",
            },
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )  # fmt: skip
        said = done.stdout + done.stderr
        assert project.key not in said, "the key is masked"
        assert not check or (done.returncode == 0) != (tests_fail or deploy_fails), said
        return said

    run.repository = repository
    return run


def test_the_readme_workflow(play, project):
    said = play(as_workflow(README_STEPS))
    assert "deploying to test-1" in said and "testing test-1 with playwright test" in said
    assert project.outcomes() == ["ok"] and project.states == {"test-1": "available"}
    assert project.stacks["test-1"]["lastDeployedCommit"] == head(play.repository)
    again = play(as_workflow(README_STEPS, "    env: { AGAIN: 1 }\n"))
    assert "deploying to test-1" in again, "the workflow's own file has changed"
    third = play(as_workflow(README_STEPS, "    env: { AGAIN: 1 }\n"))
    assert "deploying" not in third and "testing test-1" in third, "nothing has"


@pytest.mark.parametrize(("what", "outcome"), [({"tests_fail": True}, "ok"), ({"deploy_fails": True}, "dirty")])
def test_a_failing_step(play, project, what, outcome):
    play(ONE_JOB, **what)
    assert project.outcomes() == [outcome] and project.states == {"test-1": "available"}


def test_three_matrix_legs_over_two_stacks(play, project):
    matrix = "    strategy: { matrix: { leg: [1, 2, 3] } }\n"
    said = play(as_workflow(README_STEPS, matrix))
    assert project.kinds.count("granted") == 3 and project.outcomes() == ["ok"] * 3
    assert set(project.states.values()) == {"available"} and len(project.states) <= 2
    assert len(re.findall("testing test-[12] with playwright", said)) == 3


def test_deploy_three_tests_and_release(play, project):
    said = play(SEVERAL_JOBS)
    assert sorted(re.findall(r"testing (test-1 \d)", said)) == ["test-1 1", "test-1 2", "test-1 3"]
    assert "test-1 released (ok)" in said and project.states == {"test-1": "available"}
    assert project.kinds.count("granted") == 1 and project.outcomes() == ["ok"]


def test_a_failing_part_is_released_all_the_same(play, project):
    play(SEVERAL_JOBS, tests_fail=True)
    assert project.outcomes() == ["ok"] and project.states == {"test-1": "available"}


def test_a_deploy_that_fails_hands_nothing_over(play, project):
    said = play(SEVERAL_JOBS, deploy_fails=True)
    assert project.outcomes() == ["dirty"] and "testing" not in said
    assert "Nothing to release" in said or "not leased any more" in said


def test_two_uses_in_one_job(play, project):
    second = README_STEPS[README_STEPS.index("- uses: OWNER") : README_STEPS.index("- if:")]
    second = second.replace("id: stack", "id: other").replace('_KEY }}" }', '_KEY }}", env-name: OTHER }')
    last = '- run: echo "with $STACK_NAME and $OTHER"\n'
    said = play(as_workflow(README_STEPS[: README_STEPS.index("- if:")] + second + last))
    assert "with test-1 and test-2" in said
    assert project.states == {"test-1": "available", "test-2": "available"} and project.outcomes() == ["ok"] * 2


def test_a_pool_that_is_full_fails_and_says_who_has_it(play, daemon, project):
    project.fill()
    workflow = as_workflow(README_STEPS.replace('_KEY }}" }', '_KEY }}", wait: "0" }'))
    said = play(workflow, check=False)
    assert "ben" in said and "testing" not in said
    assert Project.outcomes(project) == []
