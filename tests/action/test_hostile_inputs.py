"""Texts from the workflow, from a job before, from a coordinator that lies. See hostile.py for what must hold."""

import http.server
import json
import os
import pathlib
import re
import subprocess
import threading

import pytest
from hostile import AGENT, HOSTILE, REFUSED
from worker import read_entries

# Their rules are a table's: some texts are enough.
TABLED = ["INPUT_WAIT", "INPUT_LEASE", "INPUT_RELEASE", "INPUT_PURPOSE"]
FREE = ["INPUT_COMMIT", "INPUT_REQUEST-ID", "INPUT_PATHS", "INPUT_ENV-NAME", "INPUT_URL", "INPUT_CA-FILE"]
FREE += ["INPUT_JOB-STATUS", "INPUT_KEY"]


@pytest.mark.parametrize("variable", [*TABLED, *FREE])
def test_inputs(step, project, canary, variable):
    for name in [*HOSTILE, *REFUSED][:: 7 if variable in TABLED else 1]:
        main = step(**{"INPUT_WAIT": "0", variable: name})
        if variable == "INPUT_KEY":  # it is shown to the runner, to be hidden
            main.lines = [line for line in main.lines if not line.startswith("::add-mask::")]
        if variable == "INPUT_ENV-NAME" and main.code == 0:
            entries = read_entries(main.text["ENV"])
            assert set(entries) == {name, f"{name}_GENERATION"} and re.fullmatch(r"[A-Za-z_]\w*", name, re.A)
        else:
            main.check()
        if main.code == 0:
            state = {f"STATE_{k}": v for k, v in read_entries(main.text["STATE"]).items()}
            assert step("post", **state).code == 0


def test_states_and_requests_of_post_and_release(step, project, canary):
    """Whoever can set them has the job already; still nothing of it is a command or another's lease."""
    for name in [*HOSTILE, *REFUSED]:
        for variable in ("STATE_request_id", "STATE_state_dir", "STATE_joined", "INPUT_JOB-STATUS"):
            post = step("post", **{"STATE_request_id": "a" * 32, variable: name}).check()
            assert post.code in (0, 64, 70), post.lines
        assert step("release", **{"INPUT_REQUEST-ID": name}).check().code in (0, 64)


def test_folders(step, project, canary, tmp_path):
    """The runner's folder for temporary files: what GITHUB_PATH and GITHUB_STATE tell of."""
    for name in [*HOSTILE, *REFUSED]:
        folder = os.fsencode(tmp_path) + b"/folders/" + os.fsencode(name)
        if b"/" in os.fsencode(name) or len(os.fsencode(name)) > 255:
            continue
        os.makedirs(folder)
        main = step(RUNNER_TEMP=os.fsdecode(folder))
        state = read_entries(main.text["STATE"])
        assert not state or os.fsencode(state["state_dir"]) == folder + b"/stack-agent"
        main.text["STATE"] = main.text["STATE"].replace("\r", "")  # which ends no line there, as has just been seen
        main.check()
        if main.code == 0:
            assert os.fsencode(main.text["PATH"]) == folder + b"/stack-agent-bin\n"
            assert os.access(folder + b"/stack-agent-bin/stack-agent", os.X_OK)
        else:
            assert name in REFUSED and main.text["PATH"] == "", main.lines
            assert [line[:7] for line in main.lines if not line.startswith("::add-mask::")] == ["::error"], main.lines
        assert step("post", **{f"STATE_{k}": v for k, v in state.items()}).check().code == 0
        assert set(project.states.values()) <= {"available"}, name


class Liar(http.server.BaseHTTPRequestHandler):
    """Answers each call with the next of its answers."""

    answers = []

    def do_POST(self):
        self.rfile.read(int(self.headers.get("Content-Length", "0")))
        status, body = self.answers[-1]
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST

    def log_message(self, *words):
        pass


@pytest.fixture
def liar():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Liar)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


MEMBERS = ["stackName", "lastDeployedCommit", "url", "secret", "id", "generation"]


