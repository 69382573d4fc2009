"""Leases that expire and requests that wait, over real sockets and in real time: short leases, no sleeps but those a
lease needs. What needs many seconds is tested in virtual time (tests/faults/test_service_leases.c)."""

import json
import re
import socket
import struct
import threading
import time

import pytest
from programs import Answer, NngClient, lasting, request_id, until


@pytest.fixture
def key(coordinator):
    return coordinator.project("shop", "--max-stacks", "1", "--expiry-grace", "1")


@pytest.fixture
def client(coordinator, key, transport):
    return coordinator.client(transport, key)


def ask(client, branch, lease=300, wait=0, **more):
    body = {"branch": branch, "requestId": request_id(), "leaseSeconds": lease, "waitSeconds": wait} | more
    return client.call("requestStack", body), body


def held(client, branch="a", lease=300, **more):
    answer, _ = ask(client, branch, lease, **more)
    assert answer.status == 200, answer
    return answer.body["lease"]["secret"]


def release(client, lease, **more):
    return client.call("releaseStack", {"stackName": "test-1", "lease": lease} | more)


class Waiting(threading.Thread):
    """A long poll of its own connection, until it is not told to wait any longer."""

    def __init__(self, coordinator, transport, key, branch, lease=300, **more):
        super().__init__(daemon=True)
        self.client = coordinator.client(transport, key)
        self.body = {"branch": branch, "requestId": request_id(), "leaseSeconds": lease, "waitSeconds": 25} | more
        self.answer: Answer | None = None
        self.start()

    def run(self):
        while self.answer is None or self.answer.status == 202:
            self.answer = self.client.call("requestStack", self.body)
        self.answered_at = time.monotonic()

    def result(self):
        self.join(30)
        assert not self.is_alive()
        return self.answer


def queue(client):
    return client.call("listQueue").body["queue"]


def test_a_release_hands_the_stack_over_at_once(coordinator, client, key, transport):
    lease = held(client)
    waiting = Waiting(coordinator, transport, key, "b", holder={"actor": "ben"})
    until(lambda: len(queue(client)) == 1, "one is in line")
    assert queue(client)[0] | {"since": 0, "ticket": 0} == {
        "ticket": 0, "position": 1, "purpose": "test", "branch": "b", "since": 0, "holder": {"actor": "ben"},
    }  # fmt: skip
    released_at = time.monotonic()
    assert release(client, lease).status == 200
    answer = waiting.result()
    assert answer.status == 200 and answer.body["stackName"] == "test-1"
    assert waiting.answered_at - released_at < 5
    assert client.call("renewLease", {"lease": answer.body["lease"]["secret"]}).status == 200
    assert queue(client) == []


def test_whoever_waits_longest_is_served_first(coordinator, client, key, transport):
    lease = held(client)
    waiting = []
    for i in range(4):
        waiting.append(Waiting(coordinator, transport, key, f"b{i}"))
        until(lambda n=i: len(queue(client)) == n + 1, "it is in line")
    assert [q["branch"] for q in queue(client)] == ["b0", "b1", "b2", "b3"]
    assert [q["position"] for q in queue(client)] == [1, 2, 3, 4]
    for w in waiting:
        assert release(client, lease).status == 200
        lease = w.result().body["lease"]["secret"]
        assert client.call("renewLease", {"lease": lease}).status == 200


def test_a_lease_that_is_not_renewed_is_lost_and_its_holder_hears_why(coordinator, client, key, transport):
    lease = held(client, lease=2, holder={"actor": "anna"})
    waiting = Waiting(coordinator, transport, key, "b", holder={"actor": "ben"})
    answer = waiting.result()
    assert answer.status == 200 and "lastDeployedCommit" not in answer.body
    assert client.call("renewLease", {"lease": answer.body["lease"]["secret"]}).status == 200
    lost = client.call("renewLease", {"lease": lease})
    assert (lost.status, lost.code, lost.body["why"]) == (410, "lease-lost", "expired")
    assert lost.body["holder"] == {"actor": "ben"} and lost.body["generation"] == answer.body["lease"]["generation"]
    assert release(client, lease).status == 410
    kinds = [e["kind"] for e in coordinator.http(key).call("listEvents").body["events"]]
    assert [k for k in kinds if k in ("queued", "granted", "expired", "rested")] == [
        "granted", "queued", "expired", "rested", "granted",
    ]  # fmt: skip


def test_a_renewed_lease_lives(client):
    lease = held(client, lease=2)
    end = time.monotonic() + 5
    while time.monotonic() < end:
        renewed = client.call("renewLease", {"lease": lease})
        assert renewed.status == 200 and renewed.body["expiresInSeconds"] in (1, 2)
    assert release(client, lease).status == 200


def test_who_hangs_up_loses_his_turn_and_not_his_place(coordinator, client, key, transport):
    lease = held(client)
    body = {"branch": "gone", "requestId": request_id(), "leaseSeconds": 300, "waitSeconds": 25}
    gone = send_and_not_listen(coordinator, transport, key, body)
    until(lambda: len(queue(client)) == 1, "one is in line")
    there = Waiting(coordinator, transport, key, "there")
    until(lambda: len(queue(client)) == 2, "two are in line")
    gone.close()
    until(lambda: "position" not in queue(client)[0], "it is granted")
    assert release(client, lease).status == 200
    lease = there.result().body["lease"]["secret"]
    assert client.call("renewLease", {"lease": lease}).status == 200
    again = client.call("requestStack", body | {"waitSeconds": 0})
    assert (again.status, again.body["position"]) == (202, 1)


