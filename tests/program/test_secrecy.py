"""The key stays in the process that was given it: no core dump, no child, no file, no other process' view."""

import os
import pathlib
import signal
import subprocess

import pytest
from jobs import Job, Project
from programs import AGENT, until


@pytest.fixture
def full(daemon, tmp_path, clone):
    """A job whose requests wait, since the only stack is somebody's."""
    project = Project(daemon, "--max-stacks", "1")
    project.http.call("requestStack", {"branch": "other"})
    return Job(project, tmp_path, clone)


# A sanitizer forbids dumps of its own accord, unless it is told not to.
SANITIZERS = {
    name: f"{os.environ.get(name, '')}:disable_coredump=0".lstrip(":") for name in ("ASAN_OPTIONS", "TSAN_OPTIONS")
}
ALLOW_DUMPS = ["sh", "-c", 'ulimit -c unlimited; exec "$@"', "sh"]


def start(job, *words, **env):
    return subprocess.Popen(
        [*ALLOW_DUMPS, AGENT, *words],
        cwd=job.worktree,
        env={**job.env, **SANITIZERS, **env},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )


def until_in_line(job, process):
    for line in process.stdout:
        if b"1st in line" in line:
            return
    raise AssertionError("it never waited")


def crash(process):
    """Whether a core was dumped by a crash."""
    process.send_signal(signal.SIGABRT)
    _, status = os.waitpid(process.pid, 0)
    process.returncode = -signal.SIGABRT
    process.stdout.close()
    assert os.WTERMSIG(status) == signal.SIGABRT
    return os.WCOREDUMP(status)


@pytest.fixture
def dumps_here(tmp_path):
    """Whether this machine dumps cores at all: only then their absence proves something."""
    process = subprocess.Popen([*ALLOW_DUMPS, "sleep", "60"], cwd=tmp_path, stdout=subprocess.PIPE)
    until(lambda: b"sleep\0" in read(pathlib.Path(f"/proc/{process.pid}/cmdline"))[:6], "it has become sleep")
    return crash(process)


@pytest.mark.parametrize(
    "words", [["request"], ["run", "--", "true"], ["github", "main"]], ids=["request", "run", "github"]
)
def test_a_crash_dumps_no_core(full, dumps_here, words, tmp_path):
    files = {f"GITHUB_{n}": str(tmp_path / n) for n in ("OUTPUT", "ENV", "STATE", "PATH", "STEP_SUMMARY")}
    process = start(full, *words, **files, INPUT_KEY=full.project.key, RUNNER_TEMP=str(tmp_path))
    until_in_line(full, process)
    assert not crash(process), f"where another program's crash did so: {dumps_here}"


def test_as_an_action_the_key_leaves_the_environment(full, tmp_path):
    files = {f"GITHUB_{n}": str(tmp_path / n) for n in ("OUTPUT", "ENV", "STATE", "PATH", "STEP_SUMMARY")}
    key = full.project.key
    process = start(full, "github", "main", **files, INPUT_KEY=key, RUNNER_TEMP=str(tmp_path))
    until_in_line(full, process)
    environment = pathlib.Path(f"/proc/{process.pid}/environ").read_bytes()
    assert b"INPUT_KEY=" in environment or b"RUNNER_TEMP=" in environment, "it is the right process"
    assert key.encode() not in environment
    assert key.encode() not in pathlib.Path(f"/proc/{process.pid}/cmdline").read_bytes()
    process.terminate()
    process.communicate()
    assert process.returncode == 128 + signal.SIGTERM
    assert full.project.http.call("listQueue").body["queue"] == []
    for file in tmp_path.rglob("*"):
        assert not file.is_file() or key.encode() not in file.read_bytes(), file


def test_a_command_that_is_run_may_dump_and_has_no_key(job):
    done = job.succeeds("run", "--", "sh", "-c", "ulimit -c; env", **SANITIZERS)
    limit = subprocess.run(["sh", "-c", "ulimit -c"], capture_output=True, text=True, check=True).stdout
    assert done.stdout.startswith(limit), "its limit is as it was"
    assert job.project.key not in done.stdout


def test_the_keeper_may_not_dump(job):
    job.request(**SANITIZERS)
    # For a moment of its exec it has no command line yet, though who started it has gone on.
    keeper = until(lambda: find_keeper(job), "there is a keeper")
    until(lambda: core_limit(keeper) == ["1", "1"], "too little for a core, before it reads the lease")
    assert job.project.key.encode() not in read(keeper / "environ")
    job.succeeds("release")
    until(lambda: not keeper.exists(), "the keeper ends")


def find_keeper(job):
    words = {p: read(p / "cmdline").split(b"\0") for p in pathlib.Path("/proc").iterdir() if p.name.isdigit()}
    found = [p for p, w in words.items() if b"keep" in w and str(job.state).encode() in w]
    assert len(found) <= 1
    return found[0] if found else None


def core_limit(process):
    lines = (process / "limits").read_text().splitlines()
    return next(line.split()[4:6] for line in lines if line.startswith("Max core"))


def read(file):
    try:
        return file.read_bytes()
    except OSError:
        return b""
