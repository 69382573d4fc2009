"""Killed under load, a full disk, a drain: nothing acknowledged is lost, nothing is half done."""

import contextlib
import http.client
import os
import pathlib
import random
import shutil
import subprocess
import threading
import time

import pytest
from programs import Coordinator, fill, lasting, request_id, small_disk

KILLS = int(os.environ.get("KILLS", "25"))


class Worker(threading.Thread):
    """Requests and releases until its connection breaks; keeps what it knows for sure."""

    def __init__(self, coordinator, key, number, transport):
        super().__init__()
        self.client = coordinator.client(transport, key)
        self.number = number
        self.holds = {}  # stack name → (body of the request, answer): acknowledged, not yet asked to be released
        self.released = []  # secrets whose release was acknowledged
        self.in_doubt = []  # requests without an answer
        self.doubtful_release = set()

    def run(self):
        with contextlib.suppress(OSError, ValueError, http.client.HTTPException):
            while True:
                self.step()

    def step(self):
        body = {"branch": f"b{self.number}", "requestId": request_id(), "leaseSeconds": 300}
        self.in_doubt.append(body)
        answer = self.client.call("requestStack", body)
        if answer.status != 200:
            raise ConnectionResetError(answer.text)  # draining: this job would go elsewhere
        self.in_doubt.pop()
        got = answer.body
        self.holds[got["stackName"]] = (body, got)
        if random.random() < 0.7:
            secret = got["lease"]["secret"]
            self.doubtful_release.add(got["stackName"])
            release = self.client.call("releaseStack", {"stackName": got["stackName"], "lease": secret})
            if release.code == "draining":
                raise ConnectionResetError
            assert release.status == 200, release
            self.doubtful_release.discard(got["stackName"])
            del self.holds[got["stackName"]]
            self.released.append((got["stackName"], secret, body))


def same_lease(one, other):
    return all(one["lease"][name] == other["lease"][name] for name in ("id", "secret", "generation"))


def check(coordinator, key, workers):
    """After a restart: every acknowledged grant is live with its holder, every acknowledged release is over."""
    client = coordinator.http(key)
    listed = {s["stackName"]: s for s in client.call("listStacks").body["stacks"]}
    seen = {}
    for worker in workers:
        for name, (body, got) in worker.holds.items():
            if name in worker.doubtful_release:
                continue
            assert name not in seen, f"{name} is held twice: {seen[name]} and {got}"
            seen[name] = got
            assert listed[name]["lease"]["generation"] == got["lease"]["generation"], (listed[name], got)
            again = client.call("requestStack", body)
            assert again.status == 200 and lasting(again)["lease"] == {
                k: got["lease"][k] for k in ("id", "secret", "generation")
            }, again
        for _, _, body in worker.released[-20:]:
            again = client.call("requestStack", body)
            assert (again.status, again.body["why"]) == (410, "released"), again
        for body in worker.in_doubt:
            # Happened or not: asked again it is one lease, and it can be given back.
            once, twice = client.call("requestStack", body), client.call("requestStack", body)
            assert once.status in (200, 410) and lasting(once) == lasting(twice)
    generations = [s["lease"]["generation"] for s in listed.values() if "lease" in s]
    assert len(generations) == len(set(generations))
    numbers = sorted(s["number"] for s in listed.values())
    assert numbers == list(range(1, len(numbers) + 1))


def test_killed_under_load_nothing_acknowledged_is_lost(start):
    coordinator = start()
    key = coordinator.project()
    for _ in range(KILLS):
        workers = [Worker(coordinator, key, n, ("http", "nng")[n % 2]) for n in range(16)]
        for worker in workers:
            worker.start()
        threading.Event().wait(random.uniform(0.02, 0.25))  # the moment of the kill is the point of the test
        coordinator.kill()
        for worker in workers:
            worker.join()
            worker.client.close()
        coordinator.start()
        check(coordinator, key, workers)
        client = coordinator.http(key)
        for worker in workers:
            for name, (_, got) in worker.holds.items():
                client.call("releaseStack", {"stackName": name, "lease": got["lease"]["secret"]})


@pytest.fixture
def disk():
    with small_disk(1) as folder:
        yield folder


@pytest.mark.sqlite
def test_a_full_disk_is_refused_loudly_and_heals_without_a_restart(disk, start):
    coordinator = start(data=disk / "data")
    key = coordinator.project()
    client = coordinator.http(key)
    held = []
    filler = fill(disk)
    refused = None
    for n in range(5000):
        answer = client.call(
            "requestStack", {"branch": f"b{n}", "note": "x" * 900, "requestId": request_id(), "leaseSeconds": 300}
        )
        if answer.status != 200:
            refused = answer
            break
        held.append(answer.body)
    assert refused is not None and (refused.status, refused.code) == (503, "store-unavailable"), refused
    assert int(refused.headers["Retry-After"]) > 0
    # Still refused, still alive, and what was granted is still there.
    assert client.raw("GET", "/healthz").status == 200
    assert {s["stackName"] for s in client.call("listStacks").body["stacks"]} == {h["stackName"] for h in held}
    filler.unlink()
    for h in held:
        assert client.call("releaseStack", {"stackName": h["stackName"], "lease": h["lease"]["secret"]}).status == 200
    assert client.call("requestStack", {"branch": "healed", "requestId": request_id()}).status == 200
    coordinator.kill()
    coordinator.start()
    stacks = coordinator.http(key).call("listStacks").body["stacks"]
    assert len([s for s in stacks if not s["isAvailable"]]) == 1


