"""The original's clients work here by changing base URL and key: its calls, its answers."""

import re
import subprocess
import threading

import pytest

ISO = re.compile(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$")


@pytest.fixture
def client(coordinator):
    return coordinator.http(coordinator.project())


def test_first_request_makes_the_first_stack(client):
    answer = client.call("requestStack", {"branch": "feat/x"})
    assert (answer.status, answer.text) == (200, '{"stackName":"test-1","reused":false}')


def test_prefix_and_initial_commit_show(coordinator):
    client = coordinator.http(coordinator.project("mobile", "--prefix", "e2e-", "--initial-commit", "abc"))
    assert client.call("requestStack", {}).body == {"stackName": "e2e-1", "lastDeployedCommit": "abc", "reused": False}


@pytest.mark.parametrize(("body", "headers"), [("", {}), ("{}", {}), ("{}", {"Content-Type": "text/plain"})])
def test_without_a_branch_it_is_main(client, body, headers):
    assert client.raw("POST", "/requestStack", body, {"X-API-Key": client.key, **headers}).status == 200
    assert client.call("listStacks").body["stacks"][0]["branch"] == "main"


def test_unknown_fields_are_ignored_but_not_by_set_last_deployed_commit(client):
    assert client.call("requestStack", {"branch": "b", "colour": "red"}).status == 200
    body = {"stackName": "test-1", "lastDeployedCommit": "abc"}
    assert client.call("setLastDeployedCommit", body | {"colour": "red"}).status == 400
    answer = client.call("setLastDeployedCommit", body)
    assert (answer.status, answer.body) == (200, {"message": "Last commit of stack test-1 updated"})


def test_release_answers_alike_when_it_was_available_already(client):
    client.call("requestStack", {"branch": "b"})
    for _ in range(2):
        answer = client.call("releaseStack", {"stackName": "test-1"})
        assert (answer.status, answer.body) == (200, {"message": "Stack test-1 released"})


def test_list_has_the_originals_fields_in_order_of_number(client):
    for n in range(11):
        client.call("requestStack", {"branch": f"feat/{n}"})
    client.call("setLastDeployedCommit", {"stackName": "test-10", "lastDeployedCommit": "abc"})
    stacks = client.call("listStacks").body["stacks"]
    assert [s["stackName"] for s in stacks] == [f"test-{n}" for n in range(1, 12)]
    tenth = stacks[9]
    assert (tenth["entity"], tenth["isAvailable"], tenth["branch"], tenth["lastDeployedCommit"]) == (
        "Stack",
        False,
        "feat/9",
        "abc",
    )
    assert ISO.match(tenth["created"]) and ISO.match(tenth["modified"])
    assert "lastDeployedCommit" not in stacks[0]


def test_delete_last_until_none_is_left(client):
    for _ in range(2):
        client.call("requestStack", {"branch": "b"})
    client.call("releaseStack", {"stackName": "test-1"})
    client.call("releaseStack", {"stackName": "test-2"})
    answers = [client.raw("POST", "/deleteLastStack", body, {"X-API-Key": client.key}) for body in ("", "{}", "")]
    assert [a.body for a in answers] == [
        {"message": "Stack test-2 deleted"}, {"message": "Stack test-1 deleted"}, {"message": "No more stack"},
    ]  # fmt: skip
    assert all(a.status == 200 for a in answers)
    assert client.call("requestStack", {}).body["stackName"] == "test-1"


def test_what_went_wrong_has_the_originals_status_or_the_one_we_chose(client):
    key = {"X-API-Key": client.key}
    assert client.raw("POST", "/requestStack", "{}", {}).status == 401
    assert client.raw("POST", "/requestStack", "{}", {"X-API-Key": "who-is-this"}).status == 401
    assert client.raw("POST", "/requestStack", "not json", key).status == 422
    assert client.raw("POST", "/releaseStack", "{}", key).status == 400
    assert client.raw("POST", "/releaseStack", '{"stackName":"test-99"}', key).status == 404
    assert client.raw("POST", "/nowhere", "{}", key).status == 404
    for answer in (client.raw("POST", "/releaseStack", "{}", key), client.raw("GET", "/nowhere", None, key)):
        assert answer.headers["Content-Type"] == "application/problem+json"
        assert {"type", "title", "status", "detail", "code", "message"} <= answer.body.keys()


def test_branch_comes_first_then_the_one_requested_longest_ago(client):
    names = {b: client.call("requestStack", {"branch": b}).body["stackName"] for b in ("a", "b", "c")}
    for name in ("test-3", "test-1", "test-2"):
        client.call("releaseStack", {"stackName": name})
    assert client.call("requestStack", {"branch": "b"}).body == {"stackName": names["b"], "reused": True}
    # Releasing and deploying moved nothing: a was requested before c.
    client.call("setLastDeployedCommit", {"stackName": names["a"], "lastDeployedCommit": "abc"})
    assert client.call("requestStack", {"branch": "new"}).body["stackName"] == names["a"]
    assert client.call("requestStack", {"branch": "new"}).body["stackName"] == names["c"]
    assert client.call("requestStack", {"branch": "new"}).body["stackName"] == "test-4"


def test_among_several_of_a_branch_the_one_at_the_commit_wins(client):
    for n in (1, 2, 3):
        client.call("requestStack", {"branch": "b"})
        client.call("setLastDeployedCommit", {"stackName": f"test-{n}", "lastDeployedCommit": f"commit{n}"})
    for n in (1, 2, 3):
        client.call("releaseStack", {"stackName": f"test-{n}"})
    body = client.call("requestStack", {"branch": "b", "commit": "commit2"}).body
    assert body == {"stackName": "test-2", "lastDeployedCommit": "commit2", "reused": True}
    assert client.call("requestStack", {"branch": "b"}).body["stackName"] == "test-3"


def test_a_key_that_is_a_prefix_of_another_sees_nothing_of_it(coordinator):
    coordinator.project("short")
    coordinator.project("long")
    coordinator.admin("key", "import", "short", stdin="the-old-key\n")
    coordinator.admin("key", "import", "long", stdin="the-old-key-of-another\n")
    two = coordinator.admin("key", "import", "short", stdin="one-old-key\nanother-old-key\n", check=False)
    assert two.returncode == 64 and "one key" in two.stderr
    cut = coordinator.admin("key", "import", "short", stdin="a-key-that\0goes-on\n", check=False)
    assert cut.returncode == 64 and "NUL" in cut.stderr
    assert coordinator.http("a-key-that").call("listStacks").status == 401
    words = [coordinator.program, "--data", coordinator.data, "key", "import", "short"]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True) as kept_open:
        kept_open.stdin.write("a-key-by-a-pipe\n")
        kept_open.stdin.flush()
        assert kept_open.wait(20) == 0, "the end of stdin is not waited for"
    assert coordinator.http("a-key-by-a-pipe").call("listStacks").status == 200
    assert coordinator.http("one-old-key").call("listStacks").status == 401
    coordinator.http("the-old-key-of-another").call("requestStack", {"branch": "x"})
    assert coordinator.http("the-old-key").call("listStacks").body == {"stacks": []}


def test_640_requests_at_once_get_640_stacks_without_a_gap(coordinator):
    key = coordinator.project()
    names, lock = [], threading.Lock()
    barrier = threading.Barrier(64)

    def ask():
        client = coordinator.http(key)
        barrier.wait()
        mine = [client.call("requestStack", {"branch": "b"}).body["stackName"] for _ in range(10)]
        with lock:
            names.extend(mine)
        client.close()

    threads = [threading.Thread(target=ask) for _ in range(64)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(names, key=lambda name: int(name[5:])) == [f"test-{n}" for n in range(1, 641)]
