"""The action in jobs of the runner's emulation: what a developer's workflow does, alone and over several jobs."""

import html
import json
import re
import time

from hostile import read_page
from runner import DEPLOY, Coordinator, commit, head, run, until


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


def test_people_see_what_was_got(runner, project, clone):
    tell = run("stack-agent deployed --stack-url https://one.example/", "deploy")
    first = runner.job(runner.uses(), tell)
    assert first.ended("stack")["outputs"]["stack-url"] == ""
    commit(clone, "another\n", "web page")
    again = runner.job(runner.uses())
    assert again.ended("stack")["outputs"]["stack-url"] == "https://one.example/"
    shown = [text for text in read_page(again.ended("stack")["summary"]) if text.strip()]
    rows = dict(zip(shown[1::2], shown[2::2], strict=True))
    assert rows.pop("Waited").endswith("s") and "web page" in rows.pop("Why")
    assert rows == {
        "Stack": "test-1",
        "URL": "https://one.example/",
        "Branch": "feat/login",
        "Commit": head(clone),
        "Held this branch already": "yes",
        "Deploy": "needed",
        "Run": "77",
    }
    links = re.findall('href="(.*?)"', again.ended("stack")["summary"])
    assert html.unescape(links[-1]) == "https://github.example/team/shop/actions/runs/77"
    groups = [e["name"] for e in again.events if e["what"] == "command" and "group" in e["name"]]
    assert groups == ["group", "endgroup"] and "  web page" in again.log


def test_of_two_stacks_of_the_branch_the_one_with_the_commit_is_preferred(runner, project, clone):
    first = head(clone)
    both = [runner.uses("one"), runner.uses("two", env_name="OTHER")]
    runner.job(*both, run('stack-agent deployed "$STACK_NAME"', "deploy"))
    second = commit(clone, "another\n")
    runner.job(*both, run('stack-agent deployed "$STACK_NAME"', "deploy"))  # the one requested last
    on = {name: stack["lastDeployedCommit"] for name, stack in project.stacks.items()}
    assert sorted(on.values()) == sorted([first, second])
    for wanted in (first, second, first):
        outputs = runner.job(runner.uses(commit=wanted)).ended("stack")["outputs"]
        assert on[outputs["stack-name"]] == wanted
        assert outputs["needs-deploy"] == ("false" if wanted == second else "true"), "the checkout's HEAD counts"


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


def test_changed_asks_what_the_action_asked(runner, project, clone):
    runner.job(runner.uses(), DEPLOY)
    commit(clone, "another\n", "web page")
    asks = run("stack-agent changed && exit 4 || test $? = 1", "asks")
    limited = runner.job(runner.uses(paths="docs/**\n!*.md"), asks)
    assert limited.status == "success" and limited.ended("stack")["outputs"]["needs-deploy"] == "false", limited.log
    # … and who is told that something has changed may be amid a deploy from then on.
    amid = runner.job(runner.uses(paths="docs/**"), run("stack-agent changed --paths . && exit 3", "deploy"))
    assert amid.status == "failure" and project.outcomes()[-1] == "dirty", amid.log
    after = runner.job(runner.uses(), DEPLOY, run("stack-agent changed || exit 3", "tests"))
    assert after.status == "failure" and project.outcomes()[-1] == "ok", after.log


def test_a_step_that_joins_its_own_jobs_stack_leaves_it_to_the_first(runner, project):
    mine = "${{ steps.one.outputs.request-id }}"
    job = runner.job(
        runner.uses("one", release="never"), runner.uses("two", request_id=mine), run("stack-agent deployed", "deploy")
    )
    assert job.status == "success" and "left to the step that got it" in job.log, job.log
    assert project.outcomes() == [] and project.states == {"test-1": "leased"}, "held for the jobs that share it"


def test_joining_its_own_stack_again_forgets_nothing_of_it(runner, project, clone):
    runner.job(runner.uses(), DEPLOY)
    commit(clone, "another\n", "page")
    again = run('STACK_REQUEST_ID="${{ steps.stack.outputs.request-id }}" stack-agent join', "again")
    amid = runner.job(runner.uses(paths="**"), again, run("exit 3", "deploy"))
    assert amid.status == "failure" and project.outcomes()[-1] == "dirty", amid.log
    mine = "${{ steps.stack.outputs.request-id }}"
    steps = [runner.uses(), runner.uses("two", request_id=mine, paths="docs/**"), run("exit 3", "deploy")]
    amid = runner.job(*steps)
    assert amid.status == "failure" and project.outcomes()[-1] == "dirty", amid.log


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
    project.fill()
    for wait in ("0", "1s"):
        job = runner.job(runner.uses(wait=wait))
        assert job.status == "failure" and job.ended("stack")["code"] == 75, job.log
        assert "ben" in job.log and len(job.commands("error")) == 1
        assert job.ended("post stack")["code"] == 0
    assert [q["position"] for q in project.queue] == []


def test_a_machine_without_a_network_has_all_it_needs(runner, tmp_path):
    """Nothing is downloaded: here not even an address of the machine's own can be reached."""
    socket = f"ipc://{tmp_path}/socket"
    daemon = Coordinator(tmp_path / "data", "--nng", socket).start()
    runner.key = daemon.project("shop")
    runner.prefix = ["unshare", "--user", "--map-root-user", "--net"]
    cut_off = runner.job(runner.uses(url=daemon.url, wait="0"))
    assert cut_off.ended("stack")["code"] == 69
    runner.url = socket
    job = runner.job(runner.uses(), DEPLOY, run("stack-agent check", "tests"))
    assert job.status == "success" and "test-1 released (ok)" in job.log, job.log
    assert daemon.stop() == 0


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
    project.fill()
    waiting = runner.start(runner.uses(release="never"))
    waiting.until_said("1st in line")
    lease = next((runner.temp / "stack-agent").glob("lease-*.json"))
    request = json.loads(lease.read_text())["requestId"]
    last = make_runner()
    job = last.job(last.releases(request_id=request))
    assert job.status == "success" and "still in line" in job.commands("notice")[0]
    assert waiting.end().status == "failure" and project.queue == []


def test_running_failed_jobs_again_says_that_the_stack_is_gone(runner, project, make_runner):
    first, _, _ = several(runner, project, make_runner, DEPLOY, tests=0)
    again = make_runner(GITHUB_RUN_ATTEMPT="2")
    job = again.job(again.uses(request_id=first.outputs["request"]))
    assert job.status == "failure" and job.ended("stack")["code"] == 76
    assert "Re-run all jobs" in job.commands("error")[-1] and "released" in job.commands("error")[0]
    everything = make_runner(GITHUB_RUN_ATTEMPT="2")
    assert everything.job(everything.uses()).status == "success", "all jobs again: a stack anew"
