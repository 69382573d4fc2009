"""Texts that others choose, on every surface of a step: nothing is executed, nothing becomes a further entry, a further
line or a command; what a surface can hold comes back as it was, what it cannot is refused by name."""

import html.parser
import os
import pathlib
import re
import subprocess
import uuid

from runner import BIN
from worker import COMMANDS, read_command, read_entries, read_path

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
assert len({*HOSTILE, *REFUSED}) >= 60
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
            assert len(read_path(self.text["PATH"])) == 1
        assert set(read_entries(self.text["STATE"])) <= {
            "request_id",
            "state_dir",
            "joined",
            "stack",
            "ready",
        }
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
