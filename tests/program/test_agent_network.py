"""The agent and what is between it and the coordinator: nobody there, somebody else, lost answers, every transport."""

import contextlib
import json
import select
import signal
import socket
import threading
import time

import pytest
from jobs import Job, head
from programs import DEADLINE, make_certificate, until

# ---- who is there ----


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
    make_certificate(tmp_path / "other.pem", tmp_path / "other.key", "other")
    job = Job(project, tmp_path, clone, f"{scheme}://localhost:{port}")
    for words in ([], ["--ca-file", tmp_path / "other.pem"]):
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
