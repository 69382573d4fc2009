"""The real programs, as their users meet them: a daemon on port 0, clients over HTTP and nng, git clones."""

import contextlib
import errno
import http.client
import itertools
import json
import os
import pathlib
import secrets
import select
import signal
import socket
import struct
import subprocess
import tempfile
import threading
import time

BIN = pathlib.Path(os.environ.get("BIN_DIR", "build/bin")).resolve()
COORDINATOR = BIN / "stack-coordinator"
AGENT = pathlib.Path(os.environ.get("AGENT", BIN / "stack-agent")).resolve()
DEADLINE = 20  # seconds within which whatever must happen has happened


def until(condition, what="what was waited for", seconds=DEADLINE):
    """Polls; there is nothing to wait on in another process but time."""
    end = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < end, f"never: {what}"
        select.select([], [], [], 0.01)
    return value


def stays(condition, seconds):
    """Nothing happens for so long: that is the event."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        assert condition()
        select.select([], [], [], 0.05)


class Answer:
    """What an operation answered, whatever the transport."""

    def __init__(self, status, text, headers=None):
        self.status, self.text, self.headers = status, text, headers or {}

    @property
    def body(self):
        return json.loads(self.text)

    @property
    def code(self):
        return self.body.get("code")

    def __repr__(self):
        return f"{self.status} {self.text}"


class HttpClient:
    """Keep-alive HTTP; fields of GETs go into the query."""

    READS = {"listStacks", "listQueue", "listEvents"}

    def __init__(self, address, key=None):
        self.address, self.key = address, key
        self.connection = None

    def raw(self, method, path, body=None, headers=None):
        for attempt in (1, 2):
            if self.connection is None:
                self.connection = http.client.HTTPConnection(self.address, timeout=30)
            try:
                self.connection.request(method, path, body, headers or {})
                answer = self.connection.getresponse()
                return Answer(answer.status, answer.read().decode(), dict(answer.headers))
            except (ConnectionError, http.client.HTTPException):
                self.close()
                if attempt == 2:
                    raise
        raise AssertionError("unreachable")

    def call(self, operation, body=None, key="mine"):
        headers = {}
        key = self.key if key == "mine" else key
        if key is not None:
            headers["X-API-Key"] = key
        if operation in self.READS:
            query = "&".join(f"{name}={value}" for name, value in (body or {}).items())
            return self.raw("GET", f"/{operation}?{query}", None, headers)
        return self.raw("POST", f"/{operation}", json.dumps(body) if body is not None else "", headers)

    def close(self):
        if self.connection is not None:
            self.connection.close()
        self.connection = None


class NngClient:
    """nng request/reply spoken by hand over TCP: the SP handshake, then frames of length, request id, message."""

    HELLO = b"\0SP\0\0\x30\0\0"
    ids = itertools.count(1)

    def __init__(self, url, key=None):
        host, port = url.removeprefix("tcp://").rsplit(":", 1)
        self.key = key
        self.socket = socket.create_connection((host, int(port)), timeout=30)
        self.socket.sendall(self.HELLO)
        assert self.read(8) == b"\0SP\0\0\x31\0\0"

    def read(self, count):
        data = b""
        while len(data) < count:
            piece = self.socket.recv(count - len(data))
            if not piece:
                raise ConnectionResetError("the coordinator closed the pipe")
            data += piece
        return data

    def raw(self, message):
        number = next(self.ids) | 0x80000000
        self.socket.sendall(struct.pack(">QI", len(message) + 4, number) + message)
        length, answered = struct.unpack(">QI", self.read(12))
        assert answered == number
        return self.read(length - 4)

    def call(self, operation, body=None, key="mine"):
        message = {"op": operation}
        key = self.key if key == "mine" else key
        if key is not None:
            message["auth"] = key
        if body is not None:
            message["body"] = body
        text = self.raw(json.dumps(message).encode()).decode()
        answer = json.loads(text)
        # The body's own bytes, as they stood in the frame: {"status":200,"body":…}
        return Answer(answer["status"], text[text.index('"body":') + 7 : -1])

    def close(self):
        self.socket.close()


def signal_all(first, number):
    """To a process and its children; it is stopped before, so that it starts no more of them."""
    os.kill(first, signal.SIGSTOP)
    children = pathlib.Path(f"/proc/{first}/task/{first}/children").read_text().split()
    for pid in (*map(int, children), first):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


class Server:
    """A PostgreSQL server of the test's own (tests/postgres/server): `url(database)`, `run(sql)`."""

    script = pathlib.Path(__file__).parent.parent / "postgres" / "server"

    def __init__(self, *options, prefix=(), environment=None):
        """`prefix`: the words of a program that starts it."""
        self.process = subprocess.Popen(
            [*prefix, self.script, *options],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment,
        )  # fmt: skip
        self.folder, self.port = self.process.stdout.readline().split()
        self.numbers = itertools.count(1)

    def url(self, database="postgres", user="postgres"):
        return f"postgres://{user}@127.0.0.1:{self.port}/{database}"

    def admin_url(self, database="postgres"):
        """By its socket, whatever is the matter with the network."""
        return f"postgres://postgres@/{database}?host={self.folder}&port={self.port}"

    def run(self, sql, database="postgres"):
        done = subprocess.run(
            ["psql", "-qAtX", "-v", "ON_ERROR_STOP=1", self.admin_url(database), "-c", sql],
            check=True, capture_output=True, text=True, timeout=60,
        )  # fmt: skip
        return done.stdout.strip()

    def database(self):
        """A new one, its name."""
        name = f"stacks{next(self.numbers)}"
        self.run(f"CREATE DATABASE {name}")
        return name

    @property
    def pid(self):
        """Of the server's first process."""
        return int((pathlib.Path(self.folder) / "data" / "postmaster.pid").read_text().split()[0])

    def signal(self, number):
        """To the server's first process."""
        os.kill(self.pid, number)

    def signal_all(self, number):
        signal_all(self.pid, number)

    def start_again(self):
        """As a service manager would: whatever ended it, and unless it came back by itself."""
        folder = pathlib.Path(self.folder)
        owner = folder.stat()
        start = [sorted(pathlib.Path("/usr/lib/postgresql").glob("*/bin/pg_ctl"))[-1], "start", "--wait", "--silent",
                 f"--pgdata={folder / 'data'}", f"--log={folder / 'log'}", f"--options=-p {self.port}"]  # fmt: skip
        other = {"user": owner.st_uid, "group": owner.st_gid, "extra_groups": []} if os.geteuid() == 0 else {}
        end = time.monotonic() + 60
        while subprocess.run(["pg_isready", "-q", "-h", folder, "-p", self.port], check=False).returncode != 0:
            assert time.monotonic() < end, (folder / "log").read_text()
            # Refused while the old one is still there.
            subprocess.run(start, cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, check=False, **other)

    def stop(self):
        self.process.stdin.close()
        self.process.wait(60)
        self.process.stdout.close()


