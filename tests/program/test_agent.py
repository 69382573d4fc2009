"""The agent as CI jobs run it: real clones, the real daemon, all transports, and whatever goes wrong in between."""

import contextlib
import itertools
import json
import os
import pathlib
import re
import select
import shutil
import signal
import socket
import stat
import subprocess
import threading
import time

import pytest
from programs import AGENT, Coordinator, agent, agent_environment, git

DEADLINE = 20
HEX40 = re.compile(r"^[0-9a-f]{40}$")


def until(condition, what, seconds=DEADLINE):
    """Polls; there is nothing to wait on in another process but time."""
    end = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < end, f"never: {what}"
        select.select([], [], [], 0.01)
    return value


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    folder = tmp_path_factory.mktemp("certificate")
    subprocess.run(
        [
            "openssl",
            "req",
            "-x509",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-days",
            "2",
            "-subj",
            "/CN=localhost",
            "-addext",
            "subjectAltName=DNS:localhost,IP:127.0.0.1",
            "-keyout",
            "key.pem",
            "-out",
            "cert.pem",
        ],
        check=True,
        capture_output=True,
        cwd=folder,
    )
    return folder


@pytest.fixture(scope="module")
def daemon(tmp_path_factory, certificate):
    folder = tmp_path_factory.mktemp("agent")
    options = [
        "--https",
        "127.0.0.1:0",
        "--nng",
        f"ipc://{folder}/rpc",
        "--nng",
        "tls+tcp://127.0.0.1:0",
        "--tls-cert",
        certificate / "cert.pem",
        "--tls-key",
        certificate / "key.pem",
    ]
    coordinator = Coordinator(folder / "data", *options).start()
    yield coordinator
    assert coordinator.stop() == 0, "".join(coordinator.log)


PROJECTS = itertools.count(1)


class Project:
    """A project of a test's own: what its key sees."""

    def __init__(self, daemon, *options):
        self.daemon, self.name = daemon, f"p{next(PROJECTS)}"
        self.key = daemon.project(self.name, *options)
        self.http = daemon.http(self.key)

    @property
    def stacks(self):
        return {s["stackName"]: s for s in self.http.call("listStacks").body["stacks"]}

    @property
    def states(self):
        return {name: s["state"] for name, s in self.stacks.items()}

    @property
    def kinds(self):
        return [e["kind"] for e in self.http.call("listEvents", {"after": 0}).body["events"]]


