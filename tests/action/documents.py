"""The workflows that README.md and docs/ci.md show, as files to be run: what is printed there is what is tested."""

import re
import textwrap

from runner import ROOT


def blocks(page):
    text = (ROOT / page).read_text()
    return [textwrap.dedent(block) for block in re.findall(r"^```yaml\n(.*?)^```", text, re.M | re.S)]


def find(page, mark):
    found = [block for block in blocks(page) if mark in block]
    assert found, f"{page} has no snippet with {mark!r}"
    return found[0]


def as_workflow(steps, matrix=""):
    """A workflow around the steps of one job."""
    head = f"name: steps\non: push\njobs:\n  e2e:\n    runs-on: ubuntu-latest\n{matrix}    steps:\n"
    return head + textwrap.indent(steps, "      ")


README_STEPS = find("README.md", "uses: OWNER/stack-orchestrator@v1")
ONE_JOB = find("docs/ci.md", "name: e2e\n")
SEVERAL_JOBS = find("docs/ci.md", "name: e2e in parts")
GITLAB_README = find("README.md", "with-stack@1")
GITLAB_REMOTE = find("docs/ci.md", "include: [{ remote:")
GITLAB_ONE = find("docs/ci.md", "extends: .with-stack\n  script: ['if")
GITLAB_SEVERAL = find("docs/ci.md", "extends: .shares-stack")
GITLAB_RUN = find("docs/ci.md", "script: [stack-agent run")
