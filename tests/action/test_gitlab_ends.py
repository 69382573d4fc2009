"""How GitLab's jobs end: cancelled while they fetch, wait, deploy, test; timed out. See gitlab_job.py."""

import itertools

import pytest
from documents import GITLAB_ONE, GITLAB_SEVERAL
from gitlab_job import Gitlab, GitlabJob, expand
from runner import until

# All in one, since expanding takes seconds: `alone` is the first pipeline's e2e.
PIPELINE = GITLAB_SEVERAL + GITLAB_ONE[GITLAB_ONE.index("e2e:") :].replace("e2e:", "alone:", 1)


@pytest.fixture(scope="session")
def jobs(template, tmp_path_factory):
    """The documents' with the component as it is released."""
    return expand(Gitlab(template, tmp_path_factory.mktemp("gitlab")), PIPELINE)


@pytest.fixture
def start(jobs, clone, project, tmp_path):
    """Starts a job in a checkout where the script `slow` says that it is there, and stays."""
    running, numbers = [], itertools.count(1)

    def make(job="alone", slow="", **variables):
        for name in ("deploy.sh", "e2e.sh"):
            stay = "echo here; exec sleep 600" if name == slow else "echo ran $0"
            (clone / name).write_text(f"#!/bin/sh\n{stay}\n")
            (clone / name).chmod(0o755)
        given = {"STACK_AGENT_URL": project.daemon.url, "STACK_AGENT_KEY": project.key, **variables}
        running.append(GitlabJob(jobs[job], clone, next(numbers), **given))
        return running[-1]

    yield make
    for job in running:
        job.close()


def test_the_emulation_runs_a_job_to_its_end(start, project):
    job = start()
    assert job.end() == (0, 0), job.log
    assert "ran ./deploy.sh" in job.log and "ran ./e2e.sh" in job.log and project.outcomes() == ["ok"]


def test_an_image_without_bash_will_do(start, project):
    job = start(by="sh", slow="e2e.sh").until_said("here")
    assert job.cancel()[1] == 0 and project.outcomes() == ["ok"], job.log
    whole = start(by="sh")
    assert whole.end() == (0, 0) and project.outcomes() == ["ok", "ok"], whole.log


def test_cancelled_while_it_waits_leaves_no_place_in_line(start, project):
    project.fill()
    job = start().until_said("1st in line")
    code, after = job.cancel()
    assert code != 0 and after == 0 and project.queue == [], job.log
    assert "ran ./e2e.sh" not in job.log and project.kinds.count("granted") == 2
    assert "no stack to give back" in job.log


@pytest.mark.parametrize(
    ("name", "slow", "outcome"),
    [("alone", "deploy.sh", "dirty"), ("alone", "e2e.sh", "ok"), ("deploy", "deploy.sh", "dirty")],
)
def test_cancelled_while_it_holds_gives_back(start, project, name, slow, outcome):
    job = start(name, slow=slow).until_said("here")
    code, after = job.cancel()
    assert code != 0 and after == 0, job.log
    assert project.outcomes() == [outcome] and project.states == {"test-1": "available"}
    assert ("lastDeployedCommit" in project.stacks["test-1"]) == (outcome == "ok")


def test_cancelled_before_the_agent_is_there(start, project, tmp_path):
    (tmp_path / "curl").write_text("#!/bin/sh\necho here\nexec sleep 600\n")
    (tmp_path / "curl").chmod(0o755)
    job = start(PATH=f"{tmp_path}:/usr/bin:/bin").until_said("here")
    code, after = job.cancel()
    assert code != 0 and after == 0 and "no stack to give back" in job.log
    assert project.kinds == [] or "granted" not in project.kinds


def test_one_of_several_that_is_cancelled_leaves_the_stack_to_the_others(start, clone, project):
    first = start("deploy")
    assert first.end() == (0, 0) and project.states == {"test-1": "leased"}, first.log
    report = dict(line.split("=", 1) for line in (clone / "stack.env").read_text().splitlines())
    leg = start("e2e", slow="e2e.sh", **report).until_said("here")
    code, after = leg.cancel()
    assert code != 0 and after == 0 and project.states == {"test-1": "leased"}, leg.log
    other = start("e2e", **report)
    assert other.end() == (0, 0) and "ran ./e2e.sh" in other.log
    assert project.states == {"test-1": "leased"} and project.outcomes() == []


@pytest.mark.parametrize("variables", [{"STACK_AGENT_WAIT": "0"}, {"STACK_AGENT_URL": "http://127.0.0.1:9"}])
def test_a_job_that_got_no_stack_reports_none(start, clone, project, variables):
    """What an earlier one left in the folder may be somebody else's stack by now."""
    project.fill()
    (clone / "stack.env").write_text("STACK_REQUEST_ID=an-earlier-one\n")
    job = start("deploy", **variables)
    code, after = job.end()
    assert code != 0 and after == 0 and not (clone / "stack.env").exists(), job.log


def test_the_job_that_gives_back_says_what_has_become_of_the_stack(start, clone, project):
    first = start("deploy")
    assert first.end() == (0, 0), first.log
    report = dict(line.split("=", 1) for line in (clone / "stack.env").read_text().splitlines())
    refused = start("release", STACK_AGENT_KEY="sok_wrong", **report)
    code, _ = refused.end()
    assert code == 77 and "stays leased" in refused.log and project.states == {"test-1": "leased"}, refused.log
    for words in ("released", "no stack to give back any more"):
        last = start("release", **report)
        assert last.end()[0] == 0 and words in last.log, last.log
    assert project.states == {"test-1": "available"}


def test_the_agent_is_fetched_from_whichever_coordinator_answers(start, project):
    job = start(STACK_AGENT_URL=f" http://127.0.0.1:9 {project.daemon.url}/")
    assert job.end() == (0, 0) and project.outcomes() == ["ok"], job.log


def test_without_an_address_the_variable_is_named(start):
    job = start(STACK_AGENT_URL="")
    assert job.end()[0] == 69 and "STACK_AGENT_URL names no coordinator" in job.log, job.log


def test_timed_out_the_lease_runs_out(start, project):
    """No after_script: what keeps the lease ends with the job's shell."""
    job = start(slow="e2e.sh", STACK_AGENT_LEASE="2s").until_said("here")
    job.lose()
    assert project.states == {"test-1": "leased"}
    until(lambda: project.stacks["test-1"]["isAvailable"], "free again")
    assert project.kinds.count("expired") == 1 and project.outcomes() == []
