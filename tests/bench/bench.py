"""What the benchmark scripts share: starting the coordinator and its peers, measuring, printing ratios.

Every row is a ratio taken in one run on one machine: absolute figures drift from day to day, the ratio is the result.
The programs come from the build folder named by BUILD_DIR (default: build); peers are Debian's packages
(`scripts/install-deps bench`).
"""

import contextlib
import glob
import json
import os
import pathlib
import pwd
import re
import shutil
import socket
import subprocess
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
BIN = (ROOT / os.environ.get("BUILD_DIR", "build") / "bin").resolve()
SECONDS = float(os.environ.get("BENCH_SECONDS", "6"))


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def wait_for_port(port, process, seconds=20):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if process.poll() is not None:
            raise SystemExit(f"{process.args[0]} ended with {process.returncode}")
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.02)
    raise SystemExit(f"{process.args[0]} does not listen on {port}")


@contextlib.contextmanager
def folder():
    """A folder on the disk that is measured: BENCH_DIR, or the system's temporary one."""
    path = tempfile.mkdtemp(prefix="stack-bench-", dir=os.environ.get("BENCH_DIR"))
    try:
        yield pathlib.Path(path)
    finally:
        shutil.rmtree(path, ignore_errors=True)


@contextlib.contextmanager
def process(*argv, **options):
    """A peer that is stopped at the end."""
    options.setdefault("stdout", subprocess.DEVNULL)
    options.setdefault("stderr", subprocess.DEVNULL)
    with subprocess.Popen([str(a) for a in argv], **options) as p:
        try:
            yield p
        finally:
            p.terminate()
            try:
                p.wait(20)
            except subprocess.TimeoutExpired:
                p.kill()


class Coordinator:
    """A running stack-coordinator with one project."""

    def __init__(self, data, ready, running):
        self.data, self.ready, self.process = data, ready, running
        self.host, port = ready["http"].rsplit(":", 1)
        self.port = int(port)

    def admin(self, *words):
        done = subprocess.run(
            [BIN / "stack-coordinator", "--data", self.data, *words], check=True, capture_output=True, text=True
        )
        return done.stdout

    def project(self, name, *options):
        return json.loads(self.admin("project", "create", name, "--json", *options))["key"]

    def control(self):
        return f"ipc://{self.data}/control.sock"

    def load(self, key, connections, mode, seconds=None):
        return run_json(BIN / "http_claim", self.host, self.port, key, connections, seconds or SECONDS, mode)


@contextlib.contextmanager
def coordinator(*options):
    with folder() as where:
        data = where / "data"
        argv = [BIN / "stack-coordinator", "--data", data, "serve", "--http", "127.0.0.1:0", *options]
        # Into a file: nobody reads along, and a full pipe would stop the daemon.
        with (where / "log").open("w") as log, process(*argv, stderr=log) as p:
            yield Coordinator(data, wait_until_ready(where / "log", p), p)


def wait_until_ready(log, running):
    while running.poll() is None:
        for line in log.read_text().splitlines():
            with contextlib.suppress(ValueError):
                said = json.loads(line)
                if said.get("msg") == "ready":
                    return said
        time.sleep(0.01)
    raise SystemExit(f"the coordinator did not get ready: {log.read_text()}")


def run_json(*argv):
    done = subprocess.run([str(a) for a in argv], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SystemExit(f"{argv}: exit {done.returncode}: {done.stderr}{done.stdout}")
    return json.loads(done.stdout)


class Postgres:
    """A server of our own, fsync on, as it comes."""

    def __init__(self, where, prefix):
        self.where, self.prefix, self.port = where, prefix, free_port()
        self.programs = sorted(glob.glob("/usr/lib/postgresql/*/bin"))[-1]
        self.environment = os.environ | {"PGHOST": "127.0.0.1", "PGPORT": str(self.port), "PGUSER": "bench",
                                         "PGDATABASE": "postgres"}  # fmt: skip

    def argv(self, name, *words):
        return [*self.prefix, f"{self.programs}/{name}", *[str(w) for w in words]]

    def run(self, name, *words):
        done = subprocess.run(
            self.argv(name, *words), capture_output=True, text=True, cwd=self.where, env=self.environment, check=False
        )
        if done.returncode != 0:
            raise SystemExit(f"{name}: exit {done.returncode}: {done.stderr}")
        return done

    def is_ready(self):
        argv = self.argv("pg_isready", "-q")
        return subprocess.run(argv, cwd=self.where, env=self.environment, check=False).returncode == 0

    def url(self, database="postgres"):
        return f"postgres://bench@127.0.0.1:{self.port}/{database}"


@contextlib.contextmanager
def postgres():
    with folder() as where:
        prefix = []
        if os.getuid() == 0:  # PostgreSQL refuses to run as root
            user = pwd.getpwnam("postgres")
            os.chown(where, user.pw_uid, user.pw_gid)
            prefix = [shutil.which("setpriv"), f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups"]
        server = Postgres(where, prefix)
        server.run("initdb", "-D", where / "pg", "-A", "trust", "-U", "bench")
        argv = server.argv("postgres", "-D", where / "pg", "-p", server.port, "-k", where, "-c", "max_connections=300")
        with process(*argv, cwd=where) as p:
            wait_for_port(server.port, p)
            while not server.is_ready():
                time.sleep(0.05)
            yield server


def fdatasync_ms(where, seconds=2.0):
    """Median of one 4 KiB append and fdatasync, in ms: what any durable answer costs on this disk."""
    samples = []
    fd = os.open(where / "sync", os.O_CREAT | os.O_WRONLY)
    try:
        os.write(fd, b"\0" * (64 << 20))
        os.fsync(fd)
        os.lseek(fd, 0, os.SEEK_SET)
        end = time.monotonic() + seconds
        while time.monotonic() < end and len(samples) < 16000:
            start = time.perf_counter()
            os.write(fd, b"x" * 4096)
            os.fdatasync(fd)
            samples.append((time.perf_counter() - start) * 1000)
    finally:
        os.close(fd)
    samples.sort()
    return samples[len(samples) // 2]


def in_turn(*measures, rounds=3):
    """Each measured once a round, since what a machine gives changes from minute to minute; the means of all."""
    results = [[measure() for measure in measures] for _ in range(rounds)]
    return [sum(column) / rounds for column in zip(*results, strict=True)]


def row(what, ours, peer_name, peer, goal, *, unit="op/s", higher_is_better=True):
    """Prints one result; the ratio is ours to the peer's."""
    ratio = ours / peer
    met = ratio >= goal if higher_is_better else ratio <= goal
    sign = "≥" if higher_is_better else "≤"
    print(
        f"{what}: {ours:,.4g} {unit}, {peer_name} {peer:,.4g} {unit}: "
        f"ratio {ratio:.2f} (goal {sign} {goal}) {'met' if met else 'NOT met'}",
        flush=True,
    )
    return ratio


def redis_set(connections, requests=200_000):
    """SETs per second of redis-server with `appendfsync always`."""
    port = free_port()
    with (
        folder() as where,
        process(
            "redis-server",
            "--port",
            port,
            "--appendonly",
            "yes",
            "--appendfsync",
            "always",
            "--save",
            "",
            "--dir",
            where,
        ) as p,
    ):
        wait_for_port(port, p)
        done = subprocess.run(
            ["redis-benchmark", "-p", str(port), "-c", str(connections), "-n", str(requests), "-t", "set", "--csv"],
            check=True,
            capture_output=True,
            text=True,
        )
    return float(re.search(r'"SET","([0-9.]+)"', done.stdout).group(1))
