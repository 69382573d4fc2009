"""Texts that others choose, on every surface of a step: nothing is executed, nothing becomes a further entry, a further
line or a command; what a surface can hold comes back as it was, what it cannot is refused by name."""

import html.parser
import http.server
import json
import os
import pathlib
import re
import subprocess
import threading
import uuid

import pytest
from runner import BIN, git
from worker import COMMANDS, read_command, read_entries

AGENT = BIN / "stack-agent"
HOSTILE = [
    "$(touch${IFS}CANARY)",
    "`touch${IFS}CANARY`",
    "';touch${IFS}CANARY;'",
    '";touch${IFS}CANARY;"',
    ";touch${IFS}CANARY;",
    "|touch${IFS}CANARY",
    "&&touch${IFS}CANARY",
    "$(id)",
    "${{ github.token }}",
    "${{secrets.KEY}}",
    "${IFS}",
    "a<<EOF",
    "stack-name<<EOF",
    "ghadelimiter_",
    "x=y",
    "STACK_NAME=evil",
    "LD_PRELOAD=/x",
    "PATH=/evil",
    "NODE_OPTIONS=--require=/x",
    "::set-env name=PATH::/evil",
    "::add-path::/evil",
    "::add-mask::a",
    "::stop-commands::x",
    "::save-state name=request_id::x",
    "::error::x",
    "  ::error::x",
    "::error file=a,line=1::x",
    "##[add-mask]a",
    "##[set-env name=PATH;]/evil",
    "a##[error]b",
    "##[group]",
    "%0A::error::x",
    "%0D%0A::error::x",
    "%250A::error::x",
    "a%b%%c%s%n",
    "<script>alert(1)</script>",
    "<img/src=x/onerror=alert(1)>",
    "</code></td><a href=javascript:alert(1)>x</a>",
    "[x](javascript:alert(1))",
    "![x](http://evil.example/x.png)",
    "|a|b|",
    "```",
    "@team/all",
    "www.evil.example",
    "&lt;b&gt;&#60;",
    "\u202egnp.exe",
    "\u2066isolated\u2069",
    "a\u2028b",
    "a\u2029b",
    "\ufeffbom",
    "é世😀",
    "a\u0301",
    "../../etc/passwd",
    "/etc/passwd",
    "-x",
    "--help",
    "--upload-pack=touch CANARY",
    "refs/heads/x",
    "HEAD",
    "a b",
    " ",
    "'",
    '"',
    "\\",
    "\\n",
    "{a,b}",
    "*",
    "null",
    "0",
    "x" * 255,
]
REFUSED = [
    "a\nb",
    "a\nSTACK_NAME=evil",
    "a\r\nb",
    "a\rb",
    "a\x1b[31mb",
    "a\tb",
    "a\x7fb",
    "a\u0085b",
    "a\u009bb",
    "x" * 256,
    "x" * 10240,
    b"a\xffb",
    b"\xc0\x80",
    b"\xed\xa0\x80",
]
assert len(HOSTILE) + len(REFUSED) >= 60
OUTPUTS = {
    "stack-name", "stack-url", "request-id", "last-deployed-commit", "reused", "needs-deploy", "changed-files",
    "generation",
}  # fmt: skip
DRAWING = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")
OURS = {"add-mask", "error", "warning", "notice", "group", "endgroup"}


class Step:
    """One stage of the action without its few lines of JavaScript, read as the runner reads it."""

    def __init__(self, verb, folder, cwd, **env):
        self.verb = verb
        self.folder = pathlib.Path(folder) / uuid.uuid4().hex
        self.folder.mkdir(parents=True)
        files = {
            f"GITHUB_{n}": str(self.folder / n.lower()) for n in ("OUTPUT", "ENV", "STATE", "PATH", "STEP_SUMMARY")
        }
        base = {"PATH": os.environ["PATH"], "HOME": str(self.folder), "GITHUB_ACTIONS": "true", "NO_PROXY": "*"}
        self.done = subprocess.run(
            [AGENT, "github", verb],
            env={**base, **files, **env},
            cwd=cwd,
            capture_output=True,
            timeout=60,
            check=False,
            stdin=subprocess.DEVNULL,
        )
        self.code = self.done.returncode
        self.text = {n.removeprefix("GITHUB_"): self.read(f) for n, f in files.items()}
        self.lines = (self.done.stdout + self.done.stderr).decode(errors="surrogateescape").split("\n")[:-1]

    @staticmethod
    def read(file):
        return pathlib.Path(file).read_bytes().decode() if pathlib.Path(file).exists() else ""

    def check(self):
        """What holds whatever was put in."""
        assert self.code in (0, 64, 66, 69, 70, 75, 76, 77), self.lines
        assert self.done.stderr == b"", "one stream, so that the order is kept"
        for line in self.lines:
            command = read_command(line)
            assert command is None or command[0] in OURS, line
            assert not DRAWING.search(line), repr(line)
            if command is None:
                assert "##[" not in line
                assert not line.lstrip().startswith("::") or line.split("::")[1].split(" ")[0] not in COMMANDS
        assert "\r" not in "".join(self.text.values())
        if self.code == 0 and self.verb == "main":
            assert set(read_entries(self.text["OUTPUT"])) == OUTPUTS
            assert set(read_entries(self.text["ENV"])) == {"STACK_NAME", "STACK_GENERATION"}
            assert len(self.text["PATH"].splitlines()) == 1
        assert set(read_entries(self.text["STATE"])) <= {"request_id", "state_dir", "joined", "needs_deploy", "stack"}
        read_page(self.text["STEP_SUMMARY"])
        return self

    @property
    def outputs(self):
        return read_entries(self.text["OUTPUT"])