@contextlib.contextmanager
def small_disk(size):
    """A folder of so many megabytes that every user may go to, and near enough to the root for a socket's address."""
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}m,mode=755", "tmpfs", folder], check=True)
        try:
            yield folder
        finally:
            subprocess.run(["umount", folder], check=True)


def fill(folder):
    """To the last byte; the file that does it."""
    filler = folder / "filler"
    try:
        with filler.open("wb", buffering=0) as file:
            while True:
                file.write(bytes(4096))
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
    return filler


class Coordinator:
    """One daemon on a data folder; start, stop and kill it as often as a test likes."""

    program = COORDINATOR

    def __init__(self, data, *options, environment=None, **started):
        self.data, self.options = pathlib.Path(data), options
        self.environment, self.started = environment, started
        self.process = None
        self.clients = []
        self.log = []
        self.ready = None

    def start(self):
        argv = [
            self.program,
            "--data",
            self.data,
            "serve",
            "--http",
            "127.0.0.1:0",
            "--nng",
            "tcp://127.0.0.1:0",
            *self.options,
        ]
        self.process = subprocess.Popen(
            [str(a) for a in argv],
            stderr=subprocess.PIPE,
            text=True,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            **self.started,
        )
        self.ready = None
        for line in self.process.stderr:
            self.log.append(line)
            with contextlib.suppress(ValueError):
                said = json.loads(line)
                if said.get("msg") == "ready":
                    self.ready = said
                    break
        if self.ready is None:
            raise AssertionError(f"not ready, exit {self.process.wait()}: {''.join(self.log)}")
        self.reader = threading.Thread(target=self.read_log, args=(self.process.stderr,), daemon=True)
        self.reader.start()
        return self

    def read_log(self, stream):
        with contextlib.suppress(ValueError):
            for line in stream:
                self.log.append(line)

    @property
    def url(self):
        return f"http://{self.ready['http']}"

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self):
        """SIGTERM; the exit status."""
        if self.process.poll() is None:
            self.process.terminate()
        return self.process.wait(30)

    def admin(self, *words, check=True, stdin=None):
        return subprocess.run(
            [self.program, "--data", self.data, *words],
            check=check,
            capture_output=True,
            text=True,
            input=stdin,
            timeout=60,
        )

    def project(self, name="shop", *options):
        return json.loads(self.admin("project", "create", name, "--json", *options).stdout)["key"]

    def http(self, key=None):
        self.clients.append(HttpClient(self.ready["http"], key))
        return self.clients[-1]

    def nng(self, key=None):
        self.clients.append(NngClient(self.ready["nng"][0], key))
        return self.clients[-1]

    def hang_up(self):
        """Closes all clients: a drain gives those that are there a second to read their last answer."""
        for client in self.clients:
            client.close()
        self.clients.clear()

    def client(self, transport, key=None):
        return self.http(key) if transport == "http" else self.nng(key)


