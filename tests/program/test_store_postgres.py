"""The coordinator on a PostgreSQL server: how it is told, whom it refuses, what an outage is to its clients."""

import contextlib
import os
import pathlib
import signal
import socket
import struct
import subprocess
import threading
import time

import pytest
from programs import COORDINATOR, Coordinator, Server, fill, request_id, small_disk
from test_queue import until


@pytest.fixture
def url(server):
    return server.url(server.database())


def refusal(tmp_path, *options, status=1, **environment):
    """What a coordinator says that does not start."""
    done = subprocess.run(
        [COORDINATOR, "--data", tmp_path / "refused", "serve", "--http", "none", *options],
        env={**os.environ, **environment}, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == status, done
    return done.stderr


def held(client, **more):
    body = {"branch": "b", "requestId": request_id(), "leaseSeconds": 300, **more}
    answer = client.call("requestStack", body)
    assert answer.status == 200, answer
    return answer.body


def test_the_url_comes_from_the_command_line_its_twin_or_a_file(tmp_path, start, url):
    said = tmp_path / "url"
    said.write_text(f"{url}\n")
    first = start("--store", url)
    got = held(first.http(first.project()))
    first.hang_up()
    assert first.stop() == 0
    for options, environment in (
        ((), {"STACK_COORDINATOR_STORE": url}),
        (("--store-file", said), {}),
        ((), {"STACK_COORDINATOR_STORE_FILE": str(said)}),
    ):
        again = start(*options, environment={**os.environ, **environment})
        listed = again.admin("stack", "list", "shop").stdout
        assert got["stackName"] in listed
        again.hang_up()
        assert again.stop() == 0
    assert not (tmp_path / "data" / "stacks.db").exists()


def test_a_password_is_refused_in_the_command_line_and_repeated_nowhere(tmp_path, server):
    database = server.database()
    secret = f"postgres://postgres:s3cret-word@127.0.0.1:{server.port}/{database}"
    for url in (secret, f"{server.url(database)}?password=s3cret-word"):
        said = refusal(tmp_path, "--store", url, status=64)
        assert "STACK_COORDINATOR_STORE" in said and "s3cret-word" not in said
    coordinator = Coordinator(tmp_path / "data", environment={**os.environ, "STACK_COORDINATOR_STORE": secret}).start()
    coordinator.project()
    assert coordinator.stop() == 0
    assert "s3cret-word" not in "".join(coordinator.log)
    said = refusal(tmp_path, STACK_COORDINATOR_STORE=secret.replace(server.port, "1"))
    assert "cannot connect" in said and "s3cret-word" not in said
    assert refusal(tmp_path, STACK_COORDINATOR_STORE=secret.replace("@", "%ZZ@")).count("s3cret-word") == 0


def test_a_password_file_is_read(tmp_path, server):
    """The server asks this role for a password; everybody else it trusts."""
    database = server.database()
    server.run(f"CREATE ROLE ann LOGIN PASSWORD 'from-the-file'; GRANT CREATE ON DATABASE {database} TO ann")
    rules = f"{server.folder}/data/pg_hba.conf"
    with open(rules, encoding="utf-8") as file:
        before = file.read()
    with open(rules, "w", encoding="utf-8") as file:
        file.write(f"host all ann 127.0.0.1/32 scram-sha-256\n{before}")
    server.run("SELECT pg_reload_conf()")
    passwords = tmp_path / "pgpass"
    passwords.write_text(f"127.0.0.1:{server.port}:*:ann:from-the-file\n")
    passwords.chmod(0o600)
    url = server.url(database, "ann")
    while "password" not in refusal(tmp_path, "--store", url, PGPASSFILE="/nowhere"):
        server.run("DROP SCHEMA IF EXISTS stack_coordinator CASCADE", database)  # the rule was not read yet
    coordinator = Coordinator(
        tmp_path / "data", "--store", url, environment={**os.environ, "PGPASSFILE": str(passwords)}
    ).start()
    coordinator.project()
    assert coordinator.stop() == 0


def test_bad_urls_and_servers_are_refused_in_a_sentence(tmp_path, server):
    assert "neither sqlite nor postgres://" in refusal(tmp_path, "--store", "mysql://h/d", status=64)
    assert "cannot connect" in refusal(tmp_path, "--store", "postgres://postgres@127.0.0.1:1/x")
    assert "does not exist" in refusal(tmp_path, "--store", server.url("nothing"))
    database = server.database()
    server.run(f"ALTER DATABASE {database} SET synchronous_commit = off")
    assert "synchronous_commit is off" in refusal(tmp_path, "--store", server.url(database))


def test_a_newer_schema_that_wants_a_newer_program_is_refused(tmp_path, server):
    database = server.database()
    coordinator = Coordinator(tmp_path / "data", "--store", server.url(database)).start()
    assert coordinator.stop() == 0
    server.run("INSERT INTO stack_coordinator.schema VALUES (900, 'x', 'stack-coordinator 9.0.0', 1)", database)
    coordinator.start()  # migrations only add
    assert coordinator.stop() == 0
    server.run("UPDATE stack_coordinator.compatibility SET oldest_program = '9.0.0'", database)
    assert "stack-coordinator 9.0.0 is the oldest" in refusal(tmp_path, "--store", server.url(database))


def test_the_next_coordinator_takes_over_what_a_killed_one_left(tmp_path, start, url):
    first = start("--store", url)
    got = held(first.http(first.project()))
    first.hang_up()
    first.kill()
    second = start("--store", url, data=tmp_path / "elsewhere")
    client = second.http(None)
    body = {"lease": got["lease"]["secret"]}
    assert client.call("renewLease", body).status == 200
    assert client.call("releaseStack", {"stackName": got["stackName"], **body}).status == 200


def test_a_backup_is_left_to_the_server(tmp_path, start, url):
    coordinator = start("--store", url)
    refused = coordinator.admin("backup", tmp_path / "copy", check=False)
    assert refused.returncode != 0 and "pg_dump" in refused.stderr
    assert coordinator.http(coordinator.project()).call("listStacks").status == 200


def answers_again(client, call, patience=30):
    """The first answer that is no 503, and how many there were before."""
    refused = 0
    until = time.monotonic() + patience
    while time.monotonic() < until:
        answer = call(client)
        if answer.status != 503:
            return answer, refused
        assert answer.code == "store-unavailable" and int(answer.headers["Retry-After"]) > 0
        refused += 1
    raise AssertionError("it did not come back")


def test_an_outage_of_the_server_costs_nobody_his_lease(server, start, url):
    """Its sessions end, and nobody may connect for longer than the lease lasts."""
    database = url.rsplit("/", 1)[1]
    coordinator = start("--store", url)
    client = coordinator.http(coordinator.project())
    unread = coordinator.project("other")
    got = held(client, leaseSeconds=2)
    server.run(f"ALTER DATABASE {database} ALLOW_CONNECTIONS false")
    server.run(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{database}'")
    until = time.monotonic() + 4
    refused = 0
    while time.monotonic() < until:
        answer = client.call("requestStack", {"branch": "c", "requestId": request_id(), "leaseSeconds": 300})
        refused += answer.status == 503
        # Nobody is told that he has more time, which other coordinators could not know of.
        assert client.call("renewLease", {"lease": got["lease"]["secret"]}).status == 503 or refused == 0
    assert refused > 0
    told = coordinator.http(unread).call("listStacks")  # who asks is not known yet, and not told where the store is
    assert told.code == "store-unavailable" and database not in told.text and "127.0.0.1" not in told.text
    assert client.raw("GET", "/healthz").status == 200 and client.raw("GET", "/readyz").status == 503
    server.run(f"ALTER DATABASE {database} ALLOW_CONNECTIONS true")
    answer, _ = answers_again(client, lambda c: c.call("requestStack", {"branch": "d", "requestId": request_id()}))
    assert answer.status == 200 and answer.body["stackName"] != got["stackName"]
    assert client.call("renewLease", {"lease": got["lease"]["secret"]}).status == 200
    assert client.raw("GET", "/readyz").status == 200
    failures = [line for line in coordinator.log if "the store failed" in line]
    assert len(failures) <= 3 * refused + 100, "it says so again and again, and nobody asked"


def test_an_outage_wears_out_no_lease_that_is_only_renewed(server, start, url):
    """Renewals fail one by one, and nothing else happens between them."""
    database = url.rsplit("/", 1)[1]
    coordinator = start("--store", url)
    client = coordinator.http(coordinator.project())
    body = {"lease": held(client, leaseSeconds=2)["lease"]["secret"]}
    server.run(f"ALTER DATABASE {database} ALLOW_CONNECTIONS false")
    server.run(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{database}'")
    statuses = []
    end = time.monotonic() + 7
    while time.monotonic() < end:
        statuses.append(client.call("renewLease", body).status)
    server.run(f"ALTER DATABASE {database} ALLOW_CONNECTIONS true")
    assert set(statuses[1:]) == {503}
    end = time.monotonic() + 30
    while client.raw("GET", "/readyz").status != 200:  # whose time was over would be lost before he is heard
        assert time.monotonic() < end, "it did not come back"
    assert client.call("renewLease", body).status == 200


def test_a_server_that_takes_no_writes_any_more_is_left_until_it_does(server, start, url):
    """As an old primary that was made a standby, or whose disk somebody wants to save."""
    coordinator = start("--store", url)
    client = coordinator.http(coordinator.project())
    before = held(client)
    server.run("ALTER SYSTEM SET default_transaction_read_only = on")
    try:
        server.run("SELECT pg_reload_conf()")
        end = time.monotonic() + 30
        while (answer := client.call("requestStack", {"branch": "c", "requestId": request_id()})).status == 200:
            assert time.monotonic() < end, "the server was not told"
        assert answer.code == "store-unavailable" and int(answer.headers["Retry-After"]) > 0
        assert client.call("renewLease", {"lease": before["lease"]["secret"]}).status == 503
        assert client.raw("GET", "/healthz").status == 200 and client.raw("GET", "/readyz").status == 503
    finally:
        server.run("ALTER SYSTEM RESET default_transaction_read_only")
        server.run("SELECT pg_reload_conf()")
    answer, _ = answers_again(client, lambda c: c.call("renewLease", {"lease": before["lease"]["secret"]}))
    assert answer.status == 200, answer
    assert any("takes no writes" in line or "read-only" in line for line in coordinator.log)


class Grants:
    """Who asks for one stack after the other, each until he has it, and what he was granted."""

    def __init__(self, client):
        self.client, self.secrets, self.request_id = client, {}, request_id()

    def ask(self, _client=None):
        body = {"branch": "b", "requestId": self.request_id, "leaseSeconds": 300, "holder": {"note": "x" * 1000}}
        answer = self.client.call("requestStack", body)
        if answer.status == 200:
            self.secrets[answer.body["stackName"]] = answer.body["lease"]["secret"]
            self.request_id = request_id()
        return answer

    def ask_until_refused(self):
        while (refused := self.ask()).status == 200:
            assert len(self.secrets) < 5000
        assert refused.code == "store-unavailable" and int(refused.headers["Retry-After"]) > 0, refused
        assert self.client.raw("GET", "/healthz").status == 200

    def are_all_there(self):
        """And no others."""
        stacks = self.client.call("listStacks").body["stacks"]
        assert {stack["stackName"] for stack in stacks if not stack["isAvailable"]} == set(self.secrets)
        for secret in self.secrets.values():
            assert self.client.call("renewLease", {"lease": secret}).status == 200


@pytest.fixture
def small_tablespace(server):
    with small_disk(16) as folder:
        owner = os.stat(server.folder)
        os.chown(folder, owner.st_uid, owner.st_gid)
        server.run(f"CREATE TABLESPACE small LOCATION '{folder}'")
        server.run("CREATE DATABASE small TABLESPACE small")
        yield folder
        server.run("DROP DATABASE small WITH (FORCE)")
        server.run("DROP TABLESPACE small")


def test_a_servers_full_disk_is_told_and_over_once_there_is_room(server, small_tablespace, start):
    coordinator = start("--store", server.url("small"))
    grants = Grants(coordinator.http(coordinator.project()))
    filler = fill(small_tablespace)
    grants.ask_until_refused()
    until(lambda: any("No space left on device" in line for line in coordinator.log))
    filler.unlink()
    answer, _ = answers_again(grants.client, grants.ask)
    assert answer.status == 200, answer
    grants.are_all_there()


@pytest.fixture
def small_server():
    """All of whose files are on one small disk, the log of its writes too."""
    with small_disk(96) as folder:
        started = Server("max_wal_size=32MB", "min_wal_size=32MB", environment={**os.environ, "TMPDIR": str(folder)})
        yield started
        started.stop()


def test_a_server_that_dies_of_a_full_log_loses_nothing(small_server, start):
    """No room for the log of its writes: it stops at once, in the middle of whatever it did."""
    coordinator = start("--store", small_server.url())
    grants = Grants(coordinator.http(coordinator.project()))
    assert grants.ask().status == 200
    filler = fill(pathlib.Path(small_server.folder).parent)
    with contextlib.suppress(subprocess.CalledProcessError):
        small_server.run("SELECT pg_switch_wal()")
    grants.ask_until_refused()
    said = (pathlib.Path(small_server.folder) / "log").read_text()
    assert "PANIC" in said and "No space left on device" in said
    filler.unlink()
    small_server.start_again()
    answer, _ = answers_again(grants.client, grants.ask)
    assert answer.status == 200, answer
    grants.are_all_there()


class FakeServer(threading.Thread):
    """Speaks as much of PostgreSQL's protocol as a client needs to connect; `say` is what it then says of itself."""

    SSL, GSS = 80877103, 80877104

    def __init__(self, say):
        super().__init__(daemon=True)
        self.say, self.listener = say, socket.create_server(("127.0.0.1", 0))
        self.start()

    @property
    def url(self):
        return f"postgres://postgres@127.0.0.1:{self.listener.getsockname()[1]}/x"

    @staticmethod
    def message(kind, body):
        return kind + struct.pack(">I", len(body) + 4) + body

    def greeting(self):
        settings = {"server_encoding": "UTF8", "client_encoding": "UTF8", "standard_conforming_strings": "on",
                    "default_transaction_read_only": "off", "in_hot_standby": "off", **self.say}  # fmt: skip
        told = b"".join(self.message(b"S", f"{name}\0{value}\0".encode()) for name, value in settings.items())
        return self.message(b"R", struct.pack(">I", 0)) + told + self.message(b"K", bytes(8)) + self.message(b"Z", b"I")

    def run(self):
        with contextlib.suppress(OSError):
            while True:
                client, _ = self.listener.accept()
                with client, contextlib.suppress(struct.error):
                    while True:
                        length, code = struct.unpack(">II", client.recv(8, socket.MSG_WAITALL))
                        client.recv(length - 8)
                        client.sendall(b"N" if code in (self.SSL, self.GSS) else self.greeting())

    def end(self):
        self.listener.close()


@pytest.mark.parametrize(("version", "says"), [("14.9", "version 14; 15 is the oldest"), ("9.6.24", "version 9;")])
def test_a_server_that_is_too_old_is_refused(tmp_path, version, says):
    fake = FakeServer({"server_version": version})
    said = refusal(tmp_path, "--store", fake.url)
    assert says in said
    fake.end()


def test_what_is_no_server_is_refused_in_time(tmp_path):
    """It takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        host = f"127.0.0.1:{silent.getsockname()[1]}"
        assert "timeout expired" in refusal(tmp_path, "--store", f"postgres://postgres@{host}/x")
        assert "127.0.0.1 does not answer" in refusal(tmp_path, "--store", f"postgres://u@{host},{host}/x")


def test_a_server_that_stops_and_goes_on_loses_nothing(server, start, url):
    coordinator = start("--store", url)
    client = coordinator.http(coordinator.project())
    before = held(client)
    server.signal(signal.SIGSTOP)  # its first process: sessions go on, new ones wait
    try:
        assert held(client)["stackName"] != before["stackName"]
    finally:
        server.signal(signal.SIGCONT)
    assert client.call("renewLease", {"lease": before["lease"]["secret"]}).status == 200


def test_sessions_that_end_under_load_lose_nothing_acknowledged(server, start, url):
    database = url.rsplit("/", 1)[1]
    coordinator = start("--store", url)
    client = coordinator.http(coordinator.project())
    granted = {}
    for n in range(60):
        if n % 6 == 5:
            server.run(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{database}'")
        body = {"branch": f"b{n}", "requestId": request_id(), "leaseSeconds": 300}
        answer, _ = answers_again(client, lambda c, body=body: c.call("requestStack", body))
        assert answer.status == 200, answer
        assert answer.body["stackName"] not in granted
        granted[answer.body["stackName"]] = answer.body["lease"]["generation"]
    listed = client.call("listStacks").body["stacks"]
    assert {s["stackName"]: s["lease"]["generation"] for s in listed} == granted
