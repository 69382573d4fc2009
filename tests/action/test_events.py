"""Events, inputs, and what is said when something is missing."""

import re
import subprocess

import pytest
from runner import AGENTS, ROOT, Coordinator, Project, git, head, read_action, run
from worker import read_entries

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
    assert nowhere.ended("stack")["code"] == 64 and "the input `url` is empty" in nowhere.commands("error")[0]


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
    [
        "PATH",
        "path",
        "LD_PRELOAD",
        "LD_LIBRARY_PATH",
        "GIT_DIR",
        "GIT_SSH_COMMAND",
        "GITHUB_ENV",
        "GITHUB_TOKEN",
        "RUNNER_TEMP",
        "NODE_OPTIONS",
        "BASH_ENV",
        "INPUT_KEY",
        "STATE_x",
        "ENV",
        "IFS",
        "PYTHONPATH",
        "PERL5OPT",
        "RUBYOPT",
        "STACK_AGENT_KEY",
        "HTTPS_PROXY",
        "1X",
        "A-B",
        "A=B",
    ],
)
def test_env_names_that_change_programs_are_refused(runner, name):
    job = runner.job(runner.uses(env_name=name))
    assert job.ended("stack")["code"] == 64 and job.ended("stack")["env"] == {}


@pytest.mark.parametrize(("system", "processor"), [("darwin", "arm64"), ("win32", "x64"), ("linux", "riscv64")])
def test_a_platform_without_a_binary_says_how_to_go_on(runner, tmp_path, system, processor):
    preload = tmp_path / "preload.js"
    values = f"{{platform: {{value: '{system}'}}, arch: {{value: '{processor}'}}}}"
    preload.write_text(f"Object.defineProperties(process, {values});\n")
    runner.node_words = ["--require", str(preload)]
    job = runner.job(runner.uses())
    said = job.commands("error", "stack")
    assert job.ended("stack")["code"] == 69 and len(said) == 1, job.log
    assert f"for {system} on {processor}" in said[0] and "Linux on x86_64 and aarch64" in said[0]
    assert "agent-path" in said[0]


def test_an_agent_of_ones_own_is_taken(runner, action, tmp_path):
    own = tmp_path / "own"
    own.write_text(f'#!/bin/sh\necho "by its own way"\nexec "{action}/bin/{AGENTS}/stack-agent" "$@"\n')
    own.chmod(0o755)
    job = runner.job(runner.uses(agent_path=str(own)))
    assert job.status == "success" and "by its own way" in job.log
    missing = runner.job(runner.uses(agent_path=str(tmp_path / "nowhere")))
    assert missing.ended("stack")["code"] == 69 and "agent-path" in missing.commands("error")[0]


def test_a_certificate_of_ones_own_is_trusted_by_all_steps(runner, tmp_path):
    words = "req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost -addext subjectAltName=DNS:localhost"
    files = ["-keyout", "key.pem", "-out", "cert.pem"]
    subprocess.run(["openssl", *words.split(), *files], check=True, capture_output=True, cwd=tmp_path)
    own = tmp_path / "cert.pem"
    tls = ["--https", "127.0.0.1:0", "--tls-cert", own, "--tls-key", tmp_path / "key.pem"]
    daemon = Coordinator(tmp_path / "data", *tls).start()
    runner.key = daemon.project("shop")
    runner.url = "https://localhost:" + daemon.ready["https"].rsplit(":", 1)[1]
    refused = runner.job(runner.uses(wait="0"))
    assert refused.ended("stack")["code"] == 69 and "certificate" in refused.commands("error")[0]
    job = runner.job(runner.uses(ca_file=str(own)), run("stack-agent deployed && stack-agent check"))
    assert job.status == "success" and "test-1 released (ok)" in job.log, job.log
    daemon.stop()


def test_a_sparse_checkout_is_enough(runner, project, clone):
    git("sparse-checkout", "set", "nothing", cwd=clone)
    assert not (clone / "elsewhere").exists()
    job = runner.job(runner.uses(), run("stack-agent deployed"))
    again = runner.job(runner.uses())
    assert job.status == "success" and again.ended("stack")["outputs"]["needs-deploy"] == "false"


def test_without_a_checkout_a_deploy_is_needed(runner, project, tmp_path):
    runner.workspace = tmp_path / "empty"
    runner.workspace.mkdir()
    runner.env["GITHUB_WORKSPACE"] = str(runner.workspace)
    job = runner.job(runner.uses())
    assert job.status == "success" and job.ended("stack")["outputs"]["needs-deploy"] == "true", job.log
    assert "no checkout" in job.ended("stack")["summary"] and project.stacks["test-1"]["branch"] == "feat/login"


def test_cleaning_by_a_workflow(runner, daemon):
    project = Project(daemon, "--max-stacks", "1", "--cleaning", "on")
    runner.key = project.key
    runner.job(runner.uses(), run("exit 1", "deploy"))
    assert project.states == {"test-1": "dirty"}
    for more in ({}, {"outcome_on_failure": "ok"}):  # whatever a failure means: the stack is not clean
        assert runner.job(runner.uses(purpose="clean", **more), run("exit 1", "clean")).status == "failure"
        assert project.states == {"test-1": "dirty"}
    assert runner.job(runner.uses(purpose="clean"), run("true", "clean")).status == "success"
    assert project.states == {"test-1": "available"}


def test_a_cleaning_that_never_began_cleans_nothing(step, project, tmp_path):
    """The step has failed after it had the stack; the job went on all the same, and is well."""
    project.daemon.admin("project", "update", project.name, "--cleaning", "on")
    ended = {"INPUT_JOB-STATUS": "success"}
    state = read_entries(step().text["STATE"])
    step("post", **{f"STATE_{k}": v for k, v in state.items()}, **{"INPUT_JOB-STATUS": "failure"})
    assert project.states == {"test-1": "dirty"}
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "stack-agent-bin").touch()  # where a folder has to be
    for folder, code, after in ((tmp_path / "other", 70, "dirty"), (tmp_path / "temp", 0, "available")):
        main = step(**{"INPUT_PURPOSE": "clean", "RUNNER_TEMP": str(folder)})
        assert main.code == code, main.lines
        state = {f"STATE_{k}": v for k, v in read_entries(main.text["STATE"]).items()}
        assert step("post", **state, **ended, **{"INPUT_PURPOSE": "clean"}).code == 0
        assert project.states == {"test-1": after}


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
