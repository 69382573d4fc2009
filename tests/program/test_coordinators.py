"""Several coordinators on one PostgreSQL server: a job may speak with any of them, and with another one each time."""

import concurrent.futures
import datetime
import os
import re
import struct
import time

import pytest
from programs import BIN, Coordinator, request_id
from test_queue import Waiting, ask, held, queue, release, until


@pytest.fixture
def house(start, server, tmp_path):
    """Starts coordinators on one database, each with a folder of its own."""
    url = server.url(server.database())
    return lambda name: start("--store", url, data=tmp_path / name)


@pytest.fixture
def two(house):
    return house("one"), house("two")


@pytest.fixture
def key(two):
    return two[0].project("shop", "--max-stacks", "1", "--expiry-grace", "1")


def test_two_that_start_at_once_on_an_empty_database_both_run(house):
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        here, there = pool.map(house, ("one", "two"))
    key = here.project("shop")
    assert there.http(key).call("listStacks").status == 200


def test_what_one_grants_the_other_knows(two, key):
    here, there = (one.http(key) for one in two)
    answer, body = ask(here, "a")
    again = there.call("requestStack", body)
    assert again.status == 200 and again.body["lease"]["secret"] == answer.body["lease"]["secret"]
    assert there.call("joinRequest", {"requestId": body["requestId"]}).status == 200
    secret = answer.body["lease"]["secret"]
    assert there.call("renewLease", {"lease": secret}).status == 200
    assert there.call("listStacks").body["stacks"][0]["isAvailable"] is False
    held_by = there.call("releaseStack", {"stackName": "test-1"}).body
    ends = datetime.datetime.fromisoformat(held_by["expires"]) - datetime.datetime.now(datetime.UTC)
    assert held_by["code"] == "lease-required" and 280 < ends.total_seconds() <= 301
    assert release(there, secret).status == 200
    assert here.call("listStacks").body["stacks"][0]["isAvailable"] is True  # lists are never older than an answer
    assert here.call("renewLease", {"lease": secret}).body["code"] == "lease-lost"


def test_renewals_anywhere_keep_a_lease_and_silence_loses_it(two, key):
    """It is granted by one and renewed through the other alone, for several times its length."""
    here, there = (one.http(key) for one in two)
    secret = held(here, lease=2)
    end = time.monotonic() + 6
    while time.monotonic() < end:
        assert there.call("renewLease", {"lease": secret}).status == 200
    waiting = Waiting(two[0], "http", key, "b")
    assert waiting.result().status == 200  # nobody renews it any more
    lost = there.call("renewLease", {"lease": secret})
    assert lost.status == 410 and lost.body["why"] == "expired"


@pytest.mark.parametrize("transport", ["http", "nng"])
def test_a_release_through_one_wakes_who_waits_at_the_other(two, key, transport):
    here, there = two
    client = here.http(key)
    secret = held(client)
    called = 0
    while called < 3:  # a look, once a second, finds it too, and may be first
        waiting = Waiting(there, transport, key, "b")
        until(lambda: len(queue(client)) == 1)
        assert release(client, secret).status == 200
        got = waiting.result()
        assert got.status == 200
        secret = got.body["lease"]["secret"]
        assert client.call("renewLease", {"lease": secret}).status == 200
        metrics = there.http(None).raw("GET", "/metrics").text
        called = int(re.search(r"^stack_coordinator_waiters_called_total (\d+)$", metrics, re.M)[1])


def test_who_cannot_be_called_hears_a_little_later_and_the_log_says_why(start, server, tmp_path):
    database = server.database()
    server.run(f"CREATE ROLE mute LOGIN; ALTER DATABASE {database} OWNER TO mute")
    server.run("REVOKE EXECUTE ON FUNCTION pg_notify(text, text) FROM PUBLIC", database)
    url = server.url(database, "mute")
    here, there = (start("--store", url, data=tmp_path / name) for name in ("one", "two"))
    key = here.project("shop", "--max-stacks", "1")
    secret = held(here.http(key))
    waiting = Waiting(there, "http", key, "b")
    until(lambda: queue(here.http(key)))
    assert release(here.http(key), secret).status == 200
    assert waiting.result().status == 200
    until(lambda: any("was not called" in line and "pg_notify" in line for line in here.log))


def test_who_waits_longest_is_served_first_wherever_he_waits(two, key):
    first_client = two[0].http(key)
    secret = held(first_client)
    waiting = []
    for n in range(6):
        waiting.append(Waiting(two[n % 2], "http", key, f"b{n}"))
        until(lambda n=n: len(queue(first_client)) == n + 1)
    order = []
    for n in range(6):
        assert release(two[n % 2].http(key), secret).status == 200
        until(lambda n=n: sum(not one.is_alive() for one in waiting) == n + 1)
        (served,) = [one for one in waiting if not one.is_alive() and one not in order]
        order.append(served)
        secret = served.answer.body["lease"]["secret"]
        assert two[1 - n % 2].http(key).call("renewLease", {"lease": secret}).status == 200
    assert order == waiting