def test_sigterm_answers_what_was_accepted_and_exits_0(start):
    coordinator = start()
    key = coordinator.project()
    workers = [Worker(coordinator, key, n, ("http", "nng")[n % 2]) for n in range(16)]
    for worker in workers:
        worker.start()
    threading.Event().wait(0.3)
    assert coordinator.stop() == 0
    for worker in workers:
        worker.join()
    coordinator.start()
    check(coordinator, key, workers)


def test_idle_connections_do_not_hold_up_the_end(start):
    coordinator = start()
    clients = [coordinator.http(coordinator.project(f"p{n}")) for n in range(4)]
    for client in clients:
        client.call("listStacks")
    begun = time.monotonic()
    assert coordinator.stop() == 0
    assert time.monotonic() - begun < 5


def test_a_second_daemon_on_the_same_data_is_refused(coordinator):
    second = Coordinator(coordinator.data)
    with pytest.raises(AssertionError, match="not ready, exit [1-9]") as refused:
        second.start()
    assert str(coordinator.process.pid) in str(refused.value) and str(coordinator.data) in str(refused.value)
    assert coordinator.http(None).raw("GET", "/readyz").status == 200


@pytest.mark.sqlite
def test_a_backup_taken_under_load_is_whole(start, tmp_path):
    coordinator = start()
    key = coordinator.project()
    workers = [Worker(coordinator, key, n, "http") for n in range(4)]
    for worker in workers:
        worker.start()
    copy = tmp_path / "copy" / "stacks.db"
    copy.parent.mkdir(mode=0o700)
    coordinator.admin("backup", str(copy))
    again = coordinator.admin("backup", str(copy), check=False)
    assert again.returncode != 0 and "already" in again.stderr
    nowhere = coordinator.admin("backup", str(tmp_path / "none" / "stacks.db"), check=False)
    assert nowhere.returncode == 64 and "No such file" in nowhere.stderr, "no fault of the daemon's"
    coordinator.kill()
    for worker in workers:
        worker.join()
    restored = start(data=copy.parent)
    stacks = restored.http(key).call("listStacks").body["stacks"]
    assert [s["number"] for s in stacks] == list(range(1, len(stacks) + 1))
    assert pathlib.Path(coordinator.data / "stacks.db").exists()


def backed_up_and_killed(start, copy):
    """A coordinator with a project `late` of which the backup knows nothing, in a folder with what a crash leaves."""
    coordinator = start()
    coordinator.admin("backup", str(copy))
    coordinator.http(coordinator.project("late")).call("requestStack", {"branch": "b"})
    coordinator.kill()
    shutil.copy(copy, coordinator.data / "stacks.db")
    return coordinator


@pytest.mark.sqlite
@pytest.mark.parametrize("left", ["wal", "log"])
def test_what_is_left_of_the_former_database_is_not_laid_over_a_backup(start, tmp_path, left):
    coordinator = backed_up_and_killed(start, tmp_path / "stacks.db")
    logs = {kind: coordinator.data / f"stacks.db-{kind}" for kind in ("wal", "log")}
    for kind, log in logs.items():
        assert log.stat().st_size > 0
        if kind != left:
            log.unlink()
    for _ in range(2):
        with pytest.raises(AssertionError, match=f"is a backup, and .*stacks.db-{left} is of the database .* before"):
            coordinator.start()
    assert (coordinator.data / "stacks.db").read_bytes() == (tmp_path / "stacks.db").read_bytes()
    logs[left].unlink()
    coordinator.start()
    assert coordinator.admin("project", "list", "--json").stdout.count("late") == 0
    coordinator.project("again")
    coordinator.kill()
    coordinator.start()  # no backup any more: the logs are its own
    assert coordinator.admin("project", "list", "--json").stdout.count("again") == 1


@pytest.mark.sqlite
def test_the_log_of_a_former_database_is_not_mixed_into_a_copy(start, tmp_path):
    """A copy by other means than `backup`, which bears no mark."""
    coordinator = backed_up_and_killed(start, tmp_path / "stacks.db")
    (coordinator.data / "stacks.db-wal").unlink()
    with open(coordinator.data / "stacks.db", "r+b") as database:
        database.seek(18)
        database.write(b"\2\2")
    for _ in range(2):
        with pytest.raises(AssertionError, match="is of another database than .* move .*stacks.db-log .* away"):
            coordinator.start()


@pytest.mark.sqlite
def test_a_row_that_cannot_be_read_is_why_it_does_not_start(start):
    coordinator = start()
    coordinator.http(coordinator.project()).call("requestStack", {"branch": "b", "leaseSeconds": 300})
    coordinator.stop()
    words = "PRAGMA ignore_check_constraints = ON; UPDATE stack SET state = 99"
    subprocess.run(["sqlite3", coordinator.data / "stacks.db", words], check=True)
    with pytest.raises(AssertionError, match="a row of table stack holds what no version writes"):
        coordinator.start()
