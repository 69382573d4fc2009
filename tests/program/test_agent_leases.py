"""Leases that end and requests that wait, as CI jobs meet them through the agent: short leases, in real time."""

import contextlib
import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import time

import pytest
from jobs import Job, Project
from programs import AGENT, DEADLINE, Coordinator, stays, until

SOON = 2  # seconds within which an agent that is told to stop has left nothing behind


@pytest.fixture
def project(daemon):
    return Project(daemon, "--max-stacks", "1", "--expiry-grace", "1")


@pytest.fixture
def paused():
    """Stops a process for a while, and never for good."""
    stopped = []

    def pause(process):
        stopped.append(process)
        process.send_signal(signal.SIGSTOP)

    yield pause
    for process in stopped:
        process.send_signal(signal.SIGCONT)


def shell(job, script, *arguments, **more):
    return subprocess.Popen(
        ["sh", "-c", script, str(AGENT), *[str(a) for a in arguments]],
        cwd=job.worktree, env=job.env, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE, **more,
    )  # fmt: skip


def lease(project):
    return project.stacks["test-1"].get("lease")


# ---- the keeper ----


def test_a_job_has_its_stack_as_long_as_it_lives_and_no_longer(job, project):
    started = time.monotonic()
    shell_of_job = shell(job, 'stack=$("$0" request --lease 2s) && echo "$stack" && read line')
    assert shell_of_job.stdout.readline() == "test-1\n"
    assert time.monotonic() - started < 2  # the keeper holds nothing that $(…) waits for
    first = lease(project)["generation"]
    stays(lambda: lease(project)["generation"] == first, 4.5)  # two leases long
    shell_of_job.stdin.close()
    assert shell_of_job.wait(DEADLINE) == 1
    until(lambda: "expired" in project.kinds, "the lease runs out")
    assert re.search(r"job's process has ended", "".join(job.texts()))


def renewals(daemon):
    metrics = daemon.http(None).raw("GET", "/metrics").text
    found = re.search(
        r'^stack_coordinator_operations_total{operation="renewLease",outcome="done"} (\d+)$', metrics, re.M
    )
    return int(found[1]) if found else 0


def test_a_stack_is_renewed_before_its_name_is_told(job, daemon):
    """The first answer may be a grant from the queue too, which is taken back unless it is collected: a proxy that
    repeats a request hands on the answer to its second arrival."""
    before = renewals(daemon)
    assert job.succeeds("request", "--lease", "1h").stdout == "test-1\n"
    assert renewals(daemon) == before + 1
    job.succeeds("release")


def test_the_process_to_watch_can_be_named(job, project):
    watched = subprocess.Popen(["cat"], stdin=subprocess.PIPE)
    assert job("request", "--watch", "999999999").returncode == 64
    job.succeeds("request", "--lease", "2s", "--watch", watched.pid)
    watched.stdin.close()
    watched.wait()
    until(lambda: "expired" in project.kinds, "the lease runs out")


def test_check_says_whose_the_stack_is_and_who_took_it(job, project):
    job.succeeds("request", "--lease", "60s")
    assert job.succeeds("check").stdout.startswith("test-1 is ours, for ")
    assert json.loads(job.succeeds("check", "--json").stdout)["held"] is True
    project.daemon.admin("stack", "release", project.name, "test-1", "--now", "--reason", "needed for the demo")
    lost = job("check")
    assert lost.returncode == 76 and "LOST" in lost.stderr and "forced" in lost.stderr and "control" in lost.stderr
    said = job("check", "--json")
    assert said.returncode == 76 and json.loads(said.stdout)["held"] is False


def test_a_kept_lease_that_is_lost_is_said_in_its_log(job, project):
    job.succeeds("request", "--lease", "2s")
    project.daemon.admin("stack", "release", project.name, "test-1", "--now")
    until(lambda: "LOST" in "".join(job.texts()), "the keeper says so")
    assert job("check").returncode == 76


def test_a_stack_is_handed_over_to_the_jobs_that_join(job, other, project):
    said = job.request("--lease", "30s")
    job.succeeds("hand-over", "--hold", "20m")
    assert job("check").returncode == 66  # nothing of it is this job's any more
    assert lease(project)["generation"] == said["lease"]["generation"]
    joined = json.loads(other.succeeds("join", "--json", "--request-id", said["requestId"]).stdout)
    assert joined["stackName"] == "test-1" and joined["lease"]["expiresInSeconds"] > 1100
    other.succeeds("release")  # it only joined: the stack is left to the others
    assert project.states == {"test-1": "leased"}
    other.succeeds("join", "--request-id", said["requestId"])
    other.succeeds("release", "--joined")
    assert project.states == {"test-1": "available"}