class Job:
    """One CI job: a worktree, a state folder, an environment without anything of the machine's CI."""

    def __init__(self, project, folder, worktree, url=None, **more):
        self.project, self.worktree, self.state = project, worktree, pathlib.Path(folder) / "state"
        home = pathlib.Path(folder) / "home"
        home.mkdir(parents=True, exist_ok=True)
        self.env = agent_environment(url or project.daemon, project.key, self.state)
        for name in ("XDG_CONFIG_HOME", "XDG_RUNTIME_DIR", "XDG_CACHE_HOME", "GIT_DIR", "GIT_WORK_TREE"):
            self.env.pop(name, None)
        self.env |= {"HOME": str(home), "GIT_CONFIG_NOSYSTEM": "1", "NO_PROXY": "*", "no_proxy": "*", **more}

    def __call__(self, *words, timeout=60, **env):
        return agent(*words, cwd=self.worktree, env={**self.env, **env}, timeout=timeout)

    def start(self, *words, **more):
        return subprocess.Popen(
            [AGENT, *[str(w) for w in words]],
            cwd=self.worktree,
            env=self.env,
            text=True,
            **{"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **more},
        )

    def request(self, *words, **env):
        """What `request --json` says."""
        done = self("request", "--wait", "5s", *words, "--json", **env)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def files(self):
        return [p for p in self.state.rglob("*") if p.is_file()]

    def texts(self):
        """Of the files there are; one that is replaced meanwhile may be gone under its first name."""
        for path in self.files():
            with contextlib.suppress(FileNotFoundError):
                yield path.read_text()

    def succeeds(self, *words, **env):
        done = self(*words, **env)
        assert done.returncode == 0, (words, done.stderr)
        return done


@pytest.fixture
def project(daemon):
    return Project(daemon, "--max-stacks", "3")


@pytest.fixture
def job(project, tmp_path, clone):
    return Job(project, tmp_path, clone)


def head(folder):
    return git("rev-parse", "HEAD", cwd=folder)


def commit(folder, text):
    (folder / "page").write_text(text)
    git("commit", "-q", "-a", "-m", text.strip(), cwd=folder)
    return head(folder)


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
    last = project.http.call("listEvents", {"after": 0}).body["events"][-1]
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
    assert project.http.call("listEvents", {"after": 0}).body["events"][-1]["outcome"] == "dirty"


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


@pytest.fixture
def dead():
    """A port where nobody listens, and stays so."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        yield f"127.0.0.1:{sock.getsockname()[1]}"


@pytest.mark.parametrize("scheme", ["http", "https", "tcp", "tls+tcp"])
def test_nobody_there_is_69_by_the_deadline(job, dead, scheme):
    started = time.monotonic()
    done = job("request", "--url", f"{scheme}://{dead}", "--wait", "2s")
    assert done.returncode == 69 and dead in done.stderr
    assert 1 < time.monotonic() - started < 4
    started = time.monotonic()
    assert job("request", "--url", f"{scheme}://{dead}", "--wait", "0").returncode == 69
    assert time.monotonic() - started < 2
    assert job.files() == []


OTHERS = [
    b"",
    b"SSH-2.0-x\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}",
    b"HTTP/1.1 200 OK\r\n\r\nnot json",
    b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1/\r\n\r\n",
    b'HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n{"stackName"',
    b'HTTP/1.1 200 OK\r\nContent-Length: 46\r\n\r\n{"stackName":"x\\u001b[31m y", "reused": false} ',
    b"HTTP/1.1 500 \x1b[31mX\r\nContent-Length: 9\r\n\r\n\x1b[31mred\n",
]


@pytest.mark.parametrize("speech", OTHERS)
def test_somebody_else_there_is_no_success(job, speech):
    """What answers there is no coordinator: no name on stdout, never 0, no raw escape on the terminal."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        stop = threading.Event()

        def serve():
            server.settimeout(0.1)
            while not stop.is_set():
                with contextlib.suppress(OSError):
                    connection, _ = server.accept()
                    with connection:
                        connection.settimeout(5)
                        connection.recv(65536)
                        connection.sendall(speech)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            done = job("request", "--url", f"http://127.0.0.1:{server.getsockname()[1]}", "--wait", "1s", timeout=20)
        finally:
            stop.set()
            thread.join()
    assert done.returncode in (64, 69, 70) and done.stdout == ""
    assert "\x1b" not in done.stderr


def test_several_addresses_the_first_dead(job, project, dead, daemon):
    done = job.succeeds("request", "--url", f"http://{dead}", "--url", daemon.url)
    assert done.stdout == "test-1\n"
    job.succeeds("release")  # knows both addresses
    both = f"tcp://{dead} http://{dead} {daemon.url}"
    job.succeeds("run", "--", "true", STACK_AGENT_URL=both)
    assert project.states == {"test-1": "available"}


NO_ADDRESSES = ["", "127.0.0.1:7878", "ftp://x", "http://", "file:///etc/passwd", "tcp://", "http://a b"]


@pytest.mark.parametrize("url", NO_ADDRESSES)
def test_an_address_that_is_none_is_a_mistake_in_the_call(job, url):
    done = job("list", STACK_AGENT_URL=url)
    assert done.returncode == 64, done.stderr


class Relay:
    """A TCP relay before the daemon that can swallow answers: what a network does at the worst moment."""

    def __init__(self, address):
        host, port = address.rsplit(":", 1)
        self.target = host, int(port)
        self.server = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self.server.getsockname()[1]}"
        self.swallow = 0  # so many answers from now on; the connection is cut instead
        self.hold = threading.Event()  # cleared: answers wait
        self.hold.set()
        self.answered = threading.Event()  # the daemon has answered something
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        with contextlib.suppress(OSError):
            while True:
                client, _ = self.server.accept()
                threading.Thread(target=self.relay, args=(client,), daemon=True).start()

    def relay(self, client):
        with contextlib.suppress(OSError), client, socket.create_connection(self.target) as server:
            while True:
                ready, _, _ = select.select([client, server], [], [])
                if client in ready:
                    data = client.recv(65536)
                    if not data:
                        return
                    server.sendall(data)
                if server in ready:
                    data = server.recv(65536)
                    self.answered.set()
                    self.hold.wait()
                    if not data or self.swallow > 0:
                        self.swallow -= 1
                        return
                    client.sendall(data)

    def close(self):
        self.hold.set()
        self.server.close()


