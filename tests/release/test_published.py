"""The action and the component as they are published, in PUBLISHED_DIR: whole, with the released agents, at work."""

import hashlib
import http.client
import os
import pathlib
import re
import sys

import pytest
from programs import Coordinator
from test_release import MACHINES, RELEASE, ROOT

sys.path.insert(0, str(ROOT / "tests/action"))
from runner import DEPLOY, Runner, checkout, run  # noqa: E402

PUBLISHED = pathlib.Path(os.environ["PUBLISHED_DIR"])
AGENTS = {f"linux-{machine}": RELEASE / f"linux-{machine}/stack-agent" for machine in MACHINES}


def test_the_action_is_what_uses_needs_and_no_more():
    action = PUBLISHED / "action"
    scripts = {f"action/{name}.js" for name in ("main", "post", "release", "start")}
    programs = {f"bin/{platform}/stack-agent": file for platform, file in AGENTS.items()}
    names = {str(file.relative_to(action)) for file in action.rglob("*") if not file.is_dir()}
    assert names == {"action.yml", "LICENSE", "action/release/action.yml", *scripts, *programs}
    for name, file in programs.items():
        assert (action / name).read_bytes() == file.read_bytes() and os.access(action / name, os.X_OK)
    for name in scripts:
        needed = set(re.findall(r"require\((.*?)\)", (action / name).read_text()))
        assert all(re.match(r'"(node:|\./)', module) for module in needed), "no dependencies"


def test_the_component_knows_the_agents_by_their_sums():
    template = (PUBLISHED / "templates/with-stack.yml").read_text()
    for platform, file in AGENTS.items():
        (told,) = re.findall(rf'^    sha256-{platform}:\n.*\n      default: "(\w+)"', template, re.M)
        assert told == hashlib.sha256(file.read_bytes()).hexdigest()
        assert (PUBLISHED / "agents" / platform).read_bytes() == file.read_bytes()


@pytest.fixture
def daemon(tmp_path):
    coordinator = Coordinator(tmp_path / "data", "--agents", PUBLISHED / "agents").start()
    yield coordinator
    coordinator.hang_up()
    assert coordinator.stop() == 0


def test_the_action_does_a_job(daemon, tmp_path):
    runner = Runner(tmp_path / "runner", PUBLISHED / "action", checkout(tmp_path), daemon.url, daemon.project())
    job = runner.job(runner.uses(), DEPLOY, run("stack-agent check", "tests"))
    assert job.status == "success" and "test-1 released (ok)" in job.log, job.log
    shared = {"request": "${{ steps.stack.outputs.request-id }}"}
    first = runner.job(runner.uses(release="never"), outputs=shared)
    last = runner.job(runner.releases(request_id=first.outputs["request"]))
    assert last.status == "success" and "test-1 released (ok)" in last.log, last.log


@pytest.mark.parametrize("platform", AGENTS)
def test_the_coordinator_hands_the_agents_out(daemon, platform):
    connection = http.client.HTTPConnection(daemon.ready["http"], timeout=30)
    connection.request("GET", f"/agent/{platform}")
    assert connection.getresponse().read() == AGENTS[platform].read_bytes()
    connection.close()
