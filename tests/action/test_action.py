"""The action in jobs of the runner's emulation: what a developer's workflow does, and all that can happen to it."""

import json
import os
import pathlib
import re
import select
import signal
import time

import pytest
from runner import ROOT, commit, read_action, run
from programs import git  # isort: skip

DEPLOY = run('test "$STACK_NAME" = "test-1" && stack-agent deployed', "deploy", "stack.needs-deploy")


def until(condition, what, seconds=30):
    """Polls; there is nothing to wait on in another process but time."""
    end = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < end, f"never: {what}"
        select.select([], [], [], 0.02)
    return value


def head(folder):
    return git("rev-parse", "HEAD", cwd=folder)


# ---- a job ----


def test_a_whole_job(runner, project):
    job = runner.job(runner.uses(), DEPLOY, run('echo "tests on $STACK_NAME, generation $STACK_GENERATION"', "tests"))
    assert job.status == "success", job.log
    outputs = job.ended("stack")["outputs"]
    assert outputs["stack-name"] == "test-1" and outputs["reused"] == "false"
    assert outputs["needs-deploy"] == "true" and outputs["changed-files"] == ""
    assert outputs["last-deployed-commit"] == "" and outputs["stack-url"] == ""
    assert re.match("^[0-9a-f]{32}$", outputs["request-id"]) and outputs["generation"].isdigit()
    assert set(outputs) == {
        "stack-name", "stack-url", "request-id", "last-deployed-commit", "reused", "needs-deploy", "changed-files",
        "generation",
    }  # fmt: skip
    assert job.ended("stack")["env"] == {"STACK_NAME": "test-1", "STACK_GENERATION": outputs["generation"]}
    assert f"tests on test-1, generation {outputs['generation']}" in job.log
    assert project.states == {"test-1": "available"} and project.outcomes() == ["ok"]
    assert project.stacks["test-1"]["lastDeployedCommit"] == head(runner.workspace)
    assert not job.commands("error") and not job.commands("warning")


def test_the_next_job_of_the_branch_deploys_only_what_changed(runner, project, clone):
    first = head(clone)
    runner.job(runner.uses(), DEPLOY)
    again = runner.job(runner.uses(), DEPLOY)
    outputs = again.ended("stack")["outputs"]
    assert outputs["needs-deploy"] == "false" and outputs["reused"] == "true"
    assert outputs["last-deployed-commit"] == first and not again.started("deploy")
    commit(clone, "another\n", "web page")
    third = runner.job(runner.uses(), DEPLOY)
    assert third.ended("stack")["outputs"]["changed-files"] == "web page"
    assert third.started("deploy") and project.outcomes() == ["ok"] * 3
    elsewhere = runner.job(runner.uses(paths="docs/**\n!*.md"))
    commit(clone, "yet another\n")
    assert elsewhere.ended("stack")["outputs"]["needs-deploy"] == "false"
    limited = runner.job(runner.uses(paths="docs/**\n!*.md\n"))
    assert limited.ended("stack")["outputs"]["needs-deploy"] == "false"
    counts = runner.job(runner.uses(paths="docs\npage"))
    assert counts.ended("stack")["outputs"]["changed-files"] == "page"


def test_a_failing_step_releases_by_what_was_deployed(runner, project):
    failed = run("exit 3", "tests")
    amid = runner.job(runner.uses(), run("exit 1", "deploy", "stack.needs-deploy"))
    assert amid.status == "failure" and project.outcomes() == ["dirty"]
    assert "lastDeployedCommit" not in project.stacks["test-1"]
    after = runner.job(runner.uses(), DEPLOY, failed)
    assert after.status == "failure" and project.outcomes() == ["dirty", "ok"]
    nothing_to_deploy = runner.job(runner.uses(), DEPLOY, failed)
    assert not nothing_to_deploy.started("deploy") and project.outcomes()[2:] == ["ok"]
    for said in ("dirty", "broken", "ok"):
        runner.job(runner.uses(outcome_on_failure=said), failed)
        assert project.outcomes()[-1] == said
        if said == "broken":
            project.daemon.admin("stack", "restore", project.name, "test-1")
    good = runner.job(runner.uses(outcome_on_failure="broken"), run("true"))
    assert good.status == "success" and project.outcomes()[-1] == "ok"