def send_and_not_listen(coordinator, transport, key, body):
    """The socket behind a requestStack whose answer nobody reads."""
    text = json.dumps(body)
    if transport == "nng":
        client = NngClient(coordinator.ready["nng"][0])
        message = json.dumps({"op": "requestStack", "auth": key, "body": body}).encode()
        client.socket.sendall(struct.pack(">QI", len(message) + 4, 0x80000001) + message)
        return client.socket
    host, port = coordinator.ready["http"].rsplit(":", 1)
    connection = socket.create_connection((host, int(port)))
    head = f"POST /requestStack HTTP/1.1\r\nHost: x\r\nX-API-Key: {key}\r\nContent-Length: {len(text)}\r\n\r\n"
    connection.sendall((head + text).encode())
    return connection


def test_the_queue_survives_a_crash(coordinator, client, key, transport):
    lease = held(client)
    first = {"branch": "b", "requestId": request_id(), "leaseSeconds": 300, "waitSeconds": 1}
    second = first | {"requestId": request_id(), "branch": "c"}
    assert client.call("requestStack", first).status == 202
    assert client.call("requestStack", second).body["position"] == 2
    coordinator.kill()
    coordinator.start()
    client = coordinator.client(transport, key)
    assert [q["branch"] for q in queue(client)] == ["b", "c"]
    assert release(client, lease).status == 200
    granted = client.call("requestStack", first)
    assert granted.status == 200
    assert client.call("requestStack", second).status == 202
    assert lasting(client.call("joinRequest", {"requestId": first["requestId"]})) == lasting(granted)


def test_a_cancelled_wait_ends(coordinator, client, key, transport):
    held(client)
    waiting = Waiting(coordinator, transport, key, "b")
    until(lambda: len(queue(client)) == 1, "one is in line")
    cancel = {"requestId": waiting.body["requestId"]}
    assert client.call("cancelRequest", cancel).body["result"] == "removed"
    assert (waiting.result().status, waiting.answer.body["why"]) == (410, "cancelled")
    assert client.call("cancelRequest", cancel).body["result"] == "removed"


def test_a_drain_lets_who_waits_go(coordinator, client, key, transport):
    held(client)
    patient = coordinator.client(transport, key)
    body = {"branch": "b", "requestId": request_id(), "leaseSeconds": 300, "waitSeconds": 25}
    answers = []
    thread = threading.Thread(target=lambda: answers.append(patient.call("requestStack", body)), daemon=True)
    thread.start()
    until(lambda: len(queue(client)) == 1, "one is in line")
    assert coordinator.stop() == 0
    thread.join(10)
    assert answers[0].status == 202 and answers[0].body["retryAfterSeconds"] == 1


def test_cleaners_take_what_is_dirty_and_give_it_back(coordinator, client, key, transport):
    coordinator.admin("project", "update", "shop", "--cleaning", "on")
    lease = held(client)
    cleaner = Waiting(coordinator, transport, key, "ignored", purpose="clean")
    until(lambda: len(queue(client)) == 1, "one is in line")
    tester = Waiting(coordinator, transport, key, "b")
    until(lambda: len(queue(client)) == 2, "two are in line")
    assert release(client, lease, outcome="dirty").status == 200
    cleaning = cleaner.result().body
    assert cleaning["stackName"] == "test-1"
    assert release(client, cleaning["lease"]["secret"]).status == 200
    assert tester.result().status == 200
    events = coordinator.http(key).call("listEvents").body["events"]
    assert any(e["kind"] == "released" and e.get("note") == "cleaned" for e in events)


def test_three_failed_cleanings_quarantine(coordinator, client, key):
    coordinator.admin("project", "update", "shop", "--cleaning", "on")
    assert release(client, held(client), outcome="dirty").status == 200
    for state in ("dirty", "dirty", "quarantined"):
        cleaning, _ = ask(client, "x", purpose="clean")
        assert release(client, cleaning.body["lease"]["secret"], outcome="dirty").status == 200
        assert coordinator.http(key).call("listStacks").body["stacks"][0]["state"] == state
    coordinator.admin("stack", "restore", "shop", "test-1")
    held(client)


def test_metrics_tell_of_waiting_and_loss(coordinator, client, key, transport):
    held(client, lease=2)
    waiting = Waiting(coordinator, transport, key, "b")
    until(lambda: "stack_coordinator_waiting_requests 1\n" in metrics(coordinator), "the metrics count it")
    assert "stack_coordinator_waiting_connections 1\n" in metrics(coordinator)
    waiting.result()
    page = metrics(coordinator)
    assert "stack_coordinator_leases_lost_total 1\n" in page
    assert "stack_coordinator_wait_duration_seconds_count 1\n" in page
    assert "stack_coordinator_handoff_duration_seconds_count 1\n" in page
    assert "stack_coordinator_waiting_requests 0\n" in page
    # It waited for two seconds: that is the queue's time, not the operation's.
    spent = float(re.search(r"^stack_coordinator_operation_duration_seconds_sum (\S+)$", page, re.M)[1])
    waited = float(re.search(r"^stack_coordinator_wait_duration_seconds_sum (\S+)$", page, re.M)[1])
    assert spent < waited / 2


def metrics(coordinator):
    return coordinator.http().raw("GET", "/metrics").text
