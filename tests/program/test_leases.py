"""Exactly once, bound leases, retiring, a full pool: over both transports alike."""

import datetime
import json

import pytest
from programs import lasting, request_id


@pytest.fixture
def key(coordinator):
    return coordinator.project("shop", "--max-stacks", "2")


@pytest.fixture
def client(coordinator, key, transport):
    return coordinator.client(transport, key)


def ask(client, branch="b", **more):
    return client.call("requestStack", {"branch": branch, "requestId": request_id(), "leaseSeconds": 300} | more)


def test_same_request_again_is_the_same_lease(client):
    body = {"branch": "b", "requestId": request_id(), "leaseSeconds": 300}
    first, second = client.call("requestStack", body), client.call("requestStack", body)
    assert first.status == 200 and lasting(second) == lasting(first)
    assert first.body["lease"].keys() == {"id", "secret", "generation", "expires", "expiresInSeconds"}
    assert first.body["lease"]["expiresInSeconds"] == 300


def test_the_same_request_over_the_other_transport_and_after_a_restart(coordinator, key, start):
    body = {"branch": "b", "requestId": request_id(), "leaseSeconds": 300}
    answers = [lasting(coordinator.client(t, key).call("requestStack", body)) for t in ("http", "nng")]
    coordinator.kill()
    coordinator.start()
    answers += [lasting(coordinator.client(t, key).call("requestStack", body)) for t in ("nng", "http")]
    assert all(answer == answers[0] for answer in answers)


@pytest.mark.parametrize(
    "changed", [{"branch": "other"}, {"commit": "abc"}, {"leaseSeconds": 60}, {"purpose": "clean"}]
)
def test_the_same_id_for_another_ask_is_refused(client, changed):
    body = {"branch": "b", "requestId": request_id(), "leaseSeconds": 300}
    assert client.call("requestStack", body).status == 200
    answer = client.call("requestStack", body | changed)
    assert (answer.status, answer.code) == (422, "request-mismatch")
    assert (
        client.call("requestStack", body | {"waitSeconds": 3, "ifNone": "fail", "holder": {"actor": "x"}}).status == 200
    )


def test_a_request_that_is_over_stays_over(client):
    body = {"branch": "b", "requestId": request_id(), "leaseSeconds": 300}
    lease = client.call("requestStack", body).body["lease"]["secret"]
    release = {"stackName": "test-1", "lease": lease}
    assert client.call("releaseStack", release).status == 200
    again = client.call("requestStack", body)
    assert (again.status, again.code, again.body["why"]) == (410, "request-over", "released")
    assert client.call("releaseStack", release | {"outcome": "dirty"}).status == 200
    assert client.call("joinRequest", {"requestId": body["requestId"]}).status == 410


def test_a_late_release_frees_nobody_elses(client, coordinator, key):
    first = ask(client).body
    client.call("releaseStack", {"stackName": "test-1", "lease": first["lease"]["secret"]})
    second = ask(client, holder={"actor": "anna", "link": "https://ci.example.org/7"}).body
    assert second["stackName"] == "test-1"
    client.call("cancelRequest", {"requestId": request_id()})
    third = client.call(
        "setLastDeployedCommit", {"stackName": "test-1", "lastDeployedCommit": "abc", "lease": first["lease"]["secret"]}
    )
    assert (third.status, third.code, third.body["why"]) == (410, "lease-lost", "released")
    assert third.body["holder"]["actor"] == "anna" and third.body["generation"] == second["lease"]["generation"]
    listed = coordinator.http(key).call("listStacks").body["stacks"][0]
    assert listed["lease"]["generation"] == second["lease"]["generation"] and "lastDeployedCommit" not in listed


def moment(text):
    return datetime.datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


def test_a_bound_lease_is_ended_by_its_secret_alone(client, coordinator, key):
    lease = ask(client, holder={"actor": "anna"}).body["lease"]["secret"]
    by_name = coordinator.http(key).call("releaseStack", {"stackName": "test-1"})
    assert (by_name.status, by_name.code) == (409, "lease-required") and "anna" in by_name.text
    deploy = coordinator.http(key).call("setLastDeployedCommit", {"stackName": "test-1", "lastDeployedCommit": "abc"})
    assert (deploy.status, deploy.code) == (409, "lease-required")
    until = coordinator.http(key).call("listStacks").body["stacks"][0]["lease"]["expires"]
    for refused in by_name, deploy:  # who holds it until when
        assert abs(moment(until) - moment(refused.body["expires"])) < 60
    # The secret needs no key, and a bad key beside it is ignored.
    assert (
        client.call(
            "setLastDeployedCommit", {"stackName": "test-1", "lastDeployedCommit": "abc", "lease": lease}, key=None
        ).status
        == 200
    )
    assert client.call("releaseStack", {"stackName": "test-1", "lease": lease}, key="not-a-key-at-all").status == 200