def test_a_deploy_that_nobody_reported_is_mentioned(runner, project):
    job = runner.job(runner.uses(), run("true", "deploy", "stack.needs-deploy"))
    assert job.status == "success" and "deployed" in job.commands("warning")[0]


def test_two_uses_in_one_job(runner, project):
    job = runner.job(
        runner.uses("one"),
        runner.uses("two", env_name="OTHER", branch="feat/other"),
        run('echo "$STACK_NAME $OTHER $STACK_GENERATION $OTHER_GENERATION"; stack-agent deployed "$OTHER"', "both"),
        run("stack-agent deployed", "which", "always"),
    )
    said = re.search(r"test-1 test-2 (\d+) (\d+)", job.log)
    assert said and said[1] != said[2]
    assert job.ended("which")["code"] == 64, "with two stacks a name is wanted"
    assert "lastDeployedCommit" not in project.stacks["test-1"] and project.states["test-2"] == "available"
    order = [e["step"] for e in job.events if e["what"] == "started" and e["step"].startswith("post")]
    assert order == ["post two", "post one"]
    assert sorted(project.outcomes()) == ["dirty", "ok"], "each by its own deploy"


def test_matrix_legs_over_two_stacks_wait_for_each_other(make_runner, project):
    legs = [make_runner(GITHUB_JOB=f"leg-{n}") for n in range(3)]
    go = legs[0].folder / "go"
    hold = run(f'until test -e "{go}"; do read -rt 0.05 _ <> <(:) || true; done', "hold")
    running = [leg.start(leg.uses(branch=f"b{n}"), hold) for n, leg in enumerate(legs[:2])]
    for job in running:
        job.until(lambda e: e["what"] == "started" and e["step"] == "hold")
    third = legs[2].start(legs[2].uses(branch="b2"), run("true"))
    notice = third.until_said("1st in line")
    assert notice["name"] == "notice" and "b0" in notice["text"] and "b1" in notice["text"] and "anna" in notice["text"]
    go.touch()
    assert [job.end().status for job in (*running, third)] == ["success"] * 3
    assert project.states == {"test-1": "available", "test-2": "available"}


def test_no_stack_within_the_wait_is_an_error_that_says_who_has_them(runner, make_runner, project):
    for number in range(2):
        project.http.call("requestStack", {"branch": f"b{number}", "holder": {"actor": "ben"}})
    for wait in ("0", "1s"):
        job = runner.job(runner.uses(wait=wait))
        assert job.status == "failure" and job.ended("stack")["code"] == 75, job.log
        assert "ben" in job.log and len(job.commands("error")) == 1
        assert job.ended("post stack")["code"] == 0
    assert [q["position"] for q in project.http.call("listQueue").body["queue"]] == []


# ---- several jobs ----


def several(runner, project, make_runner, deploy, tests=3, **inputs):
    """deploy → test × 3 → release, each on a machine of its own."""
    first = runner.job(
        runner.uses(release="never", **inputs),
        deploy,
        outputs={"request": "${{ steps.stack.outputs.request-id }}"},
    )
    request = first.outputs["request"]
    legs = []
    if first.status == "success":
        machines = [make_runner(GITHUB_JOB=f"test-{n}") for n in range(tests)]
        legs = [m.start(m.uses(request_id=request), run('echo "on $STACK_NAME"')) for m in machines]
        legs = [leg.end() for leg in legs]
    last = make_runner(GITHUB_JOB="release")
    return first, legs, last.job(last.releases(request_id=request))


def test_deploy_three_tests_and_release_share_one_stack(runner, project, make_runner):
    first, legs, last = several(runner, project, make_runner, DEPLOY)
    assert [job.status for job in (first, *legs, last)] == ["success"] * 5, last.log
    assert all("on test-1" in leg.log for leg in legs)
    assert {leg.ended("stack")["outputs"]["generation"] for leg in legs} == {
        first.ended("stack")["outputs"]["generation"]
    }
    assert all(leg.ended("stack")["outputs"]["needs-deploy"] == "false" for leg in legs)
    assert project.outcomes() == ["ok"] and project.states == {"test-1": "available"}
    assert project.kinds.count("joined") >= 3 and project.kinds.count("granted") == 1