class Page(html.parser.HTMLParser):
    def __init__(self):
        super().__init__(convert_charrefs=True)
        self.shown = []

    def handle_starttag(self, tag, attrs):
        assert tag in ("table", "tr", "th", "td", "code", "a"), tag
        for name, value in attrs:
            assert (tag, name) in (("th", "align"), ("a", "href"))
            assert name != "href" or re.match("^https?://", value)

    def handle_data(self, data):
        self.shown.append(data)

    def handle_comment(self, data):
        raise AssertionError(data)


def read_page(text):
    """The summary as a browser reads it; as Markdown it holds nothing but letters, digits, blanks and our own tags."""
    page = Page()
    page.feed(text)
    bare = re.sub(r'</?(table|tr|td|code)>|<th align="left">|</th>|<a href="(&#\d+;|\w)+">|</a>|&#\d+;', "", text)
    assert re.fullmatch(r"(### Test stack\n\n\n)?[^\x00-\x09\x0b-\x1f!-/:-@\[-`{-~]*", bare), bare
    return page.shown


@pytest.fixture
def canary(tmp_path):
    yield
    assert not list(tmp_path.rglob("CANARY"))


@pytest.fixture
def step(project, tmp_path, clone):
    def play(verb="main", cwd=clone, **env):
        base = {"INPUT_URL": project.daemon.url, "INPUT_KEY": project.key, "RUNNER_TEMP": str(tmp_path / "temp")}
        (tmp_path / "temp").mkdir(exist_ok=True)
        return Step(verb, tmp_path / "steps", cwd, **{**base, **env})

    return play


def surfaces(name):
    """The ways a branch's name comes in."""
    yield {"INPUT_BRANCH": name}
    yield {"GITHUB_EVENT_NAME": "pull_request", "GITHUB_REF": "refs/pull/7/merge", "GITHUB_HEAD_REF": name}
    yield {"GITHUB_EVENT_NAME": "push", "GITHUB_REF": f"refs/heads/{os.fsdecode(name)}"}


def test_branches(step, project, canary, tmp_path):
    for name in HOSTILE:
        for variables in surfaces(name):
            main = step(**variables).check()
            assert main.code == 0, (name, main.lines)
            assert project.stacks["test-1"]["branch"] == name
            assert any(shown == name or "\\u" in shown for shown in read_page(main.text["STEP_SUMMARY"])), name
            state = {f"STATE_{k}": v for k, v in read_entries(main.text["STATE"]).items()}
            post = step("post", **variables, **state, **{"INPUT_JOB-STATUS": "success"})
            assert post.code == 0 and project.states == {"test-1": "available"}, post.lines


def test_branches_in_the_event(step, project, canary, tmp_path):
    event = tmp_path / "event.json"
    for name in HOSTILE:
        repo = {"full_name": name}
        event.write_text(json.dumps({"pull_request": {"head": {"ref": name, "sha": name, "repo": repo}}}))
        variables = {"GITHUB_REF": "refs/pull/7/merge", "GITHUB_EVENT_PATH": str(event), "GITHUB_REPOSITORY": "a/b"}
        main = step(**variables).check()
        assert main.code == 0 and project.stacks["test-1"]["branch"] == name
        step("post", **{f"STATE_{k}": v for k, v in read_entries(main.text["STATE"]).items()})
        fork = step(INPUT_KEY="", **variables).check()
        assert fork.code == 77 and "fork" in fork.lines[0]


@pytest.mark.parametrize("name", REFUSED, ids=lambda n: repr(n)[:24])
def test_branches_that_are_none(step, project, name):
    for variables in surfaces(name):
        main = step(**variables).check()
        assert main.code == 64 and "branch" in main.lines[-1], main.lines
    assert project.states == {}