@pytest.fixture
def relay(daemon):
    relay = Relay(daemon.ready["http"])
    yield relay
    relay.close()


def test_a_lost_answer_takes_no_second_stack(job, project, relay):
    relay.swallow = 2
    done = job.succeeds("request", "--url", f"http://{relay.address}", "--wait", "20s")
    assert done.stdout == "test-1\n"
    assert project.states == {"test-1": "leased"} and project.kinds.count("granted") == 1
    relay.swallow = 1
    job.succeeds("release")
    assert project.states == {"test-1": "available"} and project.kinds.count("released") == 1


def test_an_answer_that_never_comes_leaves_nothing_behind(job, project, relay):
    relay.swallow = 1000
    done = job("request", "--url", f"http://{relay.address}", "--wait", "1s")
    assert done.returncode == 69 and done.stdout == ""
    relay.swallow = 0
    job.succeeds("release")  # takes the request back, whatever became of it
    assert "leased" not in project.states.values() and job.files() == []


def test_killed_before_the_answer_the_next_call_takes_it_back(job, project, relay):
    relay.hold.clear()
    asking = job.start("request", "--url", f"http://{relay.address}")
    assert relay.answered.wait(DEADLINE)
    asking.kill()
    asking.wait()
    assert project.states == {"test-1": "leased"}
    relay.hold.set()
    job.succeeds("release")
    assert project.states == {"test-1": "available"} and job.files() == []


def test_stopped_while_it_waits_for_an_answer(job, project, relay):
    relay.hold.clear()
    asking = job.start("request", "--url", f"http://{relay.address}")
    assert relay.answered.wait(DEADLINE)
    asking.send_signal(signal.SIGTERM)
    until(lambda: asking.poll() is not None, "it ends", 5)
    assert asking.returncode == 143 and asking.stdout.read() == ""
    relay.hold.set()
    job.succeeds("release")
    assert "leased" not in project.states.values() and job.files() == []


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
    assert project.http.call("listEvents", {"after": 0}).body["events"][-1]["outcome"] == "dirty"


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


# ---- transports ----


@pytest.fixture(params=["http", "https", "tcp", "tls+tcp", "ipc"])
def address(request, daemon):
    if request.param == "http":
        return daemon.url
    if request.param == "https":
        return f"https://{daemon.ready['https']}"
    url = next(url for url in daemon.ready["nng"] if url.startswith(f"{request.param}://"))
    # The TLS of Debian's nng compares certificates with names only, not with addresses.
    return url.replace("127.0.0.1", "localhost") if request.param == "tls+tcp" else url


def test_every_transport_serves_a_whole_job(address, project, tmp_path, clone, certificate):
    job = Job(project, tmp_path, clone, address, STACK_AGENT_CA_FILE=str(certificate / "cert.pem"))
    said = job.request()
    assert said["stackName"] == "test-1"
    other = Job(project, tmp_path / "other", clone, address, STACK_AGENT_CA_FILE=str(certificate / "cert.pem"))
    assert other.succeeds("join", "--request-id", said["requestId"]).stdout == "test-1\n"
    job.succeeds("deployed")
    assert json.loads(job.succeeds("list", "--json").stdout)["stacks"][0]["lastDeployedCommit"] == head(clone)
    job.succeeds("release")
    job.succeeds("run", "--", "true")
    assert project.states == {"test-1": "available"}
    assert "deployed" in job.succeeds("history").stdout
    assert job("request", STACK_AGENT_KEY="some-wrong-key").returncode == 77
    job.succeeds("delete-last")
    assert project.states == {}