def test_a_gap_of_three_leases_between_two_jobs_is_held(runner, project, make_runner):
    job = runner.job(
        runner.uses(release="never", lease="2s", hold="60s"),
        DEPLOY,
        outputs={"request": "${{ steps.stack.outputs.request-id }}"},
    )
    until_later = time.monotonic() + 6
    until(lambda: time.monotonic() > until_later, "six seconds")
    assert project.states == {"test-1": "leased"}
    leg = make_runner()
    assert leg.job(leg.uses(request_id=job.outputs["request"])).status == "success"
    last = make_runner()
    assert last.job(last.releases(request_id=job.outputs["request"])).status == "success"
    assert project.kinds[-1] == "released"


def test_a_job_that_fails_amid_the_deploy_hands_nothing_over(runner, project, make_runner):
    first, _, last = several(runner, project, make_runner, run("exit 1", "deploy"))
    assert first.status == "failure" and project.outcomes() == ["dirty"]
    assert last.status == "success" and "not leased any more" in last.commands("notice")[0]


def test_releasing_what_is_not_there_is_a_notice(runner, project, make_runner):
    for request in ("", "never-heard-of-this-request"):
        job = runner.job(runner.releases(request_id=request))
        assert job.status == "success" and len(job.commands("notice")) == 1, job.log
    assert runner.job(runner.releases(request_id="a\nb")).ended("release")["code"] == 64
    several(runner, project, make_runner, DEPLOY, tests=0)
    request = runner.job(runner.uses(release="never"), outputs={"r": "${{ steps.stack.outputs.request-id }}"}).outputs
    for said in ("released", "not leased any more"):
        job = runner.job(runner.releases(request_id=request["r"], outcome="dirty"))
        assert job.status == "success" and said in job.log
    assert project.outcomes() == ["ok", "dirty"]


def test_releasing_a_request_that_waits_takes_it_back(runner, make_runner, project):
    for number in range(2):
        project.http.call("requestStack", {"branch": f"b{number}"})
    waiting = runner.start(runner.uses(release="never"))
    waiting.until_said("1st in line")
    lease = next((runner.temp / "stack-agent").glob("lease-*.json"))
    request = json.loads(lease.read_text())["requestId"]
    last = make_runner()
    job = last.job(last.releases(request_id=request))
    assert job.status == "success" and "still in line" in job.commands("notice")[0]
    assert waiting.end().status == "failure" and project.http.call("listQueue").body["queue"] == []


def test_running_failed_jobs_again_says_that_the_stack_is_gone(runner, project, make_runner):
    first, _, _ = several(runner, project, make_runner, DEPLOY, tests=0)
    again = make_runner(GITHUB_RUN_ATTEMPT="2")
    job = again.job(again.uses(request_id=first.outputs["request"]))
    assert job.status == "failure" and job.ended("stack")["code"] == 76
    assert "Re-run all jobs" in job.commands("error")[-1] and "released" in job.commands("error")[0]
    everything = make_runner(GITHUB_RUN_ATTEMPT="2")
    assert everything.job(everything.uses()).status == "success", "all jobs again: a stack anew"


# ---- cancelled, lost ----


def test_cancelled_while_it_waits_leaves_no_place_in_line(runner, project):
    for number in range(2):
        project.http.call("requestStack", {"branch": f"b{number}"})
    job = runner.start(runner.uses(), run("true"))
    job.until_said("1st in line")
    job.cancel()
    job.end()
    assert job.status == "cancelled" and project.http.call("listQueue").body["queue"] == []
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


def test_a_coordinator_that_is_gone_at_the_end_is_a_warning(runner, project, start_daemon):
    daemon, key = start_daemon
    runner.url, runner.key = daemon.url, key
    go = runner.folder / "go"
    job = runner.start(runner.uses(), DEPLOY, run(f'echo here; until test -e "{go}"; do sleep 0.1; done', "tests"))
    job.until_said("here")
    daemon.kill()
    go.touch()
    job.until(lambda e: e["what"] == "started" and e["step"] == "post stack")
    job.until_said("trying again")
    job.cancel()  # else it tries for a minute
    job.end()
    assert not job.commands("error", "post stack")
    assert any("stays leased until its lease runs out" in text for text in job.commands("warning", "post stack"))


