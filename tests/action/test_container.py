"""Jobs with `container:`. The image is another root filesystem; of the machine it has what the runner mounts, no more.

"debian" has a C library, a shell, git. "bare" has a shell and no C library at all, for an agent that needs none: the
released one (scripts/test release). Node comes from the runner, as it does there.
"""

import os
import pathlib
import re
import shutil
import subprocess

import pytest
from runner import AGENT, DEPLOY, NODE, Runner, commit, git, head, run, until

SHELL = pathlib.Path("/bin/busybox")
DEBIAN = ("/usr", "/etc", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32")
IS_STATIC = b"ld-linux" not in AGENT.read_bytes()[:4096]
ACTION = "/__w/_actions/OWNER/stack-orchestrator/v1"
ANOTHER_USER = 1001  # hosted runners' own; in the container one is root


def libraries(program):
    """What the dynamic linker loads for it, itself included."""
    said = subprocess.run(["ldd", program], check=True, capture_output=True, text=True).stdout
    return re.findall(r"(/\S+) \(0x", said)


class Image:
    def __init__(self, kind, folder):
        self.root, self.binds = folder / "root", []
        for name in ("bin", "proc", "dev", "tmp")[kind == "debian" :]:
            (self.root / name).mkdir(parents=True)
        for device in ("/dev/null", "/dev/urandom"):
            (self.root / device[1:]).touch()
            self.binds += ["rw", device, device]
        if kind == "debian":
            self.add_debian()
        else:
            shutil.copy(SHELL, self.root / "bin/sh")  # whose other commands are builtins of the shell
            for name in ("env", "tail", "rm"):
                (self.root / "bin" / name).symlink_to("sh")
        self.add_node(folder / "externals")

    def bind(self, how, path, inside):
        (self.root / inside.lstrip("/")).mkdir(parents=True, exist_ok=True)
        self.binds += [how, str(path), inside]
        return self

    def add_debian(self):
        for path in map(pathlib.Path, DEBIAN):
            if path.is_symlink():
                (self.root / path.name).symlink_to(path.readlink())
            elif path.exists():
                self.bind("ro", path, str(path))

    def add_node(self, externals):
        """The runner brings one that suits the image's C library. Here it brings its own C library."""
        externals.mkdir()
        (externals / "bin").mkdir()
        for file in libraries(NODE):
            shutil.copy(file, externals)
        linker = next(externals.glob("ld-*"))
        node = NODE.resolve()
        self.bind("ro", externals, "/__e/node24").bind("ro", node.parent, "/__e/node24/bin")
        self.node = [f"/__e/node24/{linker.name}", "--library-path", "/__e/node24", f"/__e/node24/bin/{node.name}"]


class ContainerRunner(Runner):
    """A machine whose jobs say `container:`."""

    def __init__(self, folder, image, action, workspace, *more):
        super().__init__(folder, action, workspace, *more)
        self.image = image
        for name in ("work", "workflow"):
            (self.folder / name).mkdir()
        image.bind("rw", self.folder / "work", "/__w").bind("rw", workspace, "/__w/shop/shop")
        image.bind("rw", self.folder / "home", "/github/home").bind("rw", self.folder / "workflow", "/github/workflow")
        image.bind("ro", action, ACTION)
        for name in ("shop/shop", "_actions/OWNER/stack-orchestrator/v1", "_temp"):
            (self.folder / "work" / name).mkdir(parents=True)

    def event(self, name, payload, **env):
        super().event(name, payload, **env)
        shutil.move(self.env["GITHUB_EVENT_PATH"], self.folder / "workflow/event.json")
        self.env["GITHUB_EVENT_PATH"] = str(self.folder / "workflow/event.json")
        return self

    def start(self, *steps, **more):
        temp = self.folder / f"temp-{self.count + 1}"
        place = {
            "root": str(self.image.root),
            "binds": [*self.image.binds, "rw", str(temp), "/__w/_temp"],
            "path": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        }
        words = self.image.node
        return super().start(*steps, container=place, **{"node": words[0], "node_words": words[1:], **more})


def make(kind, tmp_path, action, clone, project):
    image = Image(kind, tmp_path)
    return ContainerRunner(tmp_path / "runner", image, action, clone, project.daemon.url, project.key)


@pytest.fixture(params=["debian", *(["bare"] if IS_STATIC else [])])
def inside(request, tmp_path, action, clone, project):
    runner = make(request.param, tmp_path, action, clone, project)
    if os.geteuid() == 0:
        for path in (clone, *clone.rglob("*")):
            os.lchown(path, ANOTHER_USER, ANOTHER_USER)
    yield runner
    runner.close()


@pytest.fixture
def in_debian(tmp_path, action, clone, project):
    origin = tmp_path / "origin"
    runner = make("debian", tmp_path, action, clone, project)
    runner.image.bind("rw", origin, "/origin")  # instead of a server
    git("remote", "set-url", "origin", "file:///origin", cwd=clone)
    yield runner
    runner.close()


def test_nothing_of_the_machine_is_there(inside):
    paths = " ".join(f'"{p}"' for p in (inside.folder, inside.action, inside.workspace, AGENT))
    seen = run(f'for p in {paths}; do ! test -e "$p" || exit 9; done; for p in /proc/[0-9]*; do echo "p $p"; done')
    job = inside.job(seen)
    assert job.status == "success", job.log
    assert len(re.findall("^p ", job.log, re.M)) <= 3, "its own processes alone"


def test_a_whole_job_in_a_container(inside, project):
    tests = run('echo "on $STACK_NAME"; stack-agent check; echo "agent: $PATH"', "tests")
    job = inside.job(inside.uses(), DEPLOY, tests)
    assert job.status == "success", job.log
    assert "on test-1" in job.log and "agent: /__w/_temp/" in job.log, "as the container knows it"
    assert job.ended("stack")["path"] == ["/__w/_temp/stack-agent-bin"]
    assert project.outcomes() == ["ok"] and project.states == {"test-1": "available"}
    assert project.stacks["test-1"]["lastDeployedCommit"] == git(
        "-c", "safe.directory=*", "rev-parse", "HEAD", cwd=inside.workspace
    )
    assert project.stacks["test-1"]["branch"] == "feat/login"
    again = inside.job(inside.uses(), DEPLOY)
    assert again.ended("stack")["outputs"]["needs-deploy"] == "false" and not again.started("deploy"), again.log
    assert not again.commands("error") and not again.commands("warning")


def test_the_event_is_read_where_the_container_has_it(inside, project):
    payload = {"pull_request": {"head": {"ref": "feat/other", "sha": "b" * 40}}}
    job = inside.event("pull_request", payload, GITHUB_REF="refs/pull/7/merge").job(inside.uses())
    assert job.status == "success" and project.stacks["test-1"]["branch"] == "feat/other"
    assert "b" * 40 in job.ended("stack")["summary"]


def test_the_lease_is_kept_from_inside(inside, project):
    """Longer than two leases, after the step that got it has ended."""
    go = inside.folder / "work/go"
    wait = run("echo here; until test -e /__w/go; do :; done; stack-agent check", "tests")
    job = inside.start(inside.uses(lease="2s"), DEPLOY, wait)
    job.until_said("here")
    renewed = project.stacks["test-1"]["lease"]["expires"]
    until(lambda: project.stacks["test-1"]["lease"]["expires"] != renewed, "a renewal")
    second = project.stacks["test-1"]["lease"]["expires"]
    until(lambda: project.stacks["test-1"]["lease"]["expires"] != second, "another one")
    go.touch()
    assert job.end().status == "success" and project.outcomes() == ["ok"]


def test_cancelled_in_a_container_while_it_waits(inside, project):
    """docker's client takes the signal, what waits in there hears nothing: the post step takes its request back."""
    project.fill()
    job = inside.start(inside.uses())
    job.until_said("1st in line")
    job.cancel()
    job.end()
    assert job.status == "cancelled" and project.queue == [] and job.ended("post stack")["code"] == 0
    assert project.kinds.count("granted") == 2


def test_cancelled_in_a_container_while_it_holds(inside, project):
    job = inside.start(inside.uses(), run("echo here; while :; do :; done", "tests"))
    job.until_said("here")
    job.cancel()
    job.end()
    assert job.status == "cancelled" and project.outcomes() == ["dirty"]
    assert project.states == {"test-1": "available"}


def test_a_container_that_goes_with_its_machine(inside, project):
    job = inside.start(inside.uses(lease="2s"), run("echo here; exec tail -f /dev/null", "tests"))
    job.until_said("here")
    job.lose()
    until(lambda: project.stacks["test-1"]["isAvailable"], "free again")
    assert project.kinds.count("expired") == 1 and project.outcomes() == []


def test_a_commit_that_is_not_there_is_fetched_in_a_container(in_debian, clone, project):
    in_debian.job(in_debian.uses(), DEPLOY)
    origin = in_debian.folder.parent / "origin"
    commit(origin, "new\n", "another page")
    fresh = in_debian.folder / "fresh"
    git("clone", "-q", "--depth=1", f"file://{origin}", fresh)
    shutil.rmtree(clone / ".git")
    shutil.move(fresh / ".git", clone / ".git")
    git("reset", "-q", "--hard", cwd=clone)
    git("remote", "set-url", "origin", "file:///origin", cwd=clone)
    if os.geteuid() == 0:
        for path in (clone, *clone.rglob("*")):
            os.lchown(path, ANOTHER_USER, ANOTHER_USER)
    job = in_debian.job(in_debian.uses())
    assert job.ended("stack")["outputs"]["changed-files"] == "another page", job.log
    assert head(origin) != project.stacks["test-1"]["lastDeployedCommit"]
