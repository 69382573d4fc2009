"""Values that nobody has set, in what is decided, stored and told: a sanitizer sees none of them, valgrind does."""

import subprocess

import pytest
from programs import AGENT, COORDINATOR, Coordinator, request_id, until

VALGRIND = ("valgrind", "--quiet", "--track-origins=yes")


@pytest.fixture
def watched(tmp_path):
    """A coordinator under valgrind, which tells what it finds in tmp_path/coordinator.*; so are the admin's verbs."""
    program = tmp_path / "stack-coordinator"
    program.write_text(
        f'#!/bin/sh\nexec {" ".join(VALGRIND)} --log-file={tmp_path}/coordinator.%p {COORDINATOR} "$@"\n'
    )
    program.chmod(0o700)
    coordinator = Coordinator(tmp_path / "data")
    coordinator.program = program
    yield coordinator.start()
    assert coordinator.stop() == 0
    for log in [*tmp_path.glob("coordinator.*"), *tmp_path.glob("agent.*")]:
        assert log.read_text() == "", log


def test_nothing_is_decided_by_what_nobody_has_set(watched, tmp_path):
    key = watched.project("shop", "--max-stacks", "2", "--expiry-grace", "1", "--cleaning", "on")
    queued = {"branch": "c", "requestId": request_id(), "ifNone": "wait"}
    client = watched.http(key)
    short = client.call("requestStack", {"branch": "a", "commit": "c1", "requestId": request_id(), "leaseSeconds": 2})
    long = client.call("requestStack", {"branch": "b", "requestId": request_id(), "leaseSeconds": 600})
    assert client.call("requestStack", queued).status == 202
    watched.kill()
    watched.start()
    client = watched.http(key)
    secret = long.body["lease"]["secret"]
    assert client.call("renewLease", {"lease": secret}).status == 200
    until(lambda: client.call("renewLease", {"lease": short.body["lease"]["secret"]}).status == 410, "it is lost")
    assert client.call("requestStack", queued).status == 202
    cleaning = {"purpose": "clean", "requestId": request_id(), "leaseSeconds": 600}
    until(lambda: client.call("requestStack", cleaning).status == 200, "the lost one can be cleaned")
    broken = {"stackName": long.body["stackName"], "lease": secret, "outcome": "broken"}
    assert client.call("releaseStack", broken).status == 200
    watched.admin("stack", "restore", "shop", broken["stackName"])
    until(lambda: client.call("requestStack", queued).status == 200, "who waited is served")
    for operation in ("listStacks", "listQueue", "listEvents"):
        assert client.call(operation).status == 200
    assert client.raw("GET", "/metrics").status == 200
    environment = {"STACK_AGENT_URL": watched.ready["nng"][0], "STACK_AGENT_KEY": key, "HOME": str(tmp_path)}
    for words, code in ((["list"], 0), (["history"], 0), (["request", "--branch", "z", "--wait", "0"], 75)):
        valgrind = [*VALGRIND, f"--log-file={tmp_path}/agent.%p"]
        done = subprocess.run(
            [*valgrind, AGENT, *words, "--state-dir", tmp_path / "state"],
            cwd=tmp_path,
            env={**environment, "PATH": "/usr/bin:/bin"},
            check=False,
        )
        assert done.returncode == code
