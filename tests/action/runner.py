"""Workflows for the tests: jobs in worker.py, each on a runner of its own, with the assembled action."""

import functools
import json
import os
import pathlib
import platform
import queue
import re
import signal
import subprocess
import sys
import threading

HERE = pathlib.Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "program"))
import jobs  # noqa: E402
import programs  # noqa: E402
from jobs import head  # noqa: E402
from programs import AGENT, BIN, CI_VARIABLES, Coordinator, git  # noqa: E402

__all__ = ["AGENT", "BIN", "Coordinator", "git", "head"]

ROOT = HERE.parent.parent
TOOLS = pathlib.Path(os.environ["CI_TOOLS"])
NODE = TOOLS / "bin/node"
DEADLINE = 60
AGENTS = f"linux-{platform.machine()}"
until = functools.partial(programs.until, seconds=30)  # a whole runner is behind what is waited for


def checkout(folder):
    """A checkout of feat/login as actions/checkout leaves it: depth 1, any commit can be fetched."""
    origin, clone = folder / "origin", folder / "clone"
    git("init", "-q", "-b", "feat/login", origin)
    git("config", "uploadpack.allowAnySHA1InWant", "true", cwd=origin)
    for number in range(2):
        (origin / "page").write_text(f"{number}\n")
        git("add", "page", cwd=origin)
        git("commit", "-q", "-m", str(number), cwd=origin)
    git("clone", "-q", "--depth=1", f"file://{origin}", clone)
    return clone


class Project(jobs.Project):
    def outcomes(self):
        return [e.get("outcome") for e in self.events if e["kind"] == "released"]

    def fill(self):
        """Somebody else has both stacks."""
        for number in range(2):
            self.http.call("requestStack", {"branch": f"b{number}", "holder": {"actor": "ben"}})


def read_action(file):
    """The inputs of an action.yml with their defaults. Ours are written in one form, so no parser of YAML is needed."""
    defaults, section, name = {}, None, None
    for line in file.read_text().splitlines():
        if found := re.match(r"^(\w+):", line):
            section = found[1]
        elif section == "inputs" and (found := re.match(r"^  ([\w-]+):$", line)):
            name = found[1]
            defaults[name] = ""
        elif section == "inputs" and (found := re.match(r"^    default: (.*)$", line)):
            defaults[name] = found[1].strip('"')
    return defaults


class Running:
    """A job under way, and what it said."""

    def __init__(self, process):
        self.process = process
        self.events, self.news = [], queue.Queue()
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()
        self.tracking = self.until(lambda e: e["what"] == "worker")["tracking"]

    def read(self):
        for line in self.process.stdout:
            event = json.loads(line)
            self.events.append(event)
            self.news.put(event)
        self.news.put(None)

    def until(self, condition):
        """The first event from here on for which it holds."""
        while (event := self.news.get(timeout=DEADLINE)) is not None:
            if condition(event):
                return event
        raise AssertionError(f"the job ended before that: {self.log}")

    def until_said(self, words):
        return self.until(lambda e: words in e.get("text", ""))

    def cancel(self):
        self.process.send_signal(signal.SIGUSR1)

    def lose(self):
        """The machine is gone: nothing of it runs any more, and nothing was told to end."""
        self.process.kill()
        self.process.wait()
        mark = f"RUNNER_TRACKING_ID={self.tracking}".encode()
        for entry in pathlib.Path("/proc").iterdir():
            try:
                if entry.name.isdigit() and mark in (entry / "environ").read_bytes().split(b"\0"):
                    os.kill(int(entry.name), signal.SIGKILL)
            except OSError:
                pass

    def end(self):
        """What became of it, once it has ended."""
        self.process.wait(timeout=DEADLINE)
        self.reader.join(timeout=DEADLINE)
        assert self.process.returncode == 0, self.process.returncode
        return self

    @property
    def result(self):
        return next(e for e in self.events if e["what"] == "job")

    @property
    def status(self):
        return self.result["status"]

    @property
    def outputs(self):
        return self.result["outputs"]

    def ended(self, step):
        return next(e for e in self.events if e["what"] == "ended" and e["step"] == step)

    def started(self, step):
        return any(e["what"] == "started" and e["step"] == step for e in self.events)

    def commands(self, name, step=None):
        return [
            e["text"] for e in self.events if e["what"] == "command" and e["name"] == name and step in (None, e["step"])
        ]

    @property
    def log(self):
        """What people see."""
        return "\n".join(e["text"] for e in self.events if "text" in e)

    @property
    def raw(self):
        return "\n".join(e["raw"] for e in self.events if "raw" in e)