# ---- waiting ----


def test_who_waits_is_told_who_has_what_and_gets_it_at_once(job, other, project):
    job.succeeds("request", "--branch", "feat/a")
    waiting = other.start("request", "--wait", "60s", "--branch", "feat/b")
    line = next(line for line in waiting.stderr if "in line" in line)
    assert re.search(r"1st in line, \ds; test-1 feat/a .*\(\ds\)", line), line
    until(lambda: project.queue, "it waits")
    shown = job.succeeds("queue").stdout
    assert "feat/b" in shown
    assert json.loads(job.succeeds("queue", "--json").stdout)["queue"][0]["position"] == 1
    job.succeeds("release")
    released = time.monotonic()
    assert waiting.stdout.readline() == "test-1\n"
    assert time.monotonic() - released < SOON
    assert waiting.wait(DEADLINE) == 0
    other.succeeds("release")


def test_a_wait_that_is_over_leaves_no_request_behind(job, other, project):
    job.succeeds("request", "--branch", "feat/a")
    done = other("request", "--wait", "1s")
    assert done.returncode == 75
    assert "feat/a" in done.stderr
    assert project.queue == []


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_who_is_stopped_while_waiting_leaves_the_line(job, other, project, number, status):
    job.succeeds("request")
    waiting = other.start("request", "--wait", "60s")
    until(lambda: project.queue, "it waits")
    stopped = time.monotonic()
    waiting.send_signal(number)
    assert waiting.wait(DEADLINE) == status, waiting.stderr.read()
    assert time.monotonic() - stopped < SOON
    assert project.queue == []


# ---- run ----

STUBBORN = """
trap 'date +%s.%N >> "$0"' TERM
echo $$ > "$1"
while :; do read line < "$2" || :; done
"""


def stubborn(job, folder, *options):
    """A command that notes when it is told to stop and goes on. The fifo it reads from: it waits without a child."""
    told, runs, never = (pathlib.Path(folder) / name for name in ("told", "runs", "never"))
    subprocess.run(["mkfifo", never], check=True)
    running = job.start("run", *options, "--", "sh", "-c", STUBBORN, told, runs, never)
    pid = int(until(lambda: runs.exists() and runs.read_text().strip(), "the command runs"))
    return running, pid, told


def test_a_command_is_stopped_before_its_lease_ends(tmp_path, clone, paused):
    daemon = Coordinator(tmp_path / "data").start()
    project = Project(daemon)
    running, pid, told = stubborn(Job(project, tmp_path, clone), tmp_path, "--lease", "6s")
    paused(daemon.process)
    silent = time.time()
    until(lambda: told.exists() and told.read_text(), "it is told to stop")
    first = float(told.read_text().split()[0])
    # Renewed at least each two seconds, told a quarter before the end, killed a twelfth before.
    assert silent + 2.3 < first < silent + 4.7
    until(lambda: not pathlib.Path(f"/proc/{pid}").exists(), "it is killed")
    assert first + 0.8 < time.time() < silent + 5.7
    daemon.process.send_signal(signal.SIGCONT)
    assert running.wait(DEADLINE) == 76
    assert "is about to end" in running.stderr.read()
    daemon.hang_up()
    assert daemon.stop() == 0


def test_a_lease_is_timed_by_what_was_given_not_by_what_was_asked_for(tmp_path, clone, daemon):
    """Else it would first be renewed, and its command stopped, long after its end by the project's max-hold."""
    job = Job(Project(daemon, "--max-hold", "60s"), tmp_path, clone)
    job.succeeds("request", "--lease", "10m")
    (noted,) = [json.loads(p.read_text()) for p in job.files() if p.suffix == ".json"]
    assert 55 <= noted["leaseSeconds"] <= 60


def test_a_command_ends_also_where_the_exit_of_children_is_ignored(job):
    """As below a parent that ignores SIGCHLD: it is inherited, and the kernel then keeps no exit status."""
    ignoring = (
        "import os, signal, sys; signal.signal(signal.SIGCHLD, signal.SIG_IGN); os.execv(sys.argv[1], sys.argv[1:])"
    )
    done = subprocess.run(
        [sys.executable, "-c", ignoring, AGENT, "run", "--", "sh", "-c", "exit 3"],
        cwd=job.worktree, env=job.env, check=False, timeout=DEADLINE, capture_output=True,
    )  # fmt: skip
    assert done.returncode == 3