def test_forged_secrets_and_those_of_another_stack_change_nothing(client, coordinator, key):
    lease = ask(client).body["lease"]["secret"]
    ask(client, "c")
    wrong_stack = client.call("releaseStack", {"stackName": "test-2", "lease": lease})
    assert (wrong_stack.status, wrong_stack.code) == (403, "forbidden")
    forged = lease[:-1] + ("0" if lease[-1] != "0" else "1")
    for secret in (forged, "sol_shop_1_1_00", "x", lease + "0"):
        answer = client.call("releaseStack", {"stackName": "test-1", "lease": secret})
        assert (answer.status, answer.code) == (401, "unauthenticated")
    other = coordinator.project("other")
    assert client.call("releaseStack", {"stackName": "test-1", "lease": lease}, key=other).status == 403
    assert all(not s["isAvailable"] for s in coordinator.http(key).call("listStacks").body["stacks"])


@pytest.mark.parametrize("more", [{}, {"ifNone": "fail", "waitSeconds": 5}, {"ifNone": "fail"}, {"waitSeconds": 0}])
def test_a_full_pool_says_so_at_once(client, more):
    ask(client, "a")
    ask(client, "b")
    answer = ask(client, "c", **more)
    assert (answer.status, answer.code) == (409, "none-available")
    # A refusal is not remembered: the same id may try again later.


def test_a_good_key_never_suffers_from_a_neighbours_bad_ones(client, coordinator, key):
    """Nor does a forged secret beside it, which is an error of the job's and not to be repeated."""
    secret = client.call("requestStack", {"branch": "b", "requestId": request_id(), "leaseSeconds": 300}).body["lease"][
        "secret"
    ]
    forged = secret[:-1] + ("0" if secret[-1] != "0" else "1")
    stranger = coordinator.http("no-key-of-anybody")
    answers = [stranger.call("listStacks").status for _ in range(80)]
    assert answers[0] == 401 and answers[-1] == 429
    http = coordinator.http(key)
    assert http.call("listStacks").status == 200
    assert http.call("renewLease", {"lease": forged}).status == 401
    assert http.call("renewLease", {"lease": secret}).status == 200


def test_a_refusal_is_not_remembered(client):
    leases = [ask(client, b).body for b in ("a", "b")]
    body = {"branch": "c", "requestId": request_id(), "leaseSeconds": 300}
    assert client.call("requestStack", body).status == 409
    client.call("releaseStack", {"stackName": "test-1", "lease": leases[0]["lease"]["secret"]})
    assert client.call("requestStack", body).body["stackName"] == "test-1"


def test_cancel_of_an_unknown_request_is_kept(client):
    body = {"branch": "b", "requestId": request_id()}
    first = client.call("cancelRequest", {"requestId": body["requestId"]})
    assert (first.status, first.body["result"]) == (200, "stored")
    assert client.call("cancelRequest", {"requestId": body["requestId"]}).body["result"] == "stored"
    answer = client.call("requestStack", body)
    assert (answer.status, answer.code, answer.body["why"]) == (410, "request-over", "cancelled")


def test_cancel_of_a_live_grant_leaves_the_content_unknown(client, coordinator, key):
    body = {"branch": "b", "requestId": request_id(), "leaseSeconds": 300}
    lease = client.call("requestStack", body).body["lease"]["secret"]
    client.call("setLastDeployedCommit", {"stackName": "test-1", "lastDeployedCommit": "abc", "lease": lease})
    assert client.call("cancelRequest", {"requestId": body["requestId"]}).body["result"] == "ended"
    assert client.call("releaseStack", {"stackName": "test-1", "lease": lease}).status == 410
    again = ask(client)
    assert again.body["stackName"] == "test-1" and "lastDeployedCommit" not in again.body


def test_join_shows_the_same_lease_and_never_creates(client):
    body = {"branch": "b", "requestId": request_id(), "leaseSeconds": 300}
    unknown = client.call("joinRequest", {"requestId": body["requestId"]})
    assert (unknown.status, unknown.code) == (404, "unknown-request")
    first = client.call("requestStack", body)
    joined = client.call("joinRequest", {"requestId": body["requestId"], "holder": {"job": "test"}})
    assert lasting(joined) == lasting(first)


