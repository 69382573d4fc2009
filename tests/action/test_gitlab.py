"""The component in GitLab pipelines as docs/ci.md shows them, run by gitlab-ci-local without containers."""

import functools
import http.server
import re
import shutil
import threading

import pytest
from documents import GITLAB_ONE, GITLAB_README, GITLAB_REMOTE, GITLAB_RUN, GITLAB_SEVERAL
from gitlab_job import Gitlab
from runner import BIN, Project, head

# It empties a job's folder before its after_script, reports included, where each job has one of its own.
TOGETHER = "--no-shell-isolation"


@pytest.fixture
def play(project, template, tmp_path):
    gitlab, programs = Gitlab(template, tmp_path), tmp_path / "programs"
    programs.mkdir()
    for name, text in {
        "deploy.sh": 'echo "deploying to $1"; test -z "$FAIL_DEPLOY"',
        "e2e.sh": 'echo "testing $STACK_NAME"; test -z "$FAIL_TESTS"',
    }.items():
        (gitlab.project / name).write_text(f"#!/bin/sh\n{text}\n")
        (gitlab.project / name).chmod(0o755)

    def run(pipeline, fails=False, isolation="--shell-isolation", **variables):
        given = {"STACK_AGENT_URL": project.daemon.url, "STACK_AGENT_KEY": project.key, **variables}
        (tmp_path / "variables").write_text("".join(f"{n}={v}\n" for n, v in given.items()))
        words = ["--force-shell-executor", isolation, "--variables-file", tmp_path / "variables"]
        done = gitlab.run(pipeline, *words)
        said = re.sub(r"\x1b\[[0-9;]*m", "", done.stdout + done.stderr)
        assert (done.returncode != 0) == fails, said
        return said

    run.repository, run.programs, run.template = gitlab.project, programs, gitlab.template
    return run


@pytest.mark.parametrize("pipeline", [GITLAB_README, GITLAB_ONE], ids=["readme", "docs"])
def test_one_job(play, project, pipeline):
    said = play(pipeline)
    assert "deploying to test-1" in said and "testing test-1" in said
    assert project.outcomes() == ["ok"] and project.states == {"test-1": "available"}
    assert project.stacks["test-1"]["lastDeployedCommit"] == head(play.repository)
    assert project.stacks["test-1"]["branch"] == "feat/login"
    again = play(pipeline)
    assert "deploying" not in again and "testing test-1" in again, "nothing has changed"


@pytest.mark.parametrize(("what", "outcome"), [("FAIL_TESTS", "ok"), ("FAIL_DEPLOY", "dirty")])
def test_a_failing_script(play, project, what, outcome):
    play(GITLAB_ONE, fails=True, **{what: "yes"})
    assert project.outcomes() == [outcome] and project.states == {"test-1": "available"}


def test_several_jobs_share_by_dotenv(play, project):
    said = play(GITLAB_SEVERAL, isolation=TOGETHER)
    assert said.count("testing test-1") == 3 and said.count("deploying to test-1") == 1
    assert project.outcomes() == ["ok"] and project.kinds.count("granted") == 1
    assert project.states == {"test-1": "available"}
    reports = list(play.repository.rglob("stack.env"))
    assert reports, "the report is an artifact"
    for report in reports:
        lines = report.read_text().splitlines()
        assert [line.split("=")[0] for line in lines] == ["STACK_NAME", "STACK_REQUEST_ID", "STACK_GENERATION"]
        assert "sol_" not in report.read_text() and project.key not in report.read_text()


def test_a_deploy_that_fails_hands_nothing_over(play, project):
    said = play(GITLAB_SEVERAL, isolation=TOGETHER, fails=True, FAIL_DEPLOY="yes")
    assert "testing" not in said and project.outcomes() == ["dirty"]
    assert project.states == {"test-1": "available"}