def test_what_a_lost_lease_left_behind_is_not_meant_where_its_stack_was_got_again(job, project):
    """Which file is read last is chance."""

    def lost():
        return sum("lostWhy" in text for text in job.texts())

    for left_behind in range(1, 5):
        job.succeeds("request", "--lease", "2s")
        project.daemon.admin("stack", "release", project.name, "test-1", "--now")
        until(lambda wanted=left_behind: lost() == wanted, "the keeper notes it")
        job.succeeds("request")
        job.succeeds("check")
        job.succeeds("check", "test-1")
        job.succeeds("release")
        assert project.states == {"test-1": "available"}


def test_a_short_outage_stops_nothing(tmp_path, clone, paused):
    daemon = Coordinator(tmp_path / "data").start()
    project = Project(daemon)
    running, _, told = stubborn(Job(project, tmp_path, clone), tmp_path, "--lease", "6s")
    generation = lease(project)["generation"]
    paused(daemon.process)
    stays(lambda: not told.exists(), 1.5)
    daemon.process.send_signal(signal.SIGCONT)
    stays(lambda: not told.exists() and lease(project)["generation"] == generation, 6)
    running.terminate()
    until(told.exists, "it is told to stop")
    running.terminate()  # who says it twice is in a hurry
    assert running.wait(DEADLINE) == 137
    assert project.states == {"test-1": "available"}
    daemon.hang_up()
    assert daemon.stop() == 0


def test_a_command_whose_lease_is_lost_hears_it_at_once_and_who_took_it(job, project, tmp_path):
    running, pid, told = stubborn(job, tmp_path, "--lease", "9s")
    project.daemon.admin("stack", "quarantine", project.name, "test-1", "--reason", "broken disk")
    lost = time.monotonic()
    until(lambda: told.exists() and told.read_text(), "it is told to stop")
    assert time.monotonic() - lost < 3 + SOON  # a third of the lease, and a little
    assert pathlib.Path(f"/proc/{pid}").exists()
    running.terminate()
    until(lambda: told.read_text().count("\n") > 1, "it is told again")
    running.terminate()
    assert running.wait(DEADLINE) == 76
    said = running.stderr.read()
    assert "LOST" in said and "forced" in said and "control (broken disk)" in said


def test_a_lost_command_does_not_outlive_its_lease(job, project, tmp_path):
    running, _, told = stubborn(job, tmp_path, "--lease", "4s")
    project.daemon.admin("stack", "quarantine", project.name, "test-1")
    lost = time.monotonic()
    assert running.wait(DEADLINE) == 76
    assert time.monotonic() - lost < 4 + SOON and told.exists()


def test_a_command_that_gives_its_stack_back_itself_works_on(job, other, project, tmp_path):
    ended = tmp_path / "ended"
    script = '"$0" release && touch "$1" && read -r line && echo "$line" > "$1"'
    running = job.start("run", "--lease", "2s", "--", "sh", "-c", script, AGENT, ended, stdin=subprocess.PIPE)
    until(ended.exists, "it is given back")
    other.succeeds("request")  # it is free, and soon another one's
    stays(lambda: running.poll() is None, 2)  # its next renewal hears that it is over
    running.stdin.write("on\n")
    running.stdin.flush()
    assert running.wait(DEADLINE) == 0, running.stderr.read()
    assert ended.read_text() == "on\n"
    other.succeeds("check")


def test_a_stack_whose_name_nobody_could_be_told_is_given_back(job, project, tmp_path):
    for arguments in (["--dotenv", tmp_path / "no" / "such" / "folder"], ["--dotenv", tmp_path]):
        failed = job("request", *arguments)
        assert failed.returncode == 70 and "--dotenv" in failed.stderr
        assert project.states == {"test-1": "available"} and job.files() == []
    with open("/dev/full", "w") as full:
        failed = subprocess.run([AGENT, "request"], cwd=job.worktree, env=job.env, stdout=full, check=False)
    assert failed.returncode == 70
    assert project.states == {"test-1": "available"} and job.files() == []


@contextlib.contextmanager
def fixed_in_place(path):
    """A file that may be written and not removed; to root only what is mounted is."""
    is_root = os.geteuid() == 0
    if is_root:
        subprocess.run(["mount", "--bind", path, path], check=True)
    else:
        path.parent.chmod(0o500)
    try:
        yield
    finally:
        if is_root:
            subprocess.run(["umount", path], check=True)
        else:
            path.parent.chmod(0o700)


