"""One job of GitHub's runner, after its sources: how a step is started, told, listened to, cancelled, cleaned up after.

    worker.py JOB      JOB: a JSON file with the steps; a line of JSON on stdout for all that happens

It calls itself Runner.Worker, as the real one is called. SIGUSR1: the server cancels the job. SIGKILL: the machine is
lost. `JOB` may say "shutdown": then what is left of it is skipped, post steps too, as when the runner is stopped.
"""

import json
import os
import pathlib
import re
import select
import signal
import subprocess
import sys
import threading
import time
import uuid

from container import Container, Machine

INTERRUPT_SECONDS, TERMINATE_SECONDS = 7.5, 2.5  # from SIGINT to SIGTERM, from SIGTERM to SIGKILL
COMMANDS = {
    "add-mask", "add-matcher", "debug", "echo", "endgroup", "error", "group", "notice", "remove-matcher", "save-state",
    "set-env", "set-output", "stop-commands", "add-path", "warning",
}  # fmt: skip


class FileError(Exception):
    """What makes the runner fail the step."""


def read_entries(text):
    """GITHUB_OUTPUT, GITHUB_ENV, GITHUB_STATE: the runner's grammar to the letter."""
    entries, at = {}, 0

    def line():
        nonlocal at
        if at >= len(text):
            return None, ""
        end = text.find("\n", at)
        if end < 0:
            found, at = text[at:], len(text)
            return found, ""
        found, at = text[at:end], end + 1
        return found, "\n"

    while (read := line())[0] is not None:
        entry = read[0]
        if entry == "":
            continue
        equals, here = entry.find("="), entry.find("<<")
        if equals >= 0 and (here < 0 or equals < here):
            name, value = entry.split("=", 1)
            if not name:
                raise FileError(f"no name: {entry!r}")
        elif here >= 0:
            name, delimiter = entry.split("<<", 1)
            if not name or not delimiter:
                raise FileError(f"no name or no delimiter: {entry!r}")
            start = end = at
            part, newline = line()
            while part != delimiter:
                if part is None:
                    raise FileError(f"no {delimiter!r}")
                if newline == "":
                    raise FileError("the end marker has no line of its own")
                end = at - len(newline)
                part, newline = line()
            value = text[start:end] if end > start else ""
        else:
            raise FileError(f"neither = nor <<: {entry!r}")
        entries[name] = value
    return entries


def read_path(text):
    """GITHUB_PATH: lines as .NET ends them, empty ones left out."""
    return [line for line in re.split(r"\r\n|\r|\n", text) if line]


def unescape(text, pairs):
    for escaped, plain in pairs:
        text = text.replace(escaped, plain)
    return text


DATA = [("%0D", "\r"), ("%0A", "\n"), ("%25", "%")]
PROPERTY = [("%0D", "\r"), ("%0A", "\n"), ("%3A", ":"), ("%2C", ","), ("%25", "%")]
OLD = [("%3B", ";"), ("%0D", "\r"), ("%0A", "\n"), ("%5D", "]"), ("%25", "%")]


def read_command(line):
    """A line's workflow command, or None: (name, properties, data)."""
    stripped = line.lstrip()
    if stripped.startswith("::") and (end := stripped.find("::", 2)) >= 0:
        name, _, rest = stripped[2:end].partition(" ")
        if name in COMMANDS:
            pairs = [p.split("=", 1) for p in rest.strip().split(",") if "=" in p]
            properties = {k: unescape(v, PROPERTY) for k, v in pairs}
            return name, properties, unescape(stripped[end + 2 :], DATA)
    start = line.find("##[")
    if start >= 0 and (end := line.find("]", start)) >= 0:
        name, _, rest = line[start + 3 : end].partition(" ")
        if name in COMMANDS:
            pairs = [p.split("=", 1) for p in rest.split(";") if "=" in p]
            return name, {k: unescape(v, OLD) for k, v in pairs}, unescape(line[end + 1 :], OLD)
    return None