def lasting(answer):
    """An answer but for what time moves: when its lease ends."""
    body = json.loads(json.dumps(answer.body))
    for moving in ("expires", "expiresInSeconds"):
        body.get("lease", {}).pop(moving, None)
    return body


def request_id():
    return secrets.token_hex(16)


def make_certificate(certificate, key, name="localhost"):
    """Signed by itself, for that name and, were it localhost, its address."""
    names = f"DNS:{name}" + (",IP:127.0.0.1" if name == "localhost" else "")
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", f"/CN={name}",
         "-addext", f"subjectAltName={names}", "-keyout", key, "-out", certificate],
        check=True, capture_output=True,
    )  # fmt: skip


def git(*words, cwd=None):
    environment = {
        **os.environ,
        "GIT_AUTHOR_NAME": "test",
        "GIT_AUTHOR_EMAIL": "test@example.invalid",
        "GIT_COMMITTER_NAME": "test",
        "GIT_COMMITTER_EMAIL": "test@example.invalid",
        "GIT_CONFIG_GLOBAL": "/dev/null",
    }
    done = subprocess.run(
        ["git", *[str(w) for w in words]], cwd=cwd, check=True, capture_output=True, text=True, env=environment
    )
    return done.stdout.strip()


# What CI systems set: none of it may leak from the machine that runs the tests into the agent under test.
CI_VARIABLES = ("GITHUB_", "GITLAB_", "CI", "RUNNER_", "BUILDKITE", "JENKINS", "CIRCLE", "BUILD_", "JOB_", "STACK_")


def agent_environment(coordinator, key, state, **more):
    clean = {name: value for name, value in os.environ.items() if not name.startswith(CI_VARIABLES)}
    url = coordinator if isinstance(coordinator, str) else coordinator.url
    return {**clean, "STACK_AGENT_URL": url, "STACK_AGENT_KEY": key, "STACK_AGENT_STATE_DIR": str(state), **more}


def agent(*words, cwd, env, check=False, timeout=60):
    return subprocess.run(
        [AGENT, *[str(w) for w in words]],
        cwd=cwd, env=env, check=check, capture_output=True, text=True, timeout=timeout, stdin=subprocess.DEVNULL,
    )  # fmt: skip