def test_a_report_of_an_earlier_stack_does_not_outlive_the_request_that_writes_it(job, project, tmp_path):
    """It is uploaded with a job that failed, too, and what it names may be another job's by then."""
    report, elsewhere = tmp_path / "stack.env", tmp_path / "elsewhere"
    for arguments, code in ((["--url", "nonsense"], 64), (["--url", "http://127.0.0.1:9", "--wait", "0"], 69)):
        report.write_text("STACK_REQUEST_ID=an-earlier-one\n")
        assert job("request", "--dotenv", report, *arguments).returncode == code
        assert not report.exists()
    report.write_text("STACK_REQUEST_ID=an-earlier-one\n")
    with fixed_in_place(report):
        assert job("request", "--dotenv", report, "--url", "nonsense").returncode == 64
        assert report.read_text() == ""
    report.unlink()
    elsewhere.write_text("STACK_REQUEST_ID=an-earlier-one\n")
    report.symlink_to(elsewhere)
    assert job("request", "--dotenv", report, "--url", "nonsense").returncode == 64
    assert report.is_symlink() and elsewhere.read_text() == "", "through which it would be written"


def test_who_could_not_be_told_what_he_joined_has_not_joined(job, other, project, tmp_path):
    said = job.request()
    failed = other("join", "--request-id", said["requestId"], "--dotenv", tmp_path)
    assert failed.returncode == 70 and other.files() == []
    assert other("check").returncode == 66
    job.succeeds("check")


# ---- clean ----


def test_a_cleaner_cleans_one_after_the_other_until_it_is_stopped(tmp_path, clone, daemon):
    project = Project(daemon, "--cleaning", "on")
    job, cleaner = Job(project, tmp_path / "job", clone), Job(project, tmp_path / "cleaner", clone)
    for _ in range(2):
        job.succeeds("request")
    for name in ("test-1", "test-2"):
        job.succeeds("release", name, "--outcome", "dirty")
    assert set(project.states.values()) == {"dirty"}
    cleaned = tmp_path / "cleaned"
    running = cleaner.start("clean", "--wait", "60s", "--", "sh", "-c", 'echo "$STACK_NAME" >> "$0"', cleaned)
    until(lambda: set(project.states.values()) == {"available"}, "both are clean")
    again = job.succeeds("request").stdout.strip()
    job.succeeds("release", "--outcome", "dirty")
    until(lambda: cleaned.read_text().count(again) == 2, "it waits for the next one")
    until(lambda: project.states[again] == "available", "and gives it back")
    assert cleaned.read_text().split() == ["test-1", "test-2", again]
    stopped = time.monotonic()
    running.terminate()
    assert running.wait(DEADLINE) == 143, running.stderr.read()
    assert time.monotonic() - stopped < SOON
    assert [q for q in project.queue if q["purpose"] == "clean"] == []


def test_a_cleaner_that_is_stopped_while_it_gives_a_stack_back_cleans_no_other(tmp_path, clone, paused):
    daemon = Coordinator(tmp_path / "data").start()
    project = Project(daemon, "--cleaning", "on")
    job = Job(project, tmp_path, clone)
    job.succeeds("request")
    job.succeeds("release", "--outcome", "dirty")
    cleaned = tmp_path / "cleaned"
    script = 'kill -STOP "$1"; echo >> "$0"'  # so that nobody takes the stack back
    cleaner = job.start("clean", "--wait", "60s", "--", "sh", "-c", script, cleaned, daemon.process.pid)
    until(cleaned.exists, "the command has run")
    paused(daemon.process)  # it is already; and not for good
    stays(lambda: cleaner.poll() is None, 0.5)
    cleaner.terminate()
    assert cleaner.wait(2 * SOON) == 143  # one short try more
    daemon.process.send_signal(signal.SIGCONT)
    daemon.hang_up()
    assert daemon.stop() == 0


def test_a_cleaner_that_fails_three_times_leaves_the_stack_to_a_person(tmp_path, clone, daemon):
    project = Project(daemon, "--cleaning", "on")
    job = Job(project, tmp_path, clone)
    job.succeeds("request")
    job.succeeds("release", "--outcome", "dirty")
    for state in ("dirty", "dirty", "quarantined"):
        assert job("clean", "--once", "--", "false").returncode == 1
        assert project.states == {"test-1": state}
    assert "quarantined" in job.succeeds("history").stdout