def test_other_inputs(step, project, canary):
    inputs = ["INPUT_COMMIT", "INPUT_REQUEST-ID", "INPUT_PATHS", "INPUT_ENV-NAME", "INPUT_URL", "INPUT_WAIT"]
    inputs += ["INPUT_LEASE", "INPUT_RELEASE", "INPUT_PURPOSE", "INPUT_CA-FILE", "INPUT_JOB-STATUS", "INPUT_KEY"]
    for name in [*HOSTILE, *REFUSED]:
        for variable in inputs:
            if name in ("0", "x=y", "null", "HEAD", "{a,b}") and variable == "INPUT_WAIT":
                continue
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
        for variable in ("STATE_request_id", "STATE_state_dir", "STATE_needs_deploy", "INPUT_JOB-STATUS"):
            post = step("post", **{"STATE_request_id": "a" * 32, variable: name}).check()
            assert post.code in (0, 64, 70), post.lines
        assert step("release", **{"INPUT_REQUEST-ID": name}).check().code in (0, 64)


def test_who_has_the_stacks(step, project, daemon):
    """While one waits, others' words are shown."""
    for name in HOSTILE:
        holder = {"actor": name[:100], "note": name, "job": name, "link": "https://x/" + "::error::x"}
        asked = {"branch": name, "holder": holder}
        names = [project.http.call("requestStack", asked).body["stackName"] for _ in range(2)]
        main = step(INPUT_WAIT="0").check()
        assert main.code == 75
        daemon.admin("stack", "release", project.name, names[0])
        daemon.admin("stack", "release", project.name, names[1])


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


def test_what_a_coordinator_answers(step, liar, canary):
    lease = {"id": "1", "secret": "sol_x_1_1_0", "generation": 1, "expiresInSeconds": 300}
    good = {"stackName": "test-1", "reused": False, "lease": lease}
    for name in [*HOSTILE, *[n for n in REFUSED if isinstance(n, str)]]:
        told = [(200, {**good, member: name}) for member in ("stackName", "lastDeployedCommit", "url")]
        told += [(200, {**good, "lease": {**lease, member: name}}) for member in ("secret", "id", "generation")]
        told += [(410, {"code": "lease-lost", "why": name, "by": name, "detail": name, "holder": {"actor": name}})]
        told += [(409, {"code": name, "detail": name, "message": name}), (500, name)]
        for status, answer in told:
            Liar.answers.append((status, json.dumps(answer).encode()))
            main = step(INPUT_URL=liar, INPUT_WAIT="0")
            main.lines = [line for line in main.lines if not line.startswith("::add-mask::")]
            main.check()
            if main.code == 0 and "lastDeployedCommit" in answer:
                assert main.outputs["last-deployed-commit"] == answer["lastDeployedCommit"]
            if main.code == 0:
                assert main.outputs["stack-name"] == answer["stackName"]
    keepers_end_with(step)


def keepers_end_with(step):
    """The leases above live by keepers that nobody ends but this."""
    for file in pathlib.Path(step().folder.parent.parent / "temp/stack-agent").glob("lease-*.json"):
        file.unlink()


def test_names_of_files(step, project, clone):
    first = step().check()
    state = {f"STATE_{k}": v for k, v in read_entries(first.text["STATE"]).items()}
    deployed = subprocess.run(
        [AGENT, "deployed"],
        cwd=clone,
        env={"PATH": os.environ["PATH"], "STACK_AGENT_STATE_DIR": state["STATE_state_dir"]},
        check=False,
        capture_output=True,
    )
    assert deployed.returncode == 0, deployed.stderr
    assert step("post", **state).code == 0
    names = {n.encode() if isinstance(n, str) else n for n in [*HOSTILE, *REFUSED]}
    names = {n for n in names if b"/" not in n and len(n) <= 255}
    for name in names:
        pathlib.Path(os.fsdecode(os.fsencode(clone) + b"/" + name)).write_text("x")
    git("add", "--all", cwd=clone)
    git("commit", "-q", "-m", "names", cwd=clone)
    main = step().check()
    files = main.outputs["changed-files"].split("\n")
    assert len(files) == len(names) and main.outputs["needs-deploy"] == "true"
    assert {unquoted(f) for f in files} == names


def unquoted(name):
    """git's quoting undone."""
    if not name.startswith('"'):
        return name.encode()
    inner = re.sub(rb"\\([0-7]{3})", lambda m: bytes([int(m[1], 8)]), name[1:-1].encode())
    return re.sub(rb'\\(["\\])', rb"\1", inner)


def test_an_event_that_is_none(step, project, tmp_path):
    event = tmp_path / "event.json"
    for text in ("", "{", "[]", "null", '{"pull_request": 7}', '{"a":1,"a":2}', "[" * 5000, "\0", "x" * 5_000_000):
        event.write_text(text)
        main = step(GITHUB_REF="refs/pull/7/merge", GITHUB_EVENT_PATH=str(event)).check()
        # The branch is git's then: the clone has one checked out.
        assert main.code == 0 and project.stacks["test-1"]["branch"] == "feat/login"
        step("post", **{f"STATE_{k}": v for k, v in read_entries(main.text["STATE"]).items()})