@pytest.fixture
def start_daemon(tmp_path):
    from programs import Coordinator

    daemon = Coordinator(tmp_path / "data").start()
    yield daemon, daemon.project("shop")
    daemon.hang_up()
    if daemon.process.poll() is None:
        daemon.stop()


# ---- events ----

PULL = {"pull_request": {"head": {"ref": "feat/login", "sha": "b" * 40, "repo": {"full_name": "team/shop"}}}}
EVENTS = [
    ("push", {}, {"GITHUB_REF": "refs/heads/feat/x", "GITHUB_REF_NAME": "feat/x"}, "feat/x"),
    ("pull_request", PULL, {"GITHUB_REF": "refs/pull/7/merge", "GITHUB_HEAD_REF": "feat/login"}, "feat/login"),
    ("pull_request", PULL, {"GITHUB_REF": "refs/pull/7/merge", "GITHUB_REF_NAME": "7/merge"}, "feat/login"),
    ("pull_request_target", PULL, {"GITHUB_REF": "refs/heads/main", "GITHUB_HEAD_REF": "feat/login"}, "feat/login"),
    ("push", {}, {"GITHUB_REF": "refs/tags/v1", "GITHUB_REF_NAME": "v1", "GITHUB_REF_TYPE": "tag"}, "v1"),
    (
        "merge_group",
        {"merge_group": {"base_ref": "refs/heads/main"}},
        {"GITHUB_REF": "refs/heads/gh-readonly-queue/main/pr-7-abc", "GITHUB_REF_NAME": "gh-readonly-queue/main/pr-7"},
        "main",
    ),
    ("workflow_dispatch", {}, {"GITHUB_REF": "refs/heads/main", "GITHUB_REF_NAME": "main"}, "main"),
    ("schedule", {}, {"GITHUB_REF": "refs/heads/main", "GITHUB_REF_NAME": "main"}, "main"),
]


@pytest.mark.parametrize(("name", "payload", "env", "branch"), EVENTS, ids=[f"{e[0]}-{e[3]}" for e in EVENTS])
def test_the_branch_is_what_the_event_is_about(runner, project, name, payload, env, branch):
    job = runner.event(name, payload, **env).job(runner.uses(), run("stack-agent deployed"))
    stack = project.stacks["test-1"]
    assert job.status == "success" and stack["branch"] == branch
    assert stack["lastDeployedCommit"] == head(runner.workspace), "what is in the worktree, never the head's sha"


def test_the_head_of_a_pull_request_is_shown(runner):
    env = {"GITHUB_REF": "refs/pull/7/merge", "GITHUB_HEAD_REF": "feat/login"}
    job = runner.event("pull_request", PULL, **env).job(runner.uses())
    assert "b" * 40 in job.ended("stack")["summary"]


def test_no_key_says_why(runner, project):
    job = runner.job(runner.uses(key=""))
    assert job.ended("stack")["code"] == 77 and "the input `key` is empty" in job.commands("error")[0]
    runner.env["GITHUB_ACTOR"] = "dependabot[bot]"
    assert "Dependabot's secrets" in runner.job(runner.uses(key="")).commands("error")[0]
    fork = {"pull_request": {"head": {"ref": "x", "repo": {"full_name": "##[error]/shop"}}}}
    runner.event("pull_request", fork, GITHUB_REF="refs/pull/7/merge", GITHUB_HEAD_REF="x")
    said = runner.job(runner.uses(key="")).commands("error")[0]
    assert "fork" in said and "github.event.pull_request.head.repo.full_name == github.repository" in said
    assert "##[" not in said and project.states == {}


def test_a_key_that_opens_nothing_and_a_url_where_nobody_is(runner):
    bad = runner.job(runner.uses(key="sok_shop_0123456789abcdef_" + "0" * 72))
    assert bad.ended("stack")["code"] == 77 and len(bad.commands("error")) == 1
    nobody = runner.job(runner.uses(url="http://127.0.0.1:1", wait="0"))
    assert nobody.ended("stack")["code"] == 69
    nowhere = runner.job(runner.uses(url=""))
    assert nowhere.ended("stack")["code"] == 64 and "no coordinator is named" in nowhere.commands("error")[0]


