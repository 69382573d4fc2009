"""The agent as CI jobs call it, verb by verb: real clones, the real daemon, and how it all ends."""

import json
import os
import pathlib
import re
import signal
import stat
import subprocess
import time

import pytest
from jobs import Job, Project, commit, head
from programs import AGENT, DEADLINE, git, until

HEX40 = re.compile(r"^[0-9a-f]{40}$")


# ---- request, deployed, release ----


def test_request_prints_the_name_alone(job, project):
    done = job.succeeds("request")
    assert done.stdout == "test-1\n"
    assert project.states == {"test-1": "leased"}
    assert project.stacks["test-1"]["branch"] == "feat/login"
    shell = subprocess.run(
        ["sh", "-c", 'name=$("$0" request) && printf "<%s>" "$name"', AGENT],
        cwd=job.worktree,
        env=job.env,
        capture_output=True,
        text=True,
        check=True,
    )
    assert shell.stdout == "<test-2>"


def test_json_says_all_but_the_secret(job, project):
    said = job.request()
    assert said["stackName"] == "test-1" and said["reused"] is False
    assert said["branch"] == "feat/login" and said["commit"] == head(job.worktree)
    assert re.match(r"^[0-9a-f]{32}$", said["requestId"])
    assert set(said["lease"]) == {"id", "generation", "expires", "expiresInSeconds"}
    assert "sol_" not in json.dumps(said)


def test_what_the_other_verbs_did_is_said_to_programs_too(job, project):
    commit = head(job.worktree)
    for words in (["deployed"], ["hand-over"], ["check"]):
        assert job(*words, "--json").returncode == 66
    assert json.loads(job.succeeds("release", "--json").stdout) == {"released": []}
    said = job.request()
    deployed = json.loads(job.succeeds("deployed", "--json", "--stack-url", "https://a.example").stdout)
    assert deployed == {"stackName": "test-1", "commit": commit, "url": "https://a.example"}
    released = json.loads(job.succeeds("release", "--json", "--outcome", "dirty").stdout)
    assert released == {"released": [{"stackName": "test-1", "outcome": "dirty"}]}
    said = job.request()
    held = json.loads(job.succeeds("hand-over", "--json", "--hold", "10m").stdout)
    assert held == {"stackName": "test-1", "requestId": said["requestId"], "expiresInSeconds": held["expiresInSeconds"]}
    assert 590 <= held["expiresInSeconds"] <= 600


def test_a_command_keeps_its_stdout_and_what_happens_is_told_beside_it(job, project):
    done = job.succeeds("run", "--json", "--", "sh", "-c", "echo from the command")
    assert done.stdout == "from the command\n"
    lines = [json.loads(line) for line in done.stderr.splitlines()]
    assert any("test-1 is ours" in line["msg"] for line in lines) and all(line["level"] == "info" for line in lines)


def test_a_whole_job(job, project):
    job.succeeds("request")
    job.succeeds("deployed", "--stack-url", "https://test-1.example")
    stack = project.stacks["test-1"]
    assert stack["lastDeployedCommit"] == head(job.worktree) and stack["url"] == "https://test-1.example"
    assert stack["lease"]["holder"]["provider"] == "local"
    assert job.succeeds("release").stdout == ""
    assert project.states == {"test-1": "available"}
    assert project.stacks["test-1"]["lastDeployedCommit"] == head(job.worktree)
    assert job.files() == []
    assert job.request()["lastDeployedCommit"] == head(job.worktree)


def test_release_again_says_so_and_is_no_failure(job, project):
    assert "no stack" in job.succeeds("release").stderr
    job.succeeds("request")
    job.succeeds("release")
    before = project.kinds
    done = job.succeeds("release")
    assert "no stack" in done.stderr and done.stdout == ""
    assert project.kinds == before


def test_without_a_lease_the_others_say_so(job):
    done = job("deployed")
    assert done.returncode == 66 and "stack-agent request" in done.stderr


def test_several_leases_want_a_name(job, project):
    assert [job.succeeds("request").stdout for _ in range(2)] == ["test-1\n", "test-2\n"]
    for verb in ("deployed", "release"):
        done = job(verb)
        assert done.returncode == 64 and "test-1" in done.stderr and "test-2" in done.stderr
    assert job("release", "test-9").returncode in (0, 66)
    assert project.states == {"test-1": "leased", "test-2": "leased"}
    job.succeeds("deployed", "test-2")
    job.succeeds("release", "test-1")
    assert project.states == {"test-1": "available", "test-2": "leased"}
    job.succeeds("release")
    assert project.states == {"test-1": "available", "test-2": "available"}


