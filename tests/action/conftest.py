"""A coordinator, a project of the test's own, the assembled action, runners."""

import itertools
import os
import pathlib
import subprocess

import pytest
from runner import ROOT, Runner
from programs import BIN, Coordinator, git  # isort: skip  (runner.py says where it is)

NAMES = itertools.count(1)


@pytest.fixture(scope="session")
def action(tmp_path_factory):
    folder = tmp_path_factory.mktemp("released") / "stack-orchestrator"
    subprocess.run([ROOT / "scripts/build-action", folder, BIN.parent], check=True, capture_output=True)
    return folder


@pytest.fixture(scope="session")
def daemon(tmp_path_factory):
    coordinator = Coordinator(tmp_path_factory.mktemp("coordinator") / "data").start()
    yield coordinator
    coordinator.hang_up()
    assert coordinator.stop() == 0, "".join(coordinator.log)


class Project:
    def __init__(self, daemon, *options):
        self.daemon, self.name = daemon, f"a{next(NAMES)}"
        self.key = daemon.project(self.name, *options)
        self.http = daemon.http(self.key)

    @property
    def stacks(self):
        return {s["stackName"]: s for s in self.http.call("listStacks").body["stacks"]}

    @property
    def states(self):
        return {name: s["state"] for name, s in self.stacks.items()}

    @property
    def events(self):
        return self.http.call("listEvents", {"after": 0}).body["events"]

    @property
    def kinds(self):
        return [e["kind"] for e in self.events]

    def outcomes(self):
        return [e.get("outcome") for e in self.events if e["kind"] == "released"]


@pytest.fixture
def project(daemon):
    return Project(daemon, "--max-stacks", "2", "--expiry-grace", "1s")


@pytest.fixture
def clone(tmp_path):
    """A checkout of feat/login as actions/checkout leaves it: depth 1, any commit can be fetched."""
    origin, clone = tmp_path / "origin", tmp_path / "clone"
    git("init", "-q", "-b", "feat/login", origin)
    git("config", "uploadpack.allowAnySHA1InWant", "true", cwd=origin)
    for number in range(2):
        (origin / "page").write_text(f"{number}\n")
        git("add", "page", cwd=origin)
        git("commit", "-q", "-m", str(number), cwd=origin)
    git("clone", "-q", "--depth=1", f"file://{origin}", clone)
    return clone


@pytest.fixture
def runner(project, action, clone, tmp_path):
    return Runner(tmp_path / "runner", action, clone, project.daemon.url, project.key)


@pytest.fixture
def make_runner(project, action, clone, tmp_path):
    """Further machines."""
    count = itertools.count(1)

    def make(**env):
        return Runner(tmp_path / f"runner-{next(count)}", action, clone, project.daemon.url, project.key, **env)

    return make


def pytest_configure():
    tools = pathlib.Path(os.environ.get("CI_TOOLS", "/nonexistent"))
    assert (tools / "bin/node").exists(), "CI_TOOLS names no folder of tools: run scripts/install-deps ci-tools"