def test_a_leased_stack_retires_and_is_gone_once_released(client, coordinator, key):
    leases = [ask(client, b).body for b in ("a", "b")]
    http = coordinator.http(key)
    assert http.call("deleteLastStack").body == {"message": "Stack test-2 deleted"}
    states = {s["stackName"]: s["state"] for s in http.call("listStacks").body["stacks"]}
    assert states == {"test-1": "leased", "test-2": "retiring"}
    assert ask(client, "c").status == 409  # retiring ones count
    client.call("releaseStack", {"stackName": "test-2", "lease": leases[1]["lease"]["secret"]})
    assert [s["stackName"] for s in http.call("listStacks").body["stacks"]] == ["test-1"]
    answer = ask(client, "c").body
    assert answer["stackName"] == "test-2" and answer["lease"]["generation"] > leases[1]["lease"]["generation"]


def test_generations_grow_over_deletion_of_stack_and_project(coordinator):
    generations = []
    for _ in range(3):
        key = coordinator.project("short-lived")
        client = coordinator.http(key)
        body = ask(client).body
        generations.append(body["lease"]["generation"])
        client.call("releaseStack", {"stackName": "test-1", "lease": body["lease"]["secret"]})
        client.call("deleteLastStack")
        coordinator.admin("project", "delete", "short-lived")
        assert client.call("listStacks").status == 401
    assert generations == sorted(set(generations)) and all(g < 2**53 for g in generations)


def test_nng_wants_what_tells_a_repeat(coordinator, key):
    client = coordinator.nng(key)
    for operation, body in [
        ("requestStack", {"branch": "b"}),
        ("releaseStack", {"stackName": "test-1"}),
        ("setLastDeployedCommit", {"stackName": "test-1", "lastDeployedCommit": "abc"}),
    ]:
        answer = client.call(operation, body)
        assert (answer.status, answer.code) == (400, "validation")


def test_broken_is_quarantined_until_restored(client, coordinator, key):
    lease = ask(client).body["lease"]["secret"]
    client.call("releaseStack", {"stackName": "test-1", "lease": lease, "outcome": "broken"})
    assert coordinator.http(key).call("listStacks").body["stacks"][0]["state"] == "quarantined"
    assert ask(client).body["stackName"] == "test-2"
    assert ask(client).status == 409
    coordinator.admin("stack", "restore", "shop", "test-1")
    assert ask(client).body["stackName"] == "test-1"


def test_an_operator_frees_a_stack_and_the_holder_hears_who(client, coordinator, key):
    body = {"branch": "b", "requestId": request_id(), "leaseSeconds": 300}
    lease = client.call("requestStack", body).body["lease"]["secret"]
    coordinator.admin("stack", "release", "shop", "test-1", "--now", "--reason", "it hangs")
    answer = client.call("releaseStack", {"stackName": "test-1", "lease": lease})
    assert (answer.status, answer.body["why"], answer.body["by"]) == (410, "forced", "control")
    assert answer.body["reason"] == "it hangs" and "by control (it hangs)" in answer.body["detail"]
    assert client.call("requestStack", body).body["why"] == "forced"
    coordinator.stop()
    coordinator.start()
    assert coordinator.http(key).call("requestStack", body).body["reason"] == "it hangs"


def test_scopes_nest(coordinator, key):
    keys = {
        scope: json.loads(coordinator.admin("key", "create", "shop", "--scope", scope, "--json").stdout)["key"]
        for scope in ("read", "agent", "operator")
    }
    calls = {"listStacks": "read", "requestStack": "agent", "annotateStack": "operator"}
    order = ["read", "agent", "operator"]
    for scope, its_key in keys.items():
        for operation, needed in calls.items():
            body = {"stackName": "test-1", "note": "n"} if operation == "annotateStack" else {}
            answer = coordinator.http(its_key).call(operation, body)
            allowed = order.index(scope) >= order.index(needed)
            assert (answer.status != 403) == allowed, (scope, operation, answer)


def test_a_revoked_key_stops_at_once_but_not_the_lease(coordinator, key):
    client = coordinator.http(key)
    lease = ask(client).body["lease"]["secret"]
    listed = json.loads(coordinator.admin("key", "list", "shop", "--json").stdout)["keys"]
    coordinator.admin("key", "revoke", "shop", listed[0]["keyId"])
    assert client.call("listStacks").status == 401
    assert client.call("releaseStack", {"stackName": "test-1", "lease": lease}).status == 200