def test_outcome_and_note_arrive(job, project):
    job.succeeds("request")
    job.succeeds("release", "--outcome", "broken", "--note", "disk full")
    assert project.states == {"test-1": "quarantined"}
    last = project.events[-1]
    assert (last["outcome"], last["note"]) == ("broken", "disk full")
    job.succeeds("request")
    job.succeeds("deployed")
    job.succeeds("release", "--outcome", "dirty")
    assert "lastDeployedCommit" not in project.stacks["test-2"]


def test_a_lease_that_an_operator_ended_is_76(job, project):
    job.succeeds("request")
    project.daemon.admin("stack", "release", project.name, "test-1", "--now")
    assert job("deployed").returncode == 76
    done = job("release")
    assert done.returncode == 76 and "forced" in done.stderr
    assert "no stack" in job.succeeds("release").stderr


def test_a_name_that_cannot_be_printed_is_no_success(job, project):
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [AGENT, "request"], cwd=job.worktree, env=job.env, stdout=full, stderr=subprocess.PIPE, check=False
        )
    assert done.returncode == 70
    job.succeeds("release")
    assert "leased" not in project.states.values()


@pytest.mark.parametrize("words", ["request", "list", "history"])
def test_nothing_is_told_on_a_closed_stdout(job, project, words):
    closing = ["sh", "-c", 'exec "$0" "$@" >&-', AGENT, words]
    done = subprocess.run(closing, cwd=job.worktree, env=job.env, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 70 and done.stderr
    job.succeeds("release")
    assert "leased" not in project.states.values()


# ---- run ----


def test_run_gives_the_stack_to_the_command_and_back(job, project):
    script = 'printf "%s %s %s" "$STACK_NAME" "$STACK_GENERATION" "${STACK_LAST_DEPLOYED_COMMIT-none}"'
    done = job.succeeds("run", "--", "sh", "-c", script)
    name, generation, last = done.stdout.split()
    assert name == "test-1" and int(generation) > 1_600_000_000_000 and last == "none"
    assert project.states == {"test-1": "available"} and job.files() == []
    assert project.kinds[-2:] == ["granted", "released"]
    job.succeeds("run", "--", AGENT, "deployed")
    assert project.stacks["test-1"]["lastDeployedCommit"] == head(job.worktree)
    assert job.succeeds("run", "--", "sh", "-c", script).stdout.split()[2] == head(job.worktree)


@pytest.mark.parametrize(
    ("command", "status"),
    [("exit 7", 7), ("exit 255", 255), ("kill -9 $$", 137), ("kill -TERM $$", 143), ("kill -SEGV $$", 139)],
)
def test_run_passes_on_how_the_command_ended(job, project, command, status):
    first = commit(job.worktree, "two\n")
    job.succeeds("run", "--", AGENT, "deployed")
    commit(job.worktree, "three\n")
    assert project.stacks["test-1"]["lastDeployedCommit"] == first
    done = job("run", "--", "sh", "-c", command)
    assert done.returncode == status, done.stderr
    # It ended in the middle of deploying another commit: nobody knows what is there now.
    assert project.states == {"test-1": "available"}
    assert "lastDeployedCommit" not in project.stacks["test-1"]
    assert project.events[-1]["outcome"] == "dirty"


def test_a_failure_after_the_deploy_leaves_the_stack_known(job, project):
    done = job("run", "--", "sh", "-c", '"$0" deployed && exit 3', AGENT)
    assert done.returncode == 3
    assert project.stacks["test-1"]["lastDeployedCommit"] == head(job.worktree)
    # Nothing to deploy: the stack had this commit before, so failing tests leave it known too.
    assert job("run", "--", "false").returncode == 1
    assert project.stacks["test-1"]["lastDeployedCommit"] == head(job.worktree)


def test_run_of_what_is_not_there_is_127_and_keeps_no_stack(job, project, tmp_path):
    assert job("run", "--", "no-such-program").returncode == 127
    plain = tmp_path / "plain"
    plain.write_text("x")
    assert job("run", "--", plain).returncode == 126
    assert project.states == {"test-1": "available"}


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130), (signal.SIGHUP, 129)])
def test_a_cancelled_run_is_given_back_at_once(job, project, tmp_path, number, status):
    marker = tmp_path / "runs"
    running = job.start("run", "--", "sh", "-c", 'echo $$ > "$0"; exec sleep 60', marker)
    pid = int(until(lambda: marker.exists() and marker.read_text(), "the command runs"))
    assert project.states == {"test-1": "leased"}
    started = time.monotonic()
    running.send_signal(number)
    assert running.wait(DEADLINE) == status, running.stderr.read()
    assert time.monotonic() - started < 2
    assert project.states == {"test-1": "available"}
    assert not pathlib.Path(f"/proc/{pid}").exists()


