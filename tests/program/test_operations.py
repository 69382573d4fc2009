"""What the admin and the monitoring see: pages, metrics, logs, options, the control socket."""

import json
import os
import pathlib
import re
import shutil
import socket
import stat
import subprocess

import pytest
from programs import AGENT, COORDINATOR, Coordinator, make_certificate, request_id

SOURCE = pathlib.Path(__file__).parents[2]


def test_pages(coordinator):
    client = coordinator.http()
    assert client.raw("GET", "/healthz").status == 200
    assert client.raw("GET", "/readyz").status == 200
    document = client.raw("GET", "/openapi.json")
    assert document.body["openapi"].startswith("3.1") and "/requestStack" in document.body["paths"]
    assert client.raw("HEAD", "/readyz").text == ""
    not_filled = client.raw("GET", "/agent/linux-x86_64")
    assert not_filled.status == 404 and "--agents" in not_filled.body["detail"]


def test_methods_that_are_not_allowed_are_named(coordinator):
    client = coordinator.http(coordinator.project())
    answer = client.raw("GET", "/requestStack", None, {"X-API-Key": client.key})
    assert (answer.status, answer.headers["Allow"], answer.code) == (405, "POST", "method-not-allowed")
    answer = client.raw("DELETE", "/listStacks", None, {"X-API-Key": client.key})
    assert (answer.status, answer.code) == (405, "method-not-allowed") and "GET" in answer.headers["Allow"]