class Job:
    def __init__(self, spec):
        self.spec = spec
        self.temp = pathlib.Path(spec["temp"])
        self.commands = self.temp / "_runner_file_commands"
        self.commands.mkdir(parents=True, exist_ok=True)
        self.status = "success"
        self.masks = [secret for secret in spec["secrets"] if secret]
        self.env = {}  # what GITHUB_ENV said
        self.path = []
        self.outputs = {}
        self.posts = []
        self.stopped = None  # the token of stop-commands
        self.is_cancelled = threading.Event()
        self.tracking = f"github_{uuid.uuid4()}"
        self.lock = threading.Lock()
        self.place = Container(spec["container"]) if "container" in spec else Machine()

    # ---- telling ----

    def masked(self, text):
        for secret in sorted(self.masks, key=len, reverse=True):
            text = text.replace(secret, "***")
        return text

    def tell(self, what, **more):
        with self.lock:
            print(json.dumps({"what": what, "at": time.monotonic(), **more}), flush=True)

    def hear(self, step, raw):
        """One line of a step's output."""
        line = raw.decode(errors="replace")
        if self.stopped is not None:
            if line.strip() == f"::{self.stopped}::":
                self.stopped = None
            return self.tell("line", step=step, text=self.masked(line), raw=line)
        command = read_command(line)
        if command is None:
            return self.tell("line", step=step, text=self.masked(line), raw=line)
        name, properties, data = command
        if name == "add-mask":
            self.masks += [part for part in {data, *data.splitlines()} if part]
            return self.tell("mask", step=step, raw=line)
        if name == "stop-commands":
            self.stopped = data
        properties = {k: self.masked(v) for k, v in properties.items()}
        return self.tell("command", step=step, name=name, properties=properties, text=self.masked(data), raw=line)

    # ---- one process ----

    def environment(self, step, files, more):
        base = {**self.spec["env"], **self.env, **step.get("env", {}), **more}
        base |= {f"GITHUB_{name}": str(path) for name, path in files.items()}
        base |= {"RUNNER_TEMP": str(self.temp), "RUNNER_TRACKING_ID": self.tracking, "CI": "true"}
        base["GITHUB_ACTIONS"] = "true"
        base["PATH"] = ":".join([*reversed(self.path), self.place.path or base["PATH"]])
        return base

    def execute(self, name, step, words, more, cwd):
        files = {}
        for kind in ("OUTPUT", "ENV", "STATE", "PATH", "STEP_SUMMARY"):
            files[kind] = self.commands / f"{kind.lower()}_{uuid.uuid4()}"
            files[kind].write_bytes(b"")
        env = self.environment(step, files, more)
        process = subprocess.Popen(
            self.place.enter(words, env),
            cwd=cwd,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        self.tell("started", step=name, pid=process.pid)
        readers = [
            threading.Thread(target=self.read, args=(name, stream), daemon=True)
            for stream in (process.stdout, process.stderr)
        ]
        for reader in readers:
            reader.start()
        self.wait(process)
        until = time.monotonic() + (self.place if process.returncode < 0 else Machine).stream_seconds
        for reader in readers:
            reader.join(max(0, until - time.monotonic()))
        failed = process.returncode != 0
        said, failed = self.read_files(name, files, failed)
        self.tell("ended", step=name, code=process.returncode, failed=failed, **said)
        return said, failed

    def read(self, name, stream):
        for line in stream:
            self.hear(name, line.rstrip(b"\n"))

    def wait(self, process):
        """Until it has ended; once cancelled, the ladder. Signals go to the entry process alone."""
        pidfd = os.pidfd_open(process.pid)
        try:
            while not self.is_cancelled.is_set() and not select.select([pidfd], [], [], 0.02)[0]:
                pass
            if not self.is_cancelled.is_set() or getattr(self, "was_told", False):
                process.wait()
                return
            self.was_told = True
            for number, seconds in ((signal.SIGINT, INTERRUPT_SECONDS), (signal.SIGTERM, TERMINATE_SECONDS)):
                process.send_signal(number)
                self.tell("signal", number=number)
                if select.select([pidfd], [], [], seconds)[0]:
                    break
            else:
                process.kill()
                self.tell("signal", number=signal.SIGKILL)
            process.wait()
        finally:
            os.close(pidfd)

    def read_files(self, name, files, failed):
        said = {"outputs": {}, "state": {}, "env": {}, "path": [], "summary": ""}
        try:
            text = {kind: path.read_bytes().decode("utf-8", "replace") for kind, path in files.items()}
            said["outputs"], said["state"] = read_entries(text["OUTPUT"]), read_entries(text["STATE"])
            said["env"] = read_entries(text["ENV"])
            said["path"] = read_path(text["PATH"])
            said["summary"] = text["STEP_SUMMARY"]
        except FileError as error:
            self.tell("command", step=name, name="error", properties={}, text=f"file: {error}", raw="")
            failed = True
        said["env"].pop("NODE_OPTIONS", None)
        self.env |= said["env"]
        for folder in said["path"]:
            self.path = [p for p in self.path if p != folder] + [folder]
        return said, failed

    # ---- steps ----

    def inputs(self, step):
        """INPUT_…, with the defaults of action.yml; evaluated again for the post step."""
        given = {**step["defaults"], **step.get("with", {})}
        found = {}
        for name, value in given.items():
            text = re.sub(r"\$\{\{ *job\.status *\}\}", self.status, value)
            text = re.sub(r"\$\{\{ *steps\.([\w-]+)\.outputs\.([\w-]+) *\}\}", self.output, text)
            found["INPUT_" + name.upper().replace(" ", "_")] = text
        return found

    def output(self, match):
        return self.outputs.get(match[1], {}).get(match[2], "")

    def stage(self, step, name, script, state):
        more = {**self.inputs(step), **{f"STATE_{k}": v for k, v in state.items()}}
        words = [self.spec["node"], *self.spec.get("node_words", []), script]
        return self.execute(name, step, words, more, self.spec["workspace"])

    def play(self, step):
        name = step["name"]
        condition = step.get("if", "success")
        is_due = {"success": self.status == "success", "failure": self.status == "failure", "always": True}
        if not is_due.get(condition, condition in self.outputs_true()):
            return self.tell("skipped", step=name)
        if "uses" in step:
            state = {}
            if step.get("post"):
                self.posts.append((step, state))  # registered when main starts
            said, failed = self.stage(step, name, step["uses"], state)
            state.update(said["state"])
        else:
            words = [*self.place.shell, step["run"]]
            said, failed = self.execute(name, step, words, {}, self.spec["workspace"])
        self.outputs[step.get("id", name)] = said["outputs"]
        if self.is_cancelled.is_set():
            self.status = "cancelled"
        elif failed and self.status == "success":
            self.status = "failure"
        return None

    def outputs_true(self):
        return (
            {f"{s}.{k}" for s, values in self.outputs.items() for k, v in values.items() if v == "true"}
            if (self.status == "success")
            else set()
        )

    def run(self):
        for step in self.spec["steps"]:
            self.play(step)
        is_shut_down = self.spec.get("shutdown", False)
        while self.posts and not is_shut_down:
            step, state = self.posts.pop()
            said, failed = self.stage(step, f"post {step['name']}", step["post"], state)
            if failed and self.status == "success":
                self.status = "failure"
        self.kill_orphans()
        self.place.remove()
        outputs = {}
        for name, expression in self.spec.get("outputs", {}).items():
            value = re.sub(r"\$\{\{ *steps\.([\w-]+)\.outputs\.([\w-]+) *\}\}", self.output, expression)
            # "Skip output since it may contain secret."
            outputs[name] = "" if self.masked(value) != value else value
        self.tell("job", status=self.status, outputs=outputs)

    def kill_orphans(self):
        mark = f"RUNNER_TRACKING_ID={self.tracking}".encode()
        for entry in pathlib.Path("/proc").iterdir():
            if not entry.name.isdigit() or int(entry.name) == os.getpid():
                continue
            try:
                if mark in (entry / "environ").read_bytes().split(b"\0"):
                    words = (entry / "cmdline").read_bytes().split(b"\0")
                    os.kill(int(entry.name), signal.SIGKILL)
                    self.tell("orphan", pid=int(entry.name), name=words[0].decode())
            except OSError:
                pass


def main():
    spec = json.loads(pathlib.Path(sys.argv[1]).read_text())
    pathlib.Path("/proc/self/comm").write_text("Runner.Worker")
    job = Job(spec)
    signal.signal(signal.SIGUSR1, lambda *_: job.is_cancelled.set())
    job.tell("worker", pid=os.getpid(), tracking=job.tracking)
    job.run()


if __name__ == "__main__":
    main()
