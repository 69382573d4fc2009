"""Every workflow of ours and every snippet in the documents, by actionlint."""

import subprocess

import pytest
from documents import ONE_JOB, README_STEPS, SEVERAL_JOBS, as_workflow, blocks
from runner import ROOT, TOOLS

WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yml"))
GITEA = next(b for b in blocks("docs/ci.md") if "env: { STACK_AGENT_URL" in b)


def lint(file):
    return subprocess.run(
        [TOOLS / "bin/actionlint", "-no-color", file], capture_output=True, text=True, check=False, timeout=60
    )


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda w: w.name)
def test_our_workflows(workflow):
    done = lint(workflow)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("text", [as_workflow(README_STEPS), ONE_JOB, SEVERAL_JOBS, as_workflow(GITEA)], ids=range(4))
def test_snippets(text, tmp_path):
    file = tmp_path / "it.yml"
    file.write_text(text)
    done = lint(file)
    assert done.returncode == 0, done.stdout


def test_the_linter_sees_mistakes(tmp_path):
    file = tmp_path / "it.yml"
    file.write_text(as_workflow(README_STEPS.replace("steps.stack", "steps.stuck")))
    assert lint(file).returncode == 1