class Runner:
    """A machine with the action and a checkout."""

    def __init__(self, folder, action, workspace, url, key, **env):
        self.folder, self.action, self.workspace = pathlib.Path(folder), action, workspace
        self.url, self.key = url, key
        self.count = 0
        clean = {n: v for n, v in os.environ.items() if not n.startswith((*CI_VARIABLES, "XDG_", "GIT_"))}
        home = self.folder / "home"
        home.mkdir(parents=True, exist_ok=True)
        self.env = {
            **clean,
            "HOME": str(home),
            "NO_PROXY": "*",
            "GITHUB_REPOSITORY": "team/shop",
            "GITHUB_SERVER_URL": "https://github.example",
            "GITHUB_RUN_ID": "77",
            "GITHUB_RUN_ATTEMPT": "1",
            "GITHUB_JOB": "e2e",
            "GITHUB_ACTOR": "anna",
            "GITHUB_EVENT_NAME": "push",
            "GITHUB_REF": "refs/heads/feat/login",
            "GITHUB_REF_NAME": "feat/login",
            "GITHUB_REF_TYPE": "branch",
            "GITHUB_WORKSPACE": str(workspace),
            **env,
        }
        self.node_words = []
        self.prefix = []  # what the machine runs in
        self.jobs = []

    def event(self, name, payload, **env):
        """Another event than a push of feat/login."""
        file = self.folder / "event.json"
        file.write_text(payload if isinstance(payload, str) else json.dumps(payload))
        for gone in ("GITHUB_REF", "GITHUB_REF_NAME", "GITHUB_REF_TYPE", "GITHUB_HEAD_REF"):
            self.env.pop(gone, None)
        self.env |= {"GITHUB_EVENT_NAME": name, "GITHUB_EVENT_PATH": str(file), **env}
        return self

    def uses(self, name="stack", **inputs):
        given = {"url": self.url, "key": self.key, **{k.replace("_", "-"): v for k, v in inputs.items()}}
        return {
            "name": name,
            "id": name,
            "uses": str(self.action / "action/main.js"),
            "post": str(self.action / "action/post.js"),
            "defaults": read_action(self.action / "action.yml"),
            "with": given,
        }

    def releases(self, name="release", **inputs):
        given = {"url": self.url, "key": self.key, **{k.replace("_", "-"): v for k, v in inputs.items()}}
        defaults = read_action(self.action / "action/release/action.yml")
        return {
            "name": name,
            "uses": str(self.action / "action/release.js"),
            "defaults": defaults,
            "with": given,
            "if": "always",
        }

    def start(self, *steps, outputs=None, **more):
        self.count += 1
        temp = self.folder / f"temp-{self.count}"
        spec = {
            "temp": str(temp),
            "workspace": str(self.workspace),
            "node": str(NODE),
            "node_words": self.node_words,
            "secrets": [self.key],
            "env": self.env,
            "steps": list(steps),
            "outputs": outputs or {},
            **more,
        }
        file = self.folder / f"job-{self.count}.json"
        file.write_text(json.dumps(spec))
        self.temp = temp
        process = subprocess.Popen(
            [*self.prefix, sys.executable, HERE / "worker.py", file],
            stdout=subprocess.PIPE,
            text=True,
            stdin=subprocess.DEVNULL,
        )
        self.jobs.append(Running(process))
        return self.jobs[-1]

    def close(self):
        """A test that failed leaves nothing running."""
        for job in self.jobs:
            if job.process.poll() is None:
                job.lose()

    def job(self, *steps, **more):
        return self.start(*steps, **more).end()


def run(script, name="run", condition="success", **env):
    return {"name": name, "run": script, "if": condition, "env": env}


def commit(folder, text, name="page"):
    (folder / name).write_text(text)
    git("add", ".", cwd=folder)
    git("commit", "-q", "-m", text.strip() or "none", cwd=folder)
    return git("rev-parse", "HEAD", cwd=folder)


# On the stack of `uses`, where it says that this is needed.
DEPLOY = run('test "$STACK_NAME" = "test-1" && stack-agent deployed', "deploy", "stack.needs-deploy")