def test_what_the_command_left_running_is_stopped(job, project, tmp_path):
    marker = tmp_path / "left"
    job.succeeds("run", "--", "sh", "-c", 'sleep 60 & echo $! > "$0"', marker)
    assert not pathlib.Path(f"/proc/{marker.read_text().strip()}").exists()
    stubborn = tmp_path / "stubborn.sh"
    stubborn.write_text("trap '' TERM; echo $$ > \"$1\"; while :; do sleep 1; done")
    left = tmp_path / "stubborn"
    job.succeeds("run", "--", "sh", "-c", 'sh "$0" "$1" & while [ ! -s "$1" ]; do :; done', stubborn, left)
    assert not pathlib.Path(f"/proc/{left.read_text().strip()}").exists()


def test_a_lease_lost_under_the_command_is_76(job, project, tmp_path):
    marker = tmp_path / "runs"
    go_on = tmp_path / "go-on"
    running = job.start("run", "--", "sh", "-c", 'echo x > "$0"; while [ ! -e "$1" ]; do :; done', marker, go_on)
    until(lambda: marker.exists() and marker.read_text(), "the command runs")
    project.daemon.admin("stack", "release", project.name, "test-1", "--now")
    go_on.touch()
    assert running.wait(DEADLINE) == 76


def test_the_command_reads_our_input_and_its_words_are_its_own(job):
    done = subprocess.run(
        [AGENT, "run", "--", "sh", "-c", 'cat; printf "<%s>" "$@"', "sh", "--json", "-x", "", "a b", "--"],
        cwd=job.worktree,
        env=job.env,
        input="from outside\n",
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "from outside\n<--json><-x><><a b><-->"


# ---- what goes wrong ----


def test_a_full_pool_is_75(daemon, tmp_path, clone):
    project = Project(daemon, "--max-stacks", "1")
    Job(project, tmp_path / "a", clone).succeeds("request")
    other = Job(project, tmp_path / "b", clone)
    assert other("request", "--wait", "0").returncode == 75
    late = other("request", "--wait", "1s")
    assert late.returncode == 75 and "--max-stacks" in late.stderr and "202" not in late.stderr
    assert other("run", "--wait", "0", "--", "touch", tmp_path / "ran").returncode == 75
    assert not (tmp_path / "ran").exists() and other.files() == []


def test_keys_that_do_not_open(job, project, daemon):
    stranger = f"sok_{project.name}_0123456789abcdef_{'0' * 72}"
    for key in ("no-such-key-at-all", stranger, project.key[:-1] + ("0" if project.key[-1] != "0" else "1")):
        for words in (["request"], ["list"], ["run", "--", "true"]):
            done = job(*words, STACK_AGENT_KEY=key)
            assert done.returncode == 77 and key not in done.stderr
    for key in ("", " ", "\n", "a b", "a\r\nX-Evil: 1", "é" * 20, "x" * 300):
        done = job("request", STACK_AGENT_KEY=key)
        assert done.returncode == 77 and "STACK_AGENT_KEY" in done.stderr
    read = json.loads(daemon.admin("key", "create", project.name, "--scope", "read", "--json").stdout)["key"]
    assert job("list", STACK_AGENT_KEY=read).returncode == 0
    assert job("request", STACK_AGENT_KEY=read).returncode == 77
    assert project.states == {} and job.files() == []


def test_a_key_from_a_file(job, project, tmp_path):
    path = tmp_path / "key"
    path.write_text(project.key + "\r\n")
    job.succeeds("list", "--key-file", path, STACK_AGENT_KEY="wrong-key-in-here")
    job.succeeds("list", STACK_AGENT_KEY_FILE=str(path), STACK_AGENT_KEY="")
    for content in ("", "\n", "a\nb\n", "x" * 100_000):
        path.write_text(content)
        assert job("list", "--key-file", path).returncode == 77
    assert job("list", "--key-file", tmp_path / "nowhere").returncode == 77


def is_alive(pid):
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(") ", 1)[1][0] not in "ZX"
    except FileNotFoundError:
        return False


def is_guarded(running):
    """The guard is told of the command before the agent watches it, by a pidfd."""
    names = [os.readlink(fd) for fd in pathlib.Path(f"/proc/{running.pid}/fd").iterdir() if fd.is_symlink()]
    return any("pidfd" in name for name in names)


@pytest.mark.parametrize("ignored", ["", "trap '' TERM;"])
def test_a_killed_run_takes_its_command_along_and_release_gives_back(job, project, tmp_path, ignored):
    marker = tmp_path / "runs"
    script = f'{ignored} sleep 60 & echo $$ $! > "$0.new"; mv "$0.new" "$0"; wait; sleep 60'
    running = job.start("run", "--", "sh", "-c", script, marker, start_new_session=True)
    pids = until(lambda: marker.exists() and marker.read_text(), "the command runs").split()
    until(lambda: is_guarded(running), "its guard knows it")
    running.kill()
    out, _ = running.communicate()  # nobody keeps its output open
    until(lambda: not any(is_alive(pid) for pid in pids), "all of it has ended")

    def is_given_back():
        job.succeeds("release")
        return project.states == {"test-1": "available"}

    assert project.states == {"test-1": "leased"}
    until(is_given_back, "its guard has ended too")
    assert job.files() == []
    assert project.events[-1]["outcome"] == "dirty"


def test_a_killed_run_whose_lease_is_over_fails_nobodys_release(job, project):
    running = job.start("run", "--", "sh", "-c", "echo runs; exec sleep 60", start_new_session=True)
    assert running.stdout.readline() == "runs\n"
    until(lambda: is_guarded(running), "its guard knows it")
    running.kill()
    running.communicate()
    project.daemon.admin("stack", "release", project.name, "test-1", "--now")

    def is_forgotten():
        job.request()
        done = job.succeeds("release")
        return "over already" in done.stderr

    until(is_forgotten, "its guard has ended")
    assert job.files() == []


def test_the_command_of_a_run_is_told_why_it_has_no_key(job):
    done = job("run", "--", AGENT, "list")
    assert done.returncode == 77 and "`run` gives its command no key" in done.stderr


def test_agents_at_once_get_a_stack_each(daemon, tmp_path, clone):
    project = Project(daemon, "--max-stacks", "3")
    asking = [Job(project, tmp_path / str(n), clone).start("request", "--wait", "0") for n in range(10)]
    ended = [(a.communicate()[0], a.returncode) for a in asking]
    assert sorted(out for out, status in ended if status == 0) == ["test-1\n", "test-2\n", "test-3\n"]
    assert sorted(status for _, status in ended) == [0] * 3 + [75] * 7
    assert all(out == "" for out, status in ended if status != 0)


# ---- secrets ----


def test_the_commit_that_is_deployed_is_a_hash(job, project):
    refused = job("request", "--commit", "HEAD")
    assert refused.returncode == 64 and "leave it out" in refused.stderr
    job.succeeds("request", "--commit", head(job.worktree))
    refused = job("deployed", "--commit", "HEAD")
    assert refused.returncode == 64 and "leave it out" in refused.stderr
    assert "lastDeployedCommit" not in project.stacks["test-1"]
    assert job.succeeds("deployed", "--commit", head(job.worktree)).stderr.count("no full hash") == 0
    assert "no full hash" in job.succeeds("deployed", "--commit", head(job.worktree)[:12]).stderr


def test_git_dir_names_the_repository_as_it_does_for_git(job, tmp_path):
    """Git sets it for its hooks."""
    other = tmp_path / "other"
    git("clone", "-q", job.worktree, other)
    git("checkout", "-q", "-b", "elsewhere", cwd=other)
    said = job.request("--state-dir", tmp_path / "hook", GIT_DIR=str(other / ".git"))
    assert said["branch"] == "elsewhere" and said["commit"] == head(other)
    named = job.request("--state-dir", tmp_path / "named", "--worktree", other)
    assert named["branch"] == "elsewhere"


def test_the_key_is_nowhere_but_in_our_own_environment(job, project, tmp_path):
    seen = tmp_path / "seen"
    script = """cat /proc/self/environ /proc/$PPID/cmdline /proc/self/cmdline > "$0"
                "$1" list --log-level debug >> "$0" 2>&1; true"""
    done = job.succeeds("run", "--log-level", "debug", "--", "sh", "-c", script, seen, AGENT)
    secret = project.key.rsplit("_", 1)[1]
    for text in (seen.read_text(), done.stdout, done.stderr):
        assert project.key not in text and secret not in text and "sol_" not in text
    said = job.succeeds("request", "--json", "--log-level", "debug")
    assert project.key not in said.stdout + said.stderr and "sol_" not in said.stdout + said.stderr
    files = job.files()
    assert files
    for path in files:
        assert secret not in path.read_text()
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(job.state.stat().st_mode) == 0o700
    assert job("--key", project.key, "list").returncode == 64  # there is no such option


def test_a_state_folder_that_others_have_a_hand_in_is_refused(job, project, tmp_path):
    job.state.mkdir(mode=0o777)
    job.state.chmod(0o777)
    done = job("request")
    assert done.returncode == 70 and "--state-dir" in done.stderr
    job.state.rmdir()
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    job.state.symlink_to(tmp_path / "elsewhere")
    assert job("request").returncode == 70
    assert project.states == {}


def test_state_files_that_are_none_block_nothing(job, project):
    job.succeeds("request")
    good = job.files()[0]
    os.mkfifo(job.state / "lease-0123456789abcdef.json", 0o600)
    (job.state / "lease-1123456789abcdef.json").symlink_to("/etc/passwd")
    (job.state / "lease-2123456789abcdef.json").mkdir()
    for n, content in enumerate(["", "{", "[]", '{"requestId":5}', "x" * 100_000, '{"requestId":"0123456789abcdef"}']):
        path = job.state / f"lease-3123456789abcde{n}.json"
        path.write_text(content)
        path.chmod(0o600)
    done = job("release", timeout=5)
    assert done.returncode == 0, done.stderr
    assert project.states == {"test-1": "available"} and not good.exists()


# ---- other verbs ----


def test_join_shares_the_stack_and_never_takes_one(job, project, tmp_path, clone):
    said = job.request()
    other = Job(project, tmp_path / "other", clone)
    assert other("join").returncode == 64
    assert other("join", "--request-id", "not/an/id/at/all").returncode == 64
    assert other("join", "--request-id", "0123456789abcdef").returncode == 66
    joined = json.loads(other.succeeds("join", "--json", STACK_REQUEST_ID=said["requestId"]).stdout)
    assert joined["stackName"] == "test-1" and joined["lease"]["generation"] == said["lease"]["generation"]
    other.succeeds("deployed")
    assert project.stacks["test-1"]["lastDeployedCommit"] == head(clone)
    job.succeeds("release")
    assert project.states == {"test-1": "available"}
    assert other("join", "--request-id", said["requestId"]).returncode == 76


def test_list_history_and_delete_last(job, project):
    assert "no stacks" in job.succeeds("list").stdout
    assert job.succeeds("delete-last").stdout == "No more stack\n"
    job.succeeds("request", "--branch", "feat/a", "--holder-note", "nightly")
    job.succeeds("request", "--branch", "feat/b")
    shown = job.succeeds("list").stdout
    for word in ("test-1", "test-2", "leased", "feat/a", "feat/b", "nightly"):
        assert word in shown
    assert [s["number"] for s in json.loads(job.succeeds("list", "--json").stdout)["stacks"]] == [1, 2]
    history = job.succeeds("history").stdout
    assert "granted" in history and "test-2" in history
    assert "test-2" not in job.succeeds("history", "test-1").stdout
    limited = json.loads(job.succeeds("history", "--limit", "1", "--json").stdout)["events"]
    assert len(limited) == 1 and limited[0]["stackName"] == "test-2"
    first = json.loads(job.succeeds("history", "--after", "0", "--limit", "1", "--json").stdout)["events"]
    rest = json.loads(job.succeeds("history", "--after", str(first[0]["id"]), "--json").stdout)["events"]
    assert first[0]["kind"] == "project-created" and rest[0]["id"] == first[0]["id"] + 1 and rest[-1] == limited[0]
    assert job("history", "--limit", "0").returncode == 64 and job("history", "--limit", "201").returncode == 64
    assert job.succeeds("delete-last").stdout == "Stack test-2 deleted\n"
    assert project.states == {"test-1": "leased", "test-2": "retiring"}
    job.succeeds("release", "test-2")
    assert project.states == {"test-1": "leased"}


WRONG_CALLS = [
    "",
    "relase",
    "request x",
    "request --lease soon",
    "request --lease 1s",
    "request --lease 2d",
    "run",
    "run --",
    "list --colour",
    "release --outcome fine",
    "request --key x",
    "release a b",
    "request --branch",
    "history --limit -1",
    "request --wait 8d",
]


@pytest.mark.parametrize("words", WRONG_CALLS)
def test_a_wrong_call_is_64_and_points_at_help(job, words):
    done = job(*words.split())
    assert done.returncode == 64 and "--help" in done.stderr and done.stdout == ""