def test_who_waits_at_a_dead_coordinator_is_passed_over_within_seconds(two, key):
    """Its requests keep their places: asked for again elsewhere, they are served in their turn."""
    here, there = two
    client = here.http(key)
    secret = held(client)
    _, elder = ask(there.http(key), "b", wait=0, ifNone="wait")
    younger = Waiting(here, "http", key, "c")
    until(lambda: len(queue(client)) == 2)
    there.hang_up()
    there.kill()
    until(lambda: client.call("listQueue").body["queue"][0].get("position") is None)
    assert release(client, secret).status == 200
    got = younger.result()
    assert got.status == 200
    again = client.call("requestStack", elder)
    assert again.status == 202 and again.body["position"] == 1
    assert release(client, got.body["lease"]["secret"]).status == 200
    assert client.call("requestStack", elder).status == 200


def test_leases_outlive_the_coordinator_that_granted_them(house, two, key):
    here, there = two
    secret = held(here.http(key), lease=4)
    here.hang_up()
    here.kill()
    client = there.http(key)
    end = time.monotonic() + 6
    while time.monotonic() < end:
        assert client.call("renewLease", {"lease": secret}).status == 200
    third = house("three")
    assert third.http(key).call("renewLease", {"lease": secret}).status == 200
    assert release(third.http(key), secret).status == 200


def test_a_key_revoked_through_one_stops_at_the_other_within_seconds(two, key):
    here, there = two
    client = there.http(key)
    assert client.call("listStacks").status == 200
    ids = [line.split()[0] for line in here.admin("key", "list", "shop").stdout.splitlines()[1:]]
    here.admin("key", "revoke", "shop", ids[0])
    began = time.monotonic()
    until(lambda: client.call("listStacks").status == 401)
    assert time.monotonic() - began < 7
    fresh = here.admin("key", "create", "shop", "--scope", "agent").stdout.split()[-1]
    assert there.http(fresh).call("listStacks").status == 200  # a new one is known at once


def test_who_waits_with_a_key_that_is_revoked_elsewhere_gets_nothing(two, key):
    here, there = two
    other = here.admin("key", "create", "shop", "--scope", "agent").stdout.split()[-1]
    client, stranger = here.http(key), there.http(other)
    secret = held(client)
    assert stranger.call("listStacks").status == 200  # it is known there
    waiting = Waiting(there, "http", other, "b")
    until(lambda: len(queue(client)) == 1)
    here.admin("key", "revoke", "shop", other.split("_")[2])
    until(lambda: stranger.call("listStacks").status == 401)
    assert release(client, secret).status == 200
    assert waiting.result().status == 401


def test_a_machine_whose_clock_is_a_day_ahead_forgets_nothing_for_the_others(start, server, tmp_path):
    """What is over is kept for a day, and looked for each minute: of that machine, whose minutes are short too."""
    url = server.url(server.database())
    here = start("--store", url, data=tmp_path / "one")
    client = here.http(here.project("shop"))
    cancelled = {"branch": "b", "requestId": request_id()}
    assert client.call("cancelRequest", {"requestId": cancelled["requestId"]}).status == 200
    answer, released = ask(client, "a")
    assert release(client, answer.body["lease"]["secret"]).status == 200
    steps = tmp_path / "steps"
    steps.write_bytes(struct.pack("q", 25 * 3600 * 1000))
    ahead = Coordinator(tmp_path / "two", "--store", url,
                        environment=os.environ | {"CLOCK_SPEED": "200", "CLOCK_STEPS": str(steps)})  # fmt: skip
    ahead.program = BIN / "faulty-coordinator"
    ahead.start()
    try:
        end = time.monotonic() + 3
        while time.monotonic() < end:
            assert client.call("requestStack", released).status == 410
            assert client.call("requestStack", cancelled).status == 410
    finally:
        assert ahead.stop() == 0


def test_one_goes_down_and_its_waiters_go_on_elsewhere(two, key):
    here, there = two
    client = here.http(key)
    secret = held(client)
    body = {"branch": "b", "requestId": request_id(), "leaseSeconds": 300, "waitSeconds": 25}
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        poll = pool.submit(there.http(key).call, "requestStack", body)
        until(lambda: len(queue(client)) == 1)
        assert there.stop() == 0
        told = poll.result(30)
    assert told.status == 202 and told.body["retryAfterSeconds"] == 1
    assert release(client, secret).status == 200
    assert client.call("requestStack", body).status == 200


def test_an_operators_act_through_one_is_told_through_the_other(two, key):
    here, there = two
    secret = held(here.http(key))
    there.admin("stack", "release", "shop", "test-1")
    lost = there.http(key).call("renewLease", {"lease": secret})
    assert lost.status == 410 and lost.body["why"] == "forced"
    assert Waiting(here, "http", key, "b").result().status == 200  # its rest ends where nobody was told, too
