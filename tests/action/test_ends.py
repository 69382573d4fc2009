"""How jobs end: cancelled, lost, shut down, with a stack that is theirs or no more; and what is left of secrets."""

import os
import pathlib
import re
import signal
import time

import pytest
from runner import DEPLOY, Coordinator, Runner, checkout, run, until


@pytest.fixture(scope="module", autouse=True)
def deserted(action, tmp_path_factory):
    """A job whose coordinator is gone at its end. That takes a minute, so the last test awaits what the first began."""
    folder = tmp_path_factory.mktemp("deserted")
    daemon = Coordinator(folder / "data").start()
    runner = Runner(folder / "runner", action, checkout(folder), daemon.url, daemon.project("shop"))
    job = runner.start(runner.uses(), DEPLOY, run("echo here; until test -e go; do sleep 0.1; done", "tests"))
    job.until_said("here")
    daemon.hang_up()
    daemon.kill()
    (runner.workspace / "go").touch()
    yield job
    runner.close()


def test_cancelled_while_it_waits_leaves_no_place_in_line(runner, project):
    project.fill()
    job = runner.start(runner.uses(), run("true"))
    job.until_said("1st in line")
    job.cancel()
    job.end()
    assert job.status == "cancelled" and project.queue == []
    assert [e["number"] for e in job.events if e["what"] == "signal"] == [signal.SIGINT], "at once"
    assert job.ended("post stack")["code"] == 0 and not job.started("run")


@pytest.mark.parametrize("deployed", [True, False])
def test_cancelled_while_it_holds_gives_back(runner, project, deployed):
    steps = [runner.uses(), *([DEPLOY] if deployed else []), run("echo here; exec sleep 600", "tests")]
    job = runner.start(*steps)
    job.until_said("here")
    job.cancel()
    job.end()
    assert job.status == "cancelled" and project.states == {"test-1": "available"}
    assert project.outcomes() == ["ok" if deployed else "dirty"]


def test_a_step_that_ignores_being_cancelled_is_killed_and_the_stack_given_back(runner, project):
    job = runner.start(runner.uses(), run("trap '' INT TERM; echo here; while :; do wait -n || sleep 1; done", "tests"))
    job.until_said("here")
    job.cancel()
    job.end()
    numbers = [e["number"] for e in job.events if e["what"] == "signal"]
    assert numbers == [signal.SIGINT, signal.SIGTERM, signal.SIGKILL]
    assert project.outcomes() == ["dirty"] and project.states == {"test-1": "available"}


def test_a_lost_machine_gives_back_after_lease_and_quiet(runner, project):
    job = runner.start(runner.uses(lease="3s"), run("echo here; exec sleep 600", "tests"))
    job.until_said("here")
    job.lose()
    assert project.states == {"test-1": "leased"}
    until(lambda: project.stacks["test-1"]["isAvailable"], "free again")
    assert project.kinds.count("expired") == 1 and project.outcomes() == []
    assert "lastDeployedCommit" not in project.stacks["test-1"]


def test_a_runner_that_is_shut_down_skips_post_and_kills_the_keeper(runner, project):
    job = runner.job(runner.uses(lease="3s"), shutdown=True)
    orphans = [e for e in job.events if e["what"] == "orphan"]
    assert [o["name"] for o in orphans] == ["stack-agent"], "the keeper carries the runner's mark"
    until(lambda: project.stacks["test-1"]["isAvailable"], "free again")


def test_a_lease_is_kept_for_as_long_as_the_job_runs(runner, project):
    go = runner.folder / "go"
    wait = run(f'echo here; until test -e "{go}"; do sleep 0.1; done; stack-agent check', "tests")
    job = runner.start(runner.uses(lease="2s"), wait)
    job.until_said("here")
    until_later = time.monotonic() + 5
    until(lambda: time.monotonic() > until_later, "longer than two leases")
    go.touch()
    assert job.end().status == "success" and project.outcomes() == ["dirty"] * 0 + ["ok"]


def test_a_lease_lost_under_the_job_is_an_error_that_names_who_has_it(runner, project):
    go = runner.folder / "go"
    job = runner.start(runner.uses(), DEPLOY, run(f'echo here; until test -e "{go}"; do sleep 0.1; done', "tests"))
    job.until_said("here")
    project.daemon.admin("stack", "release", project.name, "test-1", "--now")
    taken = project.http.call("requestStack", {"branch": "feat/login", "holder": {"actor": "carla"}}).body
    assert taken["stackName"] == "test-1"
    go.touch()
    assert job.end().status == "failure" and job.ended("post stack")["code"] == 76
    assert "carla" in job.commands("error", "post stack")[0]
    assert project.states == {"test-1": "leased"}, "what another job has is not touched"


def test_post_releases_nothing_but_its_own(runner, project):
    """A job that came late, with its state file from an earlier time."""
    job = runner.job(
        runner.uses(),
        run('cp -r "$RUNNER_TEMP/stack-agent" "$RUNNER_TEMP/kept"; stack-agent release', "early"),
        run("true"),
    )
    assert job.status == "success" and "no stack to give back" in job.log
    assert project.outcomes() == ["ok"]