def test_a_failing_part_is_released_all_the_same(play, project):
    play(GITLAB_SEVERAL, isolation=TOGETHER, fails=True, FAIL_TESTS="yes")
    assert project.outcomes() == ["ok"] and project.states == {"test-1": "available"}


class Files(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *words):
        pass


@pytest.fixture
def server(template):
    """One that has nothing but the released template, and its address."""
    handler = functools.partial(Files, directory=template.parent)
    files = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=files.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{files.server_address[1]}"
    files.shutdown()
    files.server_close()


def test_included_from_another_server(play, project, server):
    shutil.rmtree(play.template.parent)
    include = re.sub(r"https://\S*/(?=with-stack)", f"{server}/", GITLAB_REMOTE)
    job = GITLAB_ONE[GITLAB_ONE.index("e2e:") :]
    said = play(include + job)
    assert "deploying to test-1" in said and "testing test-1" in said and project.outcomes() == ["ok"]
    project.fill()
    assert "ben" in play(include.replace("20m", "'0'") + job, fails=True), "inputs reach it"


def test_the_two_line_way(play, project):
    (play.programs / "stack-agent").symlink_to(BIN / "stack-agent")
    said = play(GITLAB_RUN)
    assert "testing test-1" in said and project.outcomes() == ["ok"]


def test_a_merge_request_means_its_source_branch_and_the_checkout(play, project):
    said = {"CI_MERGE_REQUEST_SOURCE_BRANCH_NAME": "feat/other", "CI_MERGE_REQUEST_SOURCE_BRANCH_SHA": "b" * 40}
    play(GITLAB_ONE, CI_MERGE_REQUEST_IID="7", **said)
    assert project.stacks["test-1"]["branch"] == "feat/other"
    assert project.stacks["test-1"]["lastDeployedCommit"] == head(play.repository), "the merge, where there is one"


def test_an_agent_that_is_there_is_taken(play, project, tmp_path):
    own = tmp_path / "own-agent"
    shutil.copy(BIN / "stack-agent", own)
    (play.programs / "curl").write_text("#!/bin/sh\nexit 9\n")
    (play.programs / "curl").chmod(0o755)
    assert "testing test-1" in play(GITLAB_ONE, STACK_AGENT_PATH=str(own))


def test_without_curl_wget_fetches_it(play, project):
    """Both are asked for by name alone; one that is no program is as good as none."""
    (play.programs / "wget").write_text('#!/bin/sh\nexec curl -fsS -o "$3" "$4"\n')
    (play.programs / "wget").chmod(0o755)
    pipeline = GITLAB_ONE.replace("  script:", "  variables: { BASH_ENV: $CI_PROJECT_DIR/no-curl }\n  script:")
    hide = 'command() { if [ "$2" = curl ]; then return 1; fi; builtin command "$@"; }\n'
    (play.repository / "no-curl").write_text(hide)
    said = play(pipeline, BASH_ENV=str(play.repository / "no-curl"))
    assert "testing test-1" in said


def test_another_program_than_the_released_one_is_not_run(play, project):
    changed = re.sub(r'default: "[0-9a-f]{64}"', f'default: "{"0" * 64}"', play.template.read_text())
    play.template.write_text(changed)
    said = play(GITLAB_ONE, fails=True)
    assert "is not the stack-agent that this template knows" in said and project.states == {}


def test_a_coordinator_without_agents_says_what_to_do(play, own_daemon):
    daemon, key = own_daemon
    said = play(GITLAB_ONE, fails=True, STACK_AGENT_URL=daemon.url, STACK_AGENT_KEY=key)
    assert "is the coordinator started with --agents?" in said
    assert "there is no stack to give back" in said


def test_a_full_pool_fails_the_job(play, project, daemon):
    project.fill()
    pipeline = GITLAB_ONE.replace("with-stack@1", "with-stack@1, inputs: { wait: '0' }")
    said = play(pipeline, fails=True)
    assert "ben" in said and "testing" not in said and Project.outcomes(project) == []