@pytest.mark.parametrize("what", [*MEMBERS, "lost", "refused", "no JSON"])
def test_what_a_coordinator_answers(step, liar, canary, what):
    lease = {"id": "1", "secret": "sol_x_1_1_0", "generation": 1, "expiresInSeconds": 300}
    good = {"stackName": "test-1", "reused": False, "lease": lease}
    for name in [*HOSTILE, *[n for n in REFUSED if isinstance(n, str)]]:
        status, answer = {
            "lost": (410, {"code": "lease-lost", "why": name, "by": name, "detail": name, "holder": {"actor": name}}),
            "refused": (409, {"code": name, "detail": name, "message": name}),
            "no JSON": (500, name),
        }.get(what, (200, {**good, what: name} if what in MEMBERS[:3] else {**good, "lease": {**lease, what: name}}))
        Liar.answers.append((status, json.dumps(answer).encode()))
        main = step(INPUT_URL=liar, INPUT_WAIT="0")
        main.lines = [line for line in main.lines if not line.startswith("::add-mask::")]
        main.check()
        if main.code == 0:
            assert main.outputs["stack-name"] == answer["stackName"]
            assert main.outputs["last-deployed-commit"] == answer.get("lastDeployedCommit", "")
    keepers_end_with(step)


@pytest.mark.parametrize("status", [410, 409, 200])
def test_what_a_coordinator_answers_at_the_end(step, project, liar, canary, tmp_path, status):
    """To post and to the release of several jobs: who has the stack, why it is gone, that it was never there."""
    names = [*HOSTILE, *[n for n in REFUSED if isinstance(n, str)]]
    for name in names if status == 410 else names[::3]:
        main = step()
        state = {f"STATE_{k}": v for k, v in read_entries(main.text["STATE"]).items()}
        file = pathlib.Path(state["STATE_state_dir"]) / f"lease-{state['STATE_request_id']}.json"
        lease = json.loads(file.read_text())
        file.write_text(json.dumps({**lease, "urls": liar}))
        problem = {"code": "lease-lost" if status == 410 else name, "why": name, "by": name, "detail": name}
        Liar.answers.append((status, json.dumps({**problem, "message": name, "holder": {"actor": name}}).encode()))
        post = step("post", **state).check()
        assert post.code == (76 if status == 410 else 0), post.lines
        released = step("release", INPUT_URL=liar, **{"INPUT_REQUEST-ID": state["STATE_request_id"]})
        released.lines = [line for line in released.lines if not line.startswith("::add-mask::")]
        released.check()
        file.unlink(missing_ok=True)
        project.http.call("cancelRequest", {"requestId": state["STATE_request_id"]})


def test_the_dotenv_report(liar, canary, tmp_path):
    lease = {"id": "1", "secret": "sol_x_1_1_0", "generation": 1, "expiresInSeconds": 300}
    report = tmp_path / "stack.env"
    env = {"PATH": os.environ["PATH"], "STACK_AGENT_URL": liar, "STACK_AGENT_KEY": "a-key-of-mine"}
    for name in ["test-1", *HOSTILE, *[n for n in REFUSED if isinstance(n, str)]]:
        answer = {"stackName": name, "url": name, "lastDeployedCommit": name, "reused": False, "lease": lease}
        if name == "test-1":
            answer |= {"url": "https://x", "lastDeployedCommit": "a" * 40}
        Liar.answers.append((200, json.dumps(answer).encode()))
        words = ["request", "--wait=0", "--branch=x", f"--dotenv={report}", f"--state-dir={tmp_path}/state"]
        done = subprocess.run([AGENT, *words], env=env, cwd=tmp_path, capture_output=True, timeout=60, check=False)
        if done.returncode == 0:
            assert name == "test-1"
            lines = report.read_text().split("\n")
            assert re.fullmatch("STACK_REQUEST_ID=[0-9a-f]{32}", lines.pop(1))
            assert lines == ["STACK_NAME=test-1", "STACK_GENERATION=1", ""]
            report.unlink()
            for file in (tmp_path / "state").glob("lease-*.json"):
                file.unlink()
        assert not report.exists()


def keepers_end_with(step):
    """The leases above live by keepers that nobody ends but this."""
    for file in pathlib.Path(step().folder.parent.parent / "temp/stack-agent").glob("lease-*.json"):
        file.unlink()