def test_metrics_are_clean_and_count(coordinator, tmp_path):
    client = coordinator.http(coordinator.project("shop", "--max-stacks", "2"))
    for branch in ("a", "b", "c"):
        client.call("requestStack", {"branch": branch})
    client.call("releaseStack", {"stackName": "test-1"})
    page = client.raw("GET", "/metrics")
    assert page.headers["Content-Type"].startswith("text/plain; version=0.0.4")
    checked = subprocess.run(
        ["promtool", "check", "metrics"], input=page.text, capture_output=True, text=True, check=False
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert 'stack_coordinator_operations_total{operation="requestStack",outcome="done"} 2' in page.text
    assert 'stack_coordinator_operations_total{operation="requestStack",outcome="none-available"} 1' in page.text
    assert 'stack_coordinator_stacks{state="leased"} 1' in page.text
    assert 'stack_coordinator_stacks{state="available"} 1' in page.text
    assert 'stack_coordinator_build_info{version="' in page.text
    assert re.search(r"stack_coordinator_batch_operations_count [1-9]", page.text)


def test_what_is_to_be_watched_is_explained(coordinator):
    """docs/operating.md names what there is, and the rules for Prometheus stand on nothing else."""
    page = coordinator.http(coordinator.project()).raw("GET", "/metrics").text
    there = set(re.findall(r"^# TYPE (\S+)", page, re.M))
    assert there == set(
        re.findall(r"^\| `(stack_coordinator_\w+)` \|", (SOURCE / "docs/operating.md").read_text(), re.M)
    )
    rules = SOURCE / "deploy/alerts.yml"
    checked = subprocess.run(["promtool", "check", "rules", rules], capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    used = set(re.findall(r"stack_coordinator_\w+", rules.read_text()))
    assert used and {name.removesuffix("_bucket") for name in used} <= there


def test_gauges_are_right_after_a_restart(coordinator):
    key = coordinator.project()
    client = coordinator.http(key)
    for branch in ("a", "b", "c"):
        client.call("requestStack", {"branch": branch})
    client.call("releaseStack", {"stackName": "test-2"})
    coordinator.stop()
    coordinator.start()
    page = coordinator.http().raw("GET", "/metrics").text
    assert 'stacks{state="leased"} 2' in page and 'stacks{state="available"} 1' in page


def test_the_control_socket_is_for_its_group_and_outlives_a_kill(coordinator):
    path = coordinator.data / "control.sock"
    mode = path.stat().st_mode
    assert stat.S_ISSOCK(mode) and stat.S_IMODE(mode) == 0o660
    assert stat.S_IMODE(coordinator.data.stat().st_mode) & 0o027 == 0
    coordinator.kill()
    assert path.exists()
    coordinator.start()
    assert "shop" in coordinator.admin("project", "create", "shop").stdout


def test_without_a_daemon_the_error_names_socket_and_command(tmp_path):
    done = subprocess.run(
        [COORDINATOR, "--data", tmp_path, "project", "list"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 69
    assert "control.sock" in done.stderr and "serve" in done.stderr


def test_admin_operations_are_not_on_the_network(coordinator):
    key = json.loads(coordinator.admin("project", "create", "shop", "--json").stdout)["key"]
    coordinator.admin("key", "create", "shop", "--scope", "operator")
    for operation in ("createProject", "listProjects", "createKey", "backup", "deleteProject"):
        assert coordinator.http(key).call(operation, {"project": "x"}).status == 404
        assert coordinator.nng(key).call(operation, {"project": "x"}).status == 404


def test_projects_are_made_changed_and_deleted(coordinator):
    made = coordinator.admin("project", "create", "shop", "--max-stacks", "3", "--json")
    assert json.loads(made.stdout).keys() == {"project", "key"}
    twice = coordinator.admin("project", "create", "shop", check=False)
    assert twice.returncode == 66 and "shop" in twice.stderr
    client = coordinator.http(json.loads(made.stdout)["key"])
    client.call("requestStack", {})
    assert coordinator.admin("project", "update", "shop", "--prefix", "e2e-", check=False).returncode == 66
    coordinator.admin("project", "update", "shop", "--max-stacks", "1")
    assert client.call("requestStack", {}).status == 409
    in_use = coordinator.admin("project", "delete", "shop", check=False)
    assert in_use.returncode == 66 and "release" in in_use.stderr
    listed = json.loads(coordinator.admin("project", "list", "--json").stdout)["projects"]
    assert [p["project"] for p in listed] == ["shop"] and listed[0]["maxStacks"] == 1
    unknown = coordinator.admin("project", "update", "nowhere", "--max-stacks", "1", check=False)
    assert unknown.returncode == 66


def test_without_json_the_key_comes_with_snippets_to_paste(coordinator):
    shown = coordinator.admin("project", "create", "shop").stdout
    assert "sok_shop_" in shown and "uses:" in shown and "STACK_AGENT_KEY" in shown
    assert "max-stacks" in shown  # unbounded: said


def test_two_keys_live_side_by_side_and_show_their_last_use(coordinator):
    first = json.loads(coordinator.admin("project", "create", "shop", "--json").stdout)["key"]
    second = json.loads(coordinator.admin("key", "create", "shop", "--label", "rotation", "--json").stdout)
    for key in (first, second["key"]):
        assert coordinator.http(key).call("listStacks").status == 200
    listed = json.loads(coordinator.admin("key", "list", "shop", "--json").stdout)["keys"]
    assert {k.get("label") for k in listed} == {None, "rotation"}
    assert first not in json.dumps(listed)
    coordinator.stop()
    coordinator.start()
    listed = json.loads(coordinator.admin("key", "list", "shop", "--json").stdout)["keys"]
    assert all("lastUsed" in k for k in listed)


def test_history_tells_every_act(coordinator):
    client = coordinator.http(coordinator.project())
    client.call("requestStack", {"branch": "feat/a", "holder": {"actor": "anna"}})
    client.call("setLastDeployedCommit", {"stackName": "test-1", "lastDeployedCommit": "abc"})
    client.call("releaseStack", {"stackName": "test-1"})
    coordinator.admin("stack", "note", "shop", "test-1", "disk swapped")
    client.call("requestStack", {"branch": "feat/b"})
    coordinator.admin("stack", "release", "shop", "test-1", "--now")
    kinds = [e["kind"] for e in json.loads(coordinator.admin("history", "shop", "test-1", "--json").stdout)["events"]]
    assert kinds == ["granted", "deployed", "released", "annotated", "granted", "forced"]
    page = client.call("listEvents", {"limit": 2, "after": 0}).body
    assert len(page["events"]) == 2 and page["next"] == page["events"][-1]["id"]
    rest = client.call("listEvents", {"limit": 200, "after": page["next"]}).body
    assert "next" not in rest and rest["events"][0]["id"] == page["next"] + 1
    assert "anna" in coordinator.admin("history", "shop").stdout
    words = ["history", "shop", "test-1", "--after", str(page["next"]), "--json"]
    assert json.loads(coordinator.admin(*words).stdout)["events"] == rest["events"]


def test_who_switches_cleaning_off_hears_what_stays_dirty(coordinator):
    client = coordinator.http(coordinator.project())

    def switch(word):
        return coordinator.admin("project", "update", "shop", "--cleaning", word).stdout

    assert switch("on") == switch("off") == "Project shop updated\n"
    switch("on")
    client.call("requestStack", {"branch": "b"})
    client.call("releaseStack", {"stackName": "test-1", "outcome": "dirty"})
    assert "test-1 is dirty still" in switch("off")
    assert switch("off") == "Project shop updated\n"  # it was off
    coordinator.admin("stack", "restore", "shop", "test-1")
    switch("on")
    assert "that is being cleaned, or rests" in switch("off")  # it can come to be dirty yet


def test_who_took_a_stack_from_whom_is_readable(coordinator):
    client = coordinator.http(coordinator.project())
    client.call("requestStack", {"branch": "feat/a", "holder": {"actor": "anna"}})
    coordinator.admin("stack", "release", "shop", "test-1", "--now")
    shown = coordinator.admin("history", "shop", "test-1").stdout.splitlines()
    assert re.search(r"granted .* anna", shown[1])
    assert re.search(r"forced .* control +took it from +anna +dirty", shown[2])


def test_no_key_or_secret_in_logs_history_or_lists(start):
    coordinator = start("--log-level", "debug")
    key = coordinator.project()
    client = coordinator.http(key)
    lease = client.call("requestStack", {"branch": "b", "requestId": "abcdefgh-0123456789", "leaseSeconds": 300}).body[
        "lease"
    ]
    client.call("releaseStack", {"stackName": "test-1", "lease": lease["secret"][:-1] + "0"})
    shown = (
        client.call("listStacks").text + client.call("listEvents").text + coordinator.admin("history", "shop").stdout
    )
    coordinator.stop()
    said = shown + "".join(coordinator.log)
    assert key not in said and key[-20:] not in said
    assert lease["secret"] not in said and "abcdefgh-0123456789" not in said
    for line in coordinator.log:
        assert json.loads(line)["level"] in {"error", "warning", "info", "debug"}


def test_options_have_twins_help_man_and_completion():
    for program in (COORDINATOR, AGENT):
        version = subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout
        assert re.match(r"^stack-(agent|coordinator) \d+\.\d+\.\d+\n$", version)
        text = subprocess.run([program, "--help"], capture_output=True, text=True, check=True).stdout
        assert "usage" in text.lower()
        page = subprocess.run([program, "man"], capture_output=True, text=True, check=True).stdout
        lint = subprocess.run(
            ["mandoc", "-Tlint", "-Wwarning"], input=page, capture_output=True, text=True, check=False
        )
        assert lint.returncode == 0, lint.stdout
        script = subprocess.run([program, "completion", "bash"], capture_output=True, text=True, check=True).stdout
        subprocess.run(["bash", "-n"], input=script, text=True, check=True)
        wrong = subprocess.run([program, "no-such-verb"], capture_output=True, text=True, check=False)
        assert wrong.returncode == 64 and "--help" in wrong.stderr


@pytest.mark.sqlite
def test_a_newer_database_is_refused(coordinator):
    coordinator.stop()
    database = coordinator.data / "stacks.db"
    subprocess.run(
        ["sqlite3", database, "PRAGMA user_version = 999; UPDATE schema SET version = version + 900"], check=True
    )
    with pytest.raises(AssertionError, match="newer"):
        coordinator.start()


def test_plain_nng_off_loopback_is_refused_unless_asked_for(tmp_path, start):
    with pytest.raises(AssertionError, match="--insecure-nng"):
        Coordinator(tmp_path / "d", "--nng", "tcp://0.0.0.0:0").start()
    start("--nng", "tcp://0.0.0.0:0", "--insecure-nng", data=tmp_path / "e")


@pytest.fixture
def certificate(tmp_path):
    paths = tmp_path / "cert.pem", tmp_path / "key.pem"
    make_certificate(*paths)
    return paths


def serial_of(address):
    shown = subprocess.run(
        ["openssl", "s_client", "-connect", address],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    ).stdout
    done = subprocess.run(
        ["openssl", "x509", "-noout", "-serial"], input=shown, capture_output=True, text=True, check=True
    )
    return done.stdout


def test_tls_beside_plain_and_its_certificate_read_again(start, certificate, tmp_path):
    coordinator = start(
        "--https",
        "127.0.0.1:0",
        "--nng",
        "tls+tcp://127.0.0.1:0",
        "--tls-cert",
        certificate[0],
        "--tls-key",
        certificate[1],
    )
    key = coordinator.project()
    curl = [
        "curl",
        "-sf",
        "--cacert",
        certificate[0],
        "-H",
        f"X-API-Key: {key}",
        f"https://{coordinator.ready['https']}/listStacks",
    ]
    assert subprocess.run(curl, capture_output=True, text=True, check=True).stdout == '{"stacks":[]}'
    assert any(url.startswith("tls+tcp://") for url in coordinator.ready["nng"])
    assert coordinator.http(key).call("listStacks").status == 200
    before = serial_of(coordinator.ready["https"])
    make_certificate(*certificate)
    coordinator.process.send_signal(1)
    for _ in range(200):
        if serial_of(coordinator.ready["https"]) != before:
            break
    assert serial_of(coordinator.ready["https"]) != before


def test_a_certificate_that_nothing_would_serve_is_refused(tmp_path):
    for name in ("--nng", "tcp://127.0.0.1:0"), ():
        done = subprocess.run(
            [COORDINATOR, "--data", tmp_path / "data", "serve", "--tls-cert", "/c", "--tls-key", "/k", *name],
            capture_output=True, text=True, check=False, timeout=30,
        )  # fmt: skip
        assert done.returncode == 64 and "--https" in done.stderr and "tls+tcp://" in done.stderr


def test_an_update_of_nothing_and_an_end_of_rest_say_the_way(coordinator):
    client = coordinator.http(coordinator.project("shop"))
    done = coordinator.admin("project", "update", "shop", check=False)
    assert done.returncode == 64 and "project update --help" in done.stderr
    got = client.call("requestStack", {"branch": "b", "requestId": request_id(), "leaseSeconds": 300})
    coordinator.admin("stack", "release", "shop", got.body["stackName"])
    done = coordinator.admin("stack", "release", "shop", got.body["stackName"], "--now", check=False)
    assert done.returncode != 0 and "stack restore" in done.stderr
    coordinator.admin("stack", "restore", "shop", got.body["stackName"], "--now", "--reason", "its job is dead")
    rested = client.call("listEvents").body["events"][-1]
    assert (rested["kind"], rested["by"], rested["note"]) == ("rested", "control", "its job is dead")
    assert (
        client.call("requestStack", {"branch": "c", "requestId": request_id(), "leaseSeconds": 300}).body["stackName"]
        == got.body["stackName"]
    )


def test_systemd_is_told(tmp_path, start):
    path = tmp_path / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as told:
        told.bind(str(path))
        told.settimeout(10)
        coordinator = start(environment={**os.environ, "NOTIFY_SOCKET": str(path)})
        assert b"READY=1" in told.recv(4096)
        coordinator.stop()
        assert b"STOPPING=1" in told.recv(4096)


def test_the_tools_these_tests_need_are_there():
    for tool in ("promtool", "mandoc", "openssl", "curl", "sqlite3", "git", "mount"):
        assert shutil.which(tool), f"{tool} is missing: scripts/install-deps test"
