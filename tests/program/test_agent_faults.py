"""The agent where something else goes wrong: a proxy in between, a full disk, a folder with more than one job's."""

import http.client
import http.server
import json
import resource
import signal
import socket
import struct
import subprocess
import threading

import pytest
from jobs import Job, Project
from programs import AGENT, DEADLINE, Coordinator, stays, until


@pytest.fixture
def project(daemon):
    return Project(daemon, "--max-stacks", "1", "--expiry-grace", "1")


# ---- a proxy ----


class Ingress(http.server.ThreadingHTTPServer):
    """Passes requests on, but for those it has orders for: to be late, lose the answer, show a page of its own."""

    daemon_threads = True

    def __init__(self, daemon):
        super().__init__(("127.0.0.1", 0), Pass)
        self.target, self.orders, self.hold = daemon.ready["http"], [], threading.Event()
        self.passed = []
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_address[1]}"


class Pass(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        wanted = [o for o in self.server.orders if o[0] == self.path]
        if wanted:
            self.server.orders.remove(wanted[0])
        order = wanted[0][1] if wanted else None
        if order == "late":
            self.server.hold.wait(DEADLINE)
        if isinstance(order, int):
            self.answer(order, b"<html>nobody here</html>")
            return
        upstream = http.client.HTTPConnection(self.server.target, timeout=60)
        upstream.request(self.command, self.path, body, dict(self.headers))
        answer = upstream.getresponse()
        text = answer.read()
        upstream.close()
        self.server.passed.append(self.path)
        if order == "answer late":
            self.server.hold.wait(2)
        if order == "lose":
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.close_connection = True
            self.connection.close()
            return
        self.answer(answer.status, text)

    do_GET = do_POST

    def answer(self, status, text):
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *words):
        """Not into the test's output."""


@pytest.fixture
def ingress(daemon):
    between = Ingress(daemon)
    yield between
    between.shutdown()
    between.server_close()


@pytest.mark.parametrize("page", [200, 404, 403, 301, 521])
def test_an_error_page_after_a_lost_answer_is_no_answer(ingress, project, tmp_path, clone, page):
    job = Job(project, tmp_path, clone, ingress.url)
    ingress.orders += [("/requestStack", "lose"), ("/requestStack", page)]
    assert job.succeeds("request", "--wait", "20s").stdout == "test-1\n"
    assert ingress.orders == []
    job.succeeds("release")


def test_an_error_page_does_not_end_a_wait(ingress, other, project, tmp_path, clone):
    job = Job(project, tmp_path, clone, ingress.url)
    other.succeeds("request")
    waiting = job.start("request", "--wait", "60s")
    until(lambda: project.queue, "it waits")
    ingress.orders += [("/requestStack", "lose"), ("/requestStack", 404), ("/requestStack", 200)]
    other.succeeds("release")  # its answer is lost
    assert waiting.wait(DEADLINE) == 0, waiting.stderr.read()
    assert waiting.stdout.read() == "test-1\n" and ingress.orders == []


def test_an_error_page_is_no_answer_to_who_has_a_lease(ingress, project, tmp_path, clone):
    job = Job(project, tmp_path, clone, ingress.url)
    ingress.orders += [("/renewLease", 404)]  # the one that collects it
    job.succeeds("request", "--wait", "20s")
    ingress.orders += [("/releaseStack", 404), ("/releaseStack", 410)]
    job.succeeds("release")
    assert project.states == {"test-1": "available"} and ingress.orders == [] and job.files() == []


def test_an_error_page_takes_no_lease_from_a_command(ingress, project, tmp_path, clone):
    job = Job(project, tmp_path, clone, ingress.url)
    running = job.start("run", "--lease", "3s", "--", "sh", "-c", "echo; read -r line", stdin=subprocess.PIPE)
    assert running.stdout.readline() == "\n"
    ingress.orders += [("/renewLease", 410)]
    until(lambda: ingress.orders == [], "it renews")
    generation = project.stacks["test-1"]["lease"]["generation"]
    stays(lambda: running.poll() is None and project.stacks["test-1"]["lease"]["generation"] == generation, 3)
    assert running.communicate("on\n", DEADLINE)[1] and running.returncode == 0
    assert project.states == {"test-1": "available"}


def test_a_release_whose_answer_is_late_is_no_loss(ingress, project, tmp_path, clone):
    job = Job(project, tmp_path, clone, ingress.url)
    ingress.orders += [("/releaseStack", "answer late")]
    done = job("run", "--lease", "3s", "--", "sh", "-c", '"$0" release; echo well', AGENT)
    assert done.returncode == 0 and done.stdout == "well\n", done.stderr


def test_a_request_that_arrives_after_its_refusal_gets_nothing(ingress, daemon, other, project, tmp_path, clone):
    job = Job(project, tmp_path, clone)
    other.succeeds("request")
    ingress.orders += [("/requestStack", "late")]
    refused = job("request", "--wait", "0", "--url", ingress.url, "--url", daemon.url)
    assert refused.returncode == 75 and job.files() == [], refused.stderr
    other.succeeds("release")
    before = len(project.kinds)
    ingress.hold.set()
    until(lambda: ingress.passed == ["/requestStack"], "it arrives")
    assert project.states == {"test-1": "available"} and "granted" not in project.kinds[before:]


def test_an_error_page_alone_ends_it_at_once(ingress, project, tmp_path, clone):
    job = Job(project, tmp_path, clone, ingress.url)
    ingress.orders += [("/requestStack", 404)]
    failed = job("request", "--wait", "60s")
    assert failed.returncode == 64 and "STACK_AGENT_URL" in failed.stderr
    assert job.files() == [] and project.queue == []