@pytest.mark.parametrize("scheme", ["https", "tls+tcp"])
def test_nobody_is_trusted_without_reason(scheme, project, tmp_path, clone, certificate):
    """A self-signed certificate that nobody named, another one's, and the right one under a wrong name."""
    ready = project.daemon.ready
    port = ready["https"].rsplit(":", 1)[1]
    if scheme == "tls+tcp":
        port = next(u for u in ready["nng"] if u.startswith("tls+tcp")).rsplit(":", 1)[1]
    other = tmp_path / "other"
    other.mkdir()
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=other", "-keyout", "k", "-out", "c"],
        check=True,
        capture_output=True,
        cwd=other,
    )
    job = Job(project, tmp_path, clone, f"{scheme}://localhost:{port}")
    for words in ([], ["--ca-file", other / "c"]):
        done = job("request", "--wait", "1s", *words)
        assert done.returncode == 69 and done.stdout == "", done.stderr
    wrong_name = Job(project, tmp_path, clone, f"{scheme}://127.0.0.2:{port}")
    assert wrong_name("request", "--wait", "1s", "--ca-file", certificate / "cert.pem").returncode == 69
    assert "granted" not in project.kinds
    done = job("list", "--ca-file", tmp_path / "nowhere")
    assert done.returncode == 64 and "nowhere" in done.stderr
    job.succeeds("request", SSL_CERT_FILE=str(certificate / "cert.pem"))
    job.succeeds("release")  # the state file knows whom to trust


def test_a_path_before_the_operations_is_kept(job, daemon):
    """Behind a proxy: http://host/stacks/requestStack. Here nothing is there, and that is told."""
    done = job("list", STACK_AGENT_URL=f"{daemon.url}/stacks/")
    assert done.returncode == 64 and "operation" in done.stderr


# ---- secrets ----


def test_the_commit_that_is_deployed_is_a_hash(job, project):
    job.succeeds("request")
    refused = job("deployed", "--commit", "HEAD")
    assert refused.returncode == 64 and "leave it out" in refused.stderr
    assert "lastDeployedCommit" not in project.stacks["test-1"]


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


# ---- which branch and commit ----