def test_inputs_that_are_none_are_errors_that_name_them(runner, project):
    for name, value in (
        ("wait", "soon"), ("lease", "1s"), ("release", "sometimes"), ("outcome-on-failure", "x"), ("purpose", "play"),
        ("paths", "x" * 2000), ("request-id", "short"), ("branch", "x" * 300), ("env-name", "PATH"),
    ):  # fmt: skip
        job = runner.job(runner.uses(**{name: value}))
        said = job.commands("error")
        assert job.ended("stack")["code"] == 64 and len(said) == 1, (name, job.log)
        assert name.lower() in said[0].lower().replace("_", "-"), said
        assert job.ended("post stack")["code"] in (0, 64)
    assert project.states == {}


@pytest.mark.parametrize(
    "name",
    "PATH path LD_PRELOAD LD_LIBRARY_PATH GIT_DIR GIT_SSH_COMMAND GITHUB_ENV GITHUB_TOKEN RUNNER_TEMP NODE_OPTIONS "
    "BASH_ENV INPUT_KEY STATE_x ENV IFS PYTHONPATH PERL5OPT RUBYOPT STACK_AGENT_KEY HTTPS_PROXY 1X A-B A=B".split(),
)
def test_env_names_that_change_programs_are_refused(runner, name):
    job = runner.job(runner.uses(env_name=name))
    assert job.ended("stack")["code"] == 64 and job.ended("stack")["env"] == {}


def test_a_platform_without_a_binary_says_how_to_go_on(runner, tmp_path):
    step = runner.uses(agent_path=str(tmp_path / "nowhere"))
    job = runner.job(step)
    assert job.ended("stack")["code"] == 69 and "agent-path" in job.commands("error")[0]


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
    for number in range(2):
        project.http.call("requestStack", {"branch": f"b{number}"})
    waiting = runner.start(runner.uses())
    waiting.until_said("1st in line")
    waiting.cancel()
    assert waiting.end().status == "cancelled" and project.http.call("listQueue").body["queue"] == []


def test_cleaning_by_a_workflow(runner, daemon):
    from conftest import Project

    project = Project(daemon, "--max-stacks", "1", "--cleaning", "on")
    runner.key = project.key
    runner.job(runner.uses(), run("exit 1", "deploy"))
    assert project.states == {"test-1": "dirty"}
    assert runner.job(runner.uses(purpose="clean"), run("exit 1", "clean")).status == "failure"
    assert project.states == {"test-1": "dirty"}
    assert runner.job(runner.uses(purpose="clean"), run("true", "clean")).status == "success"
    assert project.states == {"test-1": "available"}


def test_the_files_agree(action):
    """action.yml, the table in the agent, and the page for people name the same inputs with the same defaults."""
    table = (ROOT / "agent/github_inputs.c").read_text()
    page = (ROOT / "docs/ci.md").read_text()
    inputs = read_action(action / "action.yml")
    for name, default in inputs.items():
        assert f"`{name}`" in page, name
        if name == "key":
            continue
        row = re.search(rf'\.environment = "INPUT_{name.upper()}",(.*?)\.kind', table, re.S)
        assert row, name
        fallback = re.search(r'\.fallback = "(.*?)"', row[1])
        assert (fallback[1] if fallback else "") == ("" if "${{" in default else default), name
    for name in re.findall(r"^  ([\w-]+):$", (action / "action.yml").read_text().split("outputs:")[1], re.M):
        assert f"`{name}`" in page, name


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


def test_the_keeper_leaves_no_core_dump_and_has_no_key(runner, project):
    go = runner.folder / "go"
    job = runner.start(runner.uses(), run(f'echo here; until test -e "{go}"; do sleep 0.1; done', "tests"))
    job.until_said("here")
    keepers = [
        p
        for p in pathlib.Path("/proc").iterdir()
        if p.name.isdigit()
        and (p / "cmdline").read_bytes().startswith(b"stack-agent\0keep\0")
        and job.tracking.encode() in (p / "environ").read_bytes()
    ]
    assert len(keepers) == 1
    assert project.key.encode() not in (keepers[0] / "environ").read_bytes() + (keepers[0] / "cmdline").read_bytes()
    assert re.search(r"Max core file size +1 +1 ", (keepers[0] / "limits").read_text())
    assert os.stat(keepers[0] / "environ").st_uid == os.getuid(), "the runner can see its mark"
    go.touch()
    assert job.end().status == "success"