def test_what_waited_is_not_forgotten_when_nobody_answers_any_more(project, other, tmp_path, clone):
    daemon = Coordinator(tmp_path / "data").start()
    project = Project(daemon, "--max-stacks", "1")
    job = Job(project, tmp_path, clone)
    Job(project, tmp_path / "other", clone).succeeds("request")
    waiting = job.start("request", "--wait", "4s")
    until(lambda: project.queue, "it waits")
    daemon.stop()  # it says so; then nobody says anything
    assert waiting.wait(DEADLINE) == 69
    assert "stack-agent release" in waiting.stderr.read()
    daemon.hang_up()
    daemon.start()
    job.env["STACK_AGENT_URL"] = daemon.url
    (noted,) = job.files()
    noted.write_text(json.dumps(json.loads(noted.read_text()) | {"urls": daemon.url}))  # its port is another one
    project.http = daemon.http(project.key)
    assert len(project.queue) == 1
    job.succeeds("release")
    assert project.queue == [] and job.files() == []
    daemon.hang_up()
    assert daemon.stop() == 0


def test_with_two_addresses_a_wait_ends_as_with_one(project, other, daemon, tmp_path, clone):
    other.succeeds("request")
    for seconds in (2, 5):
        failed = other(
            "request", "--wait", f"{seconds}s", "--url", daemon.url, "--url", f"http://{daemon.ready['http']}"
        )
        assert failed.returncode == 75, failed.stderr
        assert "unreachable" not in failed.stderr


def test_a_wait_in_which_the_coordinator_was_away_ends_as_any_other(ingress, other, project, tmp_path, clone):
    """The poll that is repeated is shorter: an answer still comes before the end."""
    job = Job(project, tmp_path, clone, ingress.url)
    other.succeeds("request")
    ingress.orders += [("/requestStack", None), ("/requestStack", 503), ("/requestStack", 503), ("/requestStack", 503)]
    failed = job("request", "--wait", "6s")
    assert failed.returncode == 75, failed.stderr
    assert ingress.orders == []


# ---- a disk that is full ----


def test_a_grant_that_cannot_be_noted_is_given_back(job, project, tmp_path):
    job.succeeds("request")
    waiting = job.start("request", "--wait", "60s", "--branch", "b")
    until(lambda: project.queue, "it waits")
    (before,) = [p for p in job.files() if p.suffix == ".json" and "secret" not in p.read_text()]
    size = before.stat().st_size
    waiting.terminate()
    waiting.wait(DEADLINE)
    job.succeeds("release")
    for verb in (["request"], ["run", "--", "true"]):
        failed = subprocess.run(
            [AGENT, verb[0], "--branch", "b", *verb[1:]], cwd=job.worktree, env=job.env, capture_output=True, text=True,
            check=False, timeout=DEADLINE, restore_signals=False,  # what is too large is an error, not a signal
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size + 16, size + 16)),
        )  # fmt: skip
        assert failed.returncode == 70 and "cannot be written" in failed.stderr, failed.stderr
        assert project.states == {"test-1": "available"} and job.files() == []


# ---- a folder with more than one job's ----


def leave_one_behind(job, project):
    """A shell that ended without a release, as people's do."""
    subprocess.run(
        ["sh", "-c", '"$0" request --lease 2s; :', AGENT],
        cwd=job.worktree,
        env=job.env,
        check=True,
        capture_output=True,
    )
    until(lambda: project.stacks["test-1"]["isAvailable"], "it runs out, and its rest is over")


def test_what_an_earlier_shell_left_does_not_stand_in_the_way(job, project):
    for _ in range(3):
        leave_one_behind(job, project)
        job.succeeds("request")
        job.succeeds("check")
        job.succeeds("check", "test-1")
        assert job("changed").returncode == 0
        job.succeeds("deployed")
        job.succeeds("release")
        assert project.states == {"test-1": "available"}


def test_the_latest_one_is_meant_when_all_were_left(job, project):
    leave_one_behind(job, project)
    subprocess.run(
        ["sh", "-c", '"$0" request; :', AGENT], cwd=job.worktree, env=job.env, check=True, capture_output=True
    )
    until(lambda: all('isLeft":true' in p.read_text() for p in job.files() if p.suffix == ".json"), "both are left")
    job.succeeds("release")  # it would last for minutes still
    assert project.states == {"test-1": "available"}


def test_a_release_leaves_a_request_that_another_process_waits_for(job, other, project):
    other.succeeds("request")
    waiting = job.start("request", "--wait", "60s")
    until(lambda: project.queue, "it waits")
    said = job.succeeds("release").stderr
    assert "still waits" in said and len(project.queue) == 1
    waiting.send_signal(signal.SIGKILL)
    waiting.wait(DEADLINE)
    job.succeeds("release")  # now nobody does
    assert project.queue == [] and job.files() == []


# ---- words ----


@pytest.mark.parametrize("note", ["two\nlines\tand more", "long " * 500, b"no utf-8 \xff", "an escape \x1b[31m"])
def test_a_note_never_keeps_a_stack(job, project, note):
    job.succeeds("request")
    done = subprocess.run(
        [AGENT, "release", "--note", note], cwd=job.worktree, env=job.env, check=False, capture_output=True
    )
    assert done.returncode == 0, done.stderr
    assert project.states == {"test-1": "available"}
    if note == "two\nlines\tand more":
        events = project.http.call("listEvents", {"after": 0}).body["events"]
        assert events[-1]["note"] == "two lines and more"