GITHUB = {
    "GITHUB_ACTIONS": "true",
    "GITHUB_REPOSITORY": "acme/web",
    "GITHUB_RUN_ID": "17",
    "GITHUB_ACTOR": "anna",
    "GITHUB_SERVER_URL": "https://github.example",
    "GITHUB_SHA": "f" * 40,
}
GITLAB = {
    "GITLAB_CI": "true",
    "CI_PROJECT_PATH": "acme/web",
    "CI_COMMIT_SHA": "f" * 40,
    "CI_JOB_URL": "https://gl.example/7",
}
CI_BRANCHES = [
    ({**GITHUB, "GITHUB_EVENT_NAME": "push", "GITHUB_REF": "refs/heads/feat/x", "GITHUB_REF_NAME": "feat/x"}, "feat/x"),
    (
        {
            **GITHUB,
            "GITHUB_EVENT_NAME": "pull_request",
            "GITHUB_REF": "refs/pull/7/merge",
            "GITHUB_REF_NAME": "7/merge",
            "GITHUB_HEAD_REF": "feat/pr",
            "GITHUB_BASE_REF": "main",
        },
        "feat/pr",
    ),
    (
        {
            **GITHUB,
            "GITHUB_EVENT_NAME": "pull_request_target",
            "GITHUB_REF": "refs/heads/main",
            "GITHUB_REF_NAME": "main",
            "GITHUB_HEAD_REF": "feat/target",
            "GITHUB_BASE_REF": "main",
        },
        "feat/target",
    ),
    (
        {
            **GITHUB,
            "GITHUB_EVENT_NAME": "merge_group",
            "GITHUB_REF_NAME": "gh-readonly-queue/rel/2/pr-7-abc",
            "GITHUB_REF": "refs/heads/gh-readonly-queue/rel/2/pr-7-abc",
        },
        "rel/2",
    ),
    (
        {
            **GITHUB,
            "GITHUB_EVENT_NAME": "push",
            "GITHUB_REF": "refs/tags/v1",
            "GITHUB_REF_NAME": "v1",
            "GITHUB_REF_TYPE": "tag",
        },
        "v1",
    ),
    ({**GITHUB, "GITHUB_EVENT_NAME": "schedule", "GITHUB_REF": "refs/heads/main", "GITHUB_REF_NAME": "main"}, "main"),
    (
        {**GITHUB, "GITHUB_EVENT_NAME": "workflow_dispatch", "GITHUB_REF": "refs/heads/rel", "GITHUB_REF_NAME": "rel"},
        "rel",
    ),
    ({**GITLAB, "CI_COMMIT_REF_NAME": "feat/gl", "CI_COMMIT_BRANCH": "feat/gl"}, "feat/gl"),
    (
        {
            **GITLAB,
            "CI_COMMIT_REF_NAME": "refs/merge-requests/7/head",
            "CI_MERGE_REQUEST_SOURCE_BRANCH_NAME": "feat/mr",
        },
        "feat/mr",
    ),
    ({**GITLAB, "CI_COMMIT_REF_NAME": "v2", "CI_COMMIT_TAG": "v2"}, "v2"),
    ({"JENKINS_URL": "https://j", "CHANGE_BRANCH": "feat/j", "BRANCH_NAME": "PR-7"}, "feat/j"),
    ({"JENKINS_URL": "https://j", "GIT_BRANCH": "origin/feat/j2"}, "feat/j2"),
    ({"CIRCLECI": "true", "CIRCLE_BRANCH": "feat/c"}, "feat/c"),
]


@pytest.mark.parametrize(("variables", "branch"), CI_BRANCHES, ids=[b for _, b in CI_BRANCHES])
def test_the_branch_is_what_ci_says(job, variables, branch):
    git("checkout", "-q", "--detach", cwd=job.worktree)
    said = job.request(**variables)
    assert said["branch"] == branch
    assert said["commit"] == head(job.worktree), "never CI's own variable"


def test_a_flag_counts_before_ci_and_ci_before_git(job):
    push = {**GITHUB, "GITHUB_EVENT_NAME": "push", "GITHUB_REF": "refs/heads/ci", "GITHUB_REF_NAME": "ci"}
    assert job.request(**push)["branch"] == "ci"
    assert job.request(STACK_AGENT_BRANCH="twin", **push)["branch"] == "twin"
    assert job.request("--branch", "flag", "--commit", "abc", STACK_AGENT_BRANCH="twin", **push)["branch"] == "flag"


def test_who_asks_is_shown(job, project):
    job.request(**GITHUB, GITHUB_REF="refs/heads/x", GITHUB_REF_NAME="x", GITHUB_JOB="e2e", GITHUB_RUN_ATTEMPT="2")
    assert project.stacks["test-1"]["lease"]["holder"] == {
        "provider": "github",
        "repository": "acme/web",
        "run": "17",
        "attempt": "2",
        "job": "e2e",
        "actor": "anna",
        "link": "https://github.example/acme/web/actions/runs/17",
    }


def test_a_holder_that_is_too_much_never_fails_a_request(job, project):
    said = job.request(
        **{
            **GITHUB,
            "GITHUB_REF_NAME": "x",
            "GITHUB_REF": "refs/heads/x",
            "GITHUB_JOB": "é" * 5000,
            "GITHUB_ACTOR": "a\x1b[31m\nb",
            "GITHUB_REPOSITORY": "r" * 5000,
            "GITHUB_SERVER_URL": "javascript:alert(1)",
        },
        STACK_AGENT_HOLDER_NOTE="n" * 5000,
    )
    assert said["stackName"] == "test-1"
    holder = project.stacks["test-1"]["lease"]["holder"]
    assert all(c.isprintable() for value in holder.values() for c in value) and "link" not in holder