def test_without_execve_the_agent_runs_beside_node(runner, project, tmp_path):
    """Node before 23.11 cannot become another program."""
    preload = tmp_path / "preload.js"
    preload.write_text("delete process.execve; process.execve = undefined;\n")
    runner.node_words = ["--require", str(preload)]
    job = runner.start(runner.uses(lease="2s"), DEPLOY, run("echo here; exec sleep 600", "tests"))
    job.until_said("here")
    later = time.monotonic() + 3
    until(lambda: time.monotonic() > later, "the keeper outlives node")
    assert project.states == {"test-1": "leased"}
    job.cancel()
    assert job.end().status == "cancelled" and project.outcomes() == ["ok"]
    project.fill()
    waiting = runner.start(runner.uses())
    waiting.until_said("1st in line")
    waiting.cancel()
    assert waiting.end().status == "cancelled" and project.queue == []


def test_nothing_of_the_key_is_left_anywhere(runner, project, tmp_path):
    look = (
        'env; cat /proc/*/environ 2>/dev/null | tr "\\0" "\\n" | grep -a INPUT_ || true; '
        'grep -rl "$FORBIDDEN" "$RUNNER_TEMP" "$HOME" "$GITHUB_WORKSPACE" && exit 9 || true; '
        'for p in /proc/[0-9]*; do if grep -qazF "$FORBIDDEN" $p/cmdline 2>/dev/null && '
        "[ $(basename $p) != $$ ]; then tr '\\0' ' ' <$p/cmdline; exit 8; fi; done"
    )
    secret = project.key
    step = run(look.replace("$FORBIDDEN", '$(printf %s "$HALF" | rev)'), "look", HALF=secret[::-1])
    job = runner.job(runner.uses(), step)
    assert job.status == "success", job.log
    assert secret not in job.log
    others = [e for e in job.events if "raw" in e and e["what"] != "mask" and secret in e["raw"]]
    assert others == []
    first = next(e for e in job.events if e.get("step") == "stack" and e["what"] != "started")
    assert first["what"] == "mask" and secret in first["raw"], "masked before anything is printed"
    keeper = [e for e in job.events if e["what"] == "mask" and "sol_" in e["raw"]]
    assert keeper, "the lease's secret is hidden too"
    assert "sol_" not in job.log.replace("***", "")


def look(file):
    """Of a process that may end meanwhile."""
    try:
        return file.read_bytes()
    except OSError:
        return b""


def test_the_keeper_leaves_no_core_dump_and_has_no_key(runner, project):
    go = runner.folder / "go"
    job = runner.start(runner.uses(), run(f'echo here; until test -e "{go}"; do sleep 0.1; done', "tests"))
    job.until_said("here")
    keepers = [
        p
        for p in pathlib.Path("/proc").iterdir()
        if p.name.isdigit()
        and look(p / "cmdline").startswith(b"stack-agent\0keep\0")
        and job.tracking.encode() in look(p / "environ")
    ]
    assert len(keepers) == 1
    assert project.key.encode() not in (keepers[0] / "environ").read_bytes() + (keepers[0] / "cmdline").read_bytes()
    until(lambda: re.search(rb"Max core file size +1 +1 ", look(keepers[0] / "limits")), "too little for a core")
    assert os.stat(keepers[0] / "environ").st_uid == os.getuid(), "the runner can see its mark"
    go.touch()
    assert job.end().status == "success"


def test_a_coordinator_that_is_back_meanwhile_gets_the_stack(runner, tmp_path):
    socket = f"ipc://{tmp_path}/socket"  # an address that it has again
    daemon = Coordinator(tmp_path / "data", "--nng", socket).start()
    runner.url, runner.key = socket, daemon.project("shop")
    job = runner.start(runner.uses(), DEPLOY, run("echo here; until test -e go; do sleep 0.1; done", "tests"))
    job.until_said("here")
    daemon.kill()
    (runner.workspace / "go").touch()
    job.until_said("trying again for")
    daemon.start()
    assert job.end().status == "success" and "test-1 released (ok)" in job.log, job.log
    assert "stays leased" not in job.log and not job.commands("error")
    assert daemon.stop() == 0


def test_giving_back_is_tried_for_a_minute_and_is_no_failure(deserted):
    post = "post stack"
    deserted.process.wait(timeout=100)
    deserted.end()
    began = next(e["at"] for e in deserted.events if e["what"] == "started" and e["step"] == post)
    assert 55 < deserted.ended(post)["at"] - began < 75
    assert deserted.ended(post)["code"] == 0 and deserted.status == "success"
    assert "trying again for" in deserted.log and not deserted.commands("error", post)
    warnings = " ".join(deserted.commands("warning", post))
    assert "no coordinator answers" in warnings and "stays leased until its lease runs out, 5m after" in warnings
    assert "released" not in deserted.log
