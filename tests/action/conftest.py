"""A coordinator, a project of the test's own, the assembled action, runners."""

import shutil
import subprocess

import pytest
from hostile import Step
from runner import AGENT, ROOT, Coordinator, Project, Runner, checkout


@pytest.fixture(scope="session")
def build(tmp_path_factory):
    """A build folder with the agent that is tested: the release's stage has built no other."""
    folder = tmp_path_factory.mktemp("build")
    (folder / "bin").mkdir()
    shutil.copy(AGENT, folder / "bin/stack-agent")
    return folder


@pytest.fixture(scope="session")
def action(tmp_path_factory, build):
    folder = tmp_path_factory.mktemp("released") / "stack-orchestrator"
    subprocess.run([ROOT / "scripts/build-action", folder, build], check=True, capture_output=True)
    return folder


@pytest.fixture(scope="session")
def component(tmp_path_factory, build):
    """As released, with the agents that go with it."""
    folder = tmp_path_factory.mktemp("component")
    subprocess.run([ROOT / "scripts/build-template", folder, build], check=True, capture_output=True)
    return folder


@pytest.fixture(scope="session")
def template(component):
    return component / "templates/with-stack.yml"


@pytest.fixture(scope="session")
def daemon(tmp_path_factory, component):
    """One that hands the agent out."""
    folder = tmp_path_factory.mktemp("coordinator")
    coordinator = Coordinator(folder / "data", "--agents", component / "agents").start()
    yield coordinator
    coordinator.hang_up()
    assert coordinator.stop() == 0, "".join(coordinator.log)


@pytest.fixture
def own_daemon(tmp_path):
    """One that a test may kill, and its key."""
    daemon = Coordinator(tmp_path / "data").start()
    yield daemon, daemon.project("shop")
    daemon.hang_up()
    if daemon.process.poll() is None:
        daemon.stop()


@pytest.fixture
def project(daemon):
    return Project(daemon, "--max-stacks", "2", "--expiry-grace", "1s")


@pytest.fixture
def clone(tmp_path):
    return checkout(tmp_path)


@pytest.fixture
def runner(project, action, clone, tmp_path):
    machine = Runner(tmp_path / "runner", action, clone, project.daemon.url, project.key)
    yield machine
    machine.close()


@pytest.fixture
def make_runner(project, action, clone, tmp_path):
    """Further machines."""
    machines = []

    def make(**env):
        folder = tmp_path / f"runner-{len(machines) + 1}"
        machines.append(Runner(folder, action, clone, project.daemon.url, project.key, **env))
        return machines[-1]

    yield make
    for machine in machines:
        machine.close()


@pytest.fixture
def canary(tmp_path):
    yield
    assert not list(tmp_path.rglob("CANARY"))


@pytest.fixture
def step(project, tmp_path, clone):
    def play(verb="main", cwd=clone, **env):
        base = {"INPUT_URL": project.daemon.url, "INPUT_KEY": project.key, "RUNNER_TEMP": str(tmp_path / "temp")}
        (tmp_path / "temp").mkdir(exist_ok=True)
        return Step(verb, tmp_path / "steps", cwd, **{**base, **env})

    return play