@pytest.fixture
def origin(clone):
    return clone.parent / "origin"


def ask(project, folder, worktree, **more):
    said = Job(project, folder, worktree).request(**more)
    return said["branch"], said.get("commit")


def test_a_worktree_beside_the_clone(project, tmp_path, clone):
    git("worktree", "add", "-q", "-b", "feat/beside", tmp_path / "beside", cwd=clone)
    assert ask(project, tmp_path, tmp_path / "beside") == ("feat/beside", head(clone))
    (tmp_path / "beside" / "deep").mkdir()
    assert ask(project, tmp_path / "x", tmp_path / "beside" / "deep") == ("feat/beside", head(clone))


def test_a_shallow_clone(project, tmp_path, origin):
    commit(origin, "two\n")
    git("clone", "-q", "--depth", "1", f"file://{origin}", tmp_path / "shallow")
    assert (tmp_path / "shallow" / ".git" / "shallow").exists()
    assert ask(project, tmp_path, tmp_path / "shallow") == ("feat/login", head(origin))


def test_a_partial_and_sparse_clone(project, tmp_path, origin):
    git("config", "uploadpack.allowFilter", "true", cwd=origin)
    git("clone", "-q", "--filter=blob:none", "--sparse", f"file://{origin}", tmp_path / "partial")
    git("sparse-checkout", "set", "nothing", cwd=tmp_path / "partial")
    assert "partialclone" in git("config", "--list", cwd=tmp_path / "partial").lower()
    assert ask(project, tmp_path, tmp_path / "partial") == ("feat/login", head(origin))


def test_packed_references(project, tmp_path, clone):
    git("pack-refs", "--all", cwd=clone)
    git("gc", "-q", cwd=clone)
    assert ask(project, tmp_path, clone) == ("feat/login", head(clone))


def test_a_bare_repository(project, tmp_path, origin):
    git("clone", "-q", "--bare", origin, tmp_path / "bare.git")
    assert ask(project, tmp_path, tmp_path / "bare.git") == ("feat/login", head(origin))


def test_a_submodule(project, tmp_path, clone, origin):
    git("-c", "protocol.file.allow=always", "submodule", "add", "-q", origin, "sub", cwd=clone)
    assert ask(project, tmp_path, clone / "sub") == ("feat/login", head(origin))


def test_a_branch_without_a_commit(project, tmp_path):
    git("init", "-q", "-b", "trunk", tmp_path / "unborn")
    assert ask(project, tmp_path, tmp_path / "unborn") == ("trunk", None)


def test_a_sha256_repository(project, tmp_path):
    folder = tmp_path / "sha256"
    git("init", "-q", "--object-format=sha256", "-b", "feat/new", folder)
    (folder / "page").write_text("one\n")
    git("add", "page", cwd=folder)
    git("commit", "-q", "-m", "one", cwd=folder)
    branch, found = ask(project, tmp_path, folder)
    assert branch == "feat/new" and found == head(folder) and len(found) == 64
    # Without git nobody can read it: then that is said, with the way out, and the way out works.
    job = Job(project, tmp_path / "without-git", folder, PATH="/nowhere")
    done = job("request")
    assert done.returncode == 66 and "git" in done.stderr and "--branch" in done.stderr
    assert job.request("--branch", "b", "--commit", "abc")["branch"] == "b"


def test_git_is_not_needed_for_the_usual_ones(project, tmp_path, clone):
    assert ask(project, tmp_path, clone, PATH="/nowhere") == ("feat/login", head(clone))


@pytest.mark.parametrize("kind", ["detached", "no repository"])
def test_what_names_no_branch_is_an_error_that_names_the_way_out(project, tmp_path, clone, kind):
    if kind == "detached":
        git("checkout", "-q", "--detach", cwd=clone)
        folder = clone
    else:
        folder = tmp_path / "plain"
        folder.mkdir()
    job = Job(project, tmp_path, folder)
    for words in (["request"], ["run", "--", "true"]):
        done = job(*words)
        assert done.returncode == 64 and "--branch" in done.stderr and done.stdout == ""
    assert project.states == {} and job.files() == []
    assert job.request("--branch", "b")["branch"] == "b"


@pytest.mark.parametrize("damage", ["HEAD", "config", "HEAD is a folder", "nowhere"])
def test_a_damaged_repository_is_an_error_that_names_the_way_out(project, tmp_path, clone, damage):
    if damage == "HEAD":
        (clone / ".git" / "HEAD").write_bytes(os.urandom(200))
    elif damage == "config":
        (clone / ".git" / "config").write_text("[core\n=\x00")
    elif damage == "HEAD is a folder":
        (clone / ".git" / "HEAD").unlink()
        (clone / ".git" / "HEAD").mkdir()
    else:
        shutil.rmtree(clone / ".git")
        (clone / ".git").write_text("gitdir: /nowhere/at/all\n")
    job = Job(project, tmp_path, clone)
    done = job("request")
    assert done.returncode in (64, 66) and "--branch" in done.stderr and "--commit" in done.stderr + "--commit"
    assert project.states == {}
    assert job.request("--branch", "b", "--commit", "abc")["commit"] == "abc"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files to another user")
def test_another_users_repository(project, tmp_path, clone):
    expected = ("feat/login", head(clone))
    for path in [clone, *clone.rglob("*")]:
        os.chown(path, 12345, 12345, follow_symlinks=False)
    job = Job(project, tmp_path, clone)
    done = job("request")
    assert done.returncode == 66 and "safe.directory" in done.stderr and "--branch" in done.stderr
    assert project.states == {}
    # CI's own checkout belongs to another user by CI's design.
    for variables in ({**GITHUB, "GITHUB_WORKSPACE": str(clone)}, {**GITLAB, "CI_PROJECT_DIR": str(clone)}):
        said = job.request(**variables)
        assert (said["branch"], said["commit"]) == expected
    assert job("request", **GITHUB, GITHUB_WORKSPACE="/").returncode == 66
    assert job("request", **GITHUB, GITHUB_WORKSPACE=str(tmp_path / "elsewhere")).returncode == 66
    # The way out that the error names.
    git("config", "--file", job.env["HOME"] + "/.gitconfig", "--add", "safe.directory", clone)
    said = job.request()
    assert (said["branch"], said["commit"]) == expected


# ---- hostile names ----

HOSTILE = [
    "<img/src=x/onerror=alert(1)>",
    "<script>alert(1)</script>",
    "$(touch${IFS}CANARY)",
    "`touch${IFS}CANARY`",
    "';touch${IFS}CANARY;'",
    '";touch${IFS}CANARY;"',
    ";touch${IFS}CANARY;",
    "|touch${IFS}CANARY",
    "&touch${IFS}CANARY&",
    "${IFS}",
    "{a,b}",
    "a<<EOF",
    "-x",
    "--upload-pack=x",
    "--help",
    "--json",
    "LD_PRELOAD=/x.so",
    "%00",
    "%s%n%d",
    "a%0ab",
    "../../etc/passwd",
    "a'OR'1'='1",
    "\\",
    '"',
    "'",
    "\u202egnp.exe",
    "é世😀",
    'zzz";echo${IFS}"hello";#',
    "#",
    "!",
    "*",
    "a b",
    "::set-output name=x::y",
    "##[group]x",
    "a##[error]b",
    "refs/heads/x",
    "HEAD",
    "null",
    "0",
    "x" * 255,
]
REFUSED = [
    "",
    "x" * 256,
    "a\nb",
    "a\rb",
    "a\x1b[31mb",
    "a\tb",
    "a\x7fb",
    "a\u0085b",
    "a\u009bb",
    b"a\xffb",
    b"\xc0\x80",
    b"\xed\xa0\x80",
]


@pytest.fixture
def canary(tmp_path, clone):
    """Where a name that was executed would leave its mark: the agent's folder."""
    yield clone / "CANARY"
    assert not list(tmp_path.rglob("CANARY"))


def surfaces(name):
    """The ways a branch's name comes in."""
    yield ["--branch", name], {}
    yield [], {"STACK_AGENT_BRANCH": name}
    yield (
        [],
        {**GITHUB, "GITHUB_EVENT_NAME": "pull_request", "GITHUB_REF": "refs/pull/7/merge", "GITHUB_HEAD_REF": name},
    )
    yield [], {**GITLAB, "CI_MERGE_REQUEST_SOURCE_BRANCH_NAME": name}


def test_hostile_branch_names_come_through_unharmed(daemon, tmp_path, clone, canary):
    project = Project(daemon)  # as many stacks as are asked for
    job = Job(project, tmp_path, clone)
    asked = {}
    for name in HOSTILE:
        for words, variables in surfaces(name):
            # Behind `=` a value may look like an option.
            flag = [f"--branch={name}"] if words else []
            done = job("request", *flag, **variables)
            assert done.returncode == 0, (name, done.stderr)
            asked[done.stdout.removesuffix("\n")] = name
    assert {name: stack["branch"] for name, stack in project.stacks.items()} == asked
    for words, rows in ((["list"], "stacks"), (["history", "--limit", "200"], "events")):
        shown = job.succeeds(*words).stdout
        assert all(c.isprintable() or c == "\n" for c in shown)
        assert "##[" not in shown and not any(line.lstrip().startswith("::") for line in shown.splitlines())
        count = len(json.loads(job.succeeds(*words, "--json").stdout)[rows])
        assert len(shown.splitlines()) == count + 1, "a head, then one line each"


def test_a_hostile_name_reaches_the_command_as_text(job, project, canary):
    for name in HOSTILE:
        done = job.succeeds("run", f"--branch={name}", "--", "sh", "-c", 'printf %s "$STACK_NAME"')
        assert done.stdout == "test-1"
        assert project.stacks["test-1"]["branch"] == name


def test_names_that_are_none_are_refused_by_name(job, project, canary):
    for name in REFUSED:
        text = os.fsdecode(name) if isinstance(name, bytes) else name
        for words, variables in surfaces(text):
            if text == "" and not words:
                continue  # an empty variable is as good as none
            done = subprocess.run(
                [AGENT, "request", *words],
                cwd=job.worktree,
                env={**job.env, **variables},
                capture_output=True,
                check=False,
                timeout=60,
            )
            assert done.returncode == 64 and done.stdout == b"" and b"--branch" in done.stderr, (name, done)
            assert all(byte >= 0x20 or byte == 0x0A for byte in done.stderr), done.stderr
            assert b"\x7f" not in done.stderr and b"\xc2\x85" not in done.stderr and b"\xc2\x9b" not in done.stderr
    assert project.states == {}


def test_hostile_branches_that_git_allows(job, project, canary):
    tried = 0
    for name in HOSTILE:
        legal = subprocess.run(["git", "check-ref-format", f"refs/heads/{name}"], check=False).returncode == 0
        if not legal or len(name) > 200:
            continue
        git("update-ref", f"refs/heads/{name}", "HEAD", cwd=job.worktree)
        git("symbolic-ref", "HEAD", f"refs/heads/{name}", cwd=job.worktree)
        assert job.request()["branch"] == name
        job.succeeds("release")
        git("symbolic-ref", "HEAD", "refs/heads/feat/login", cwd=job.worktree)
        git("update-ref", "-d", f"refs/heads/{name}", cwd=job.worktree)
        tried += 1
    assert tried > 20


def test_what_the_coordinator_shows_draws_nothing_on_a_terminal(job, project):
    """Texts of others, some stored before any rule was: only what a line can show."""
    holder = {"actor": "\u202eanna", "job": "::error::x", "note": "##[error]y", "link": "https://x/::stop-commands::t"}
    assert project.http.call("requestStack", {"branch": "::add-mask::x", "holder": holder}).status == 200
    project.daemon.admin("stack", "note", project.name, "test-1", "::warning::note ##[section]")
    for verb in ("list", "history"):
        shown = job.succeeds(verb).stdout
        assert "\u202e" not in shown and "##[" not in shown
        assert not any(line.lstrip().startswith("::") for line in shown.splitlines())
