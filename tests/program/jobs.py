"""CI jobs that call the agent: a project of their own, a clone, a folder for what the agent notes."""

import contextlib
import itertools
import json
import pathlib
import subprocess

from programs import AGENT, agent, agent_environment, git

PROJECTS = itertools.count(1)


class Project:
    """A project of a test's own: what its key sees."""

    def __init__(self, daemon, *options):
        self.daemon, self.name = daemon, f"p{next(PROJECTS)}"
        self.key = daemon.project(self.name, *options)
        self.http = daemon.http(self.key)

    @property
    def stacks(self):
        return {s["stackName"]: s for s in self.http.call("listStacks").body["stacks"]}

    @property
    def states(self):
        return {name: s["state"] for name, s in self.stacks.items()}

    @property
    def events(self):
        return self.http.call("listEvents", {"after": 0}).body["events"]

    @property
    def kinds(self):
        return [e["kind"] for e in self.events]

    @property
    def queue(self):
        return self.http.call("listQueue").body["queue"]


class Job:
    """One CI job: a worktree, a state folder, an environment without anything of the machine's CI."""

    def __init__(self, project, folder, worktree, url=None, **more):
        self.project, self.worktree, self.state = project, worktree, pathlib.Path(folder) / "state"
        home = pathlib.Path(folder) / "home"
        home.mkdir(parents=True, exist_ok=True)
        self.env = agent_environment(url or project.daemon, project.key, self.state)
        for name in ("XDG_CONFIG_HOME", "XDG_RUNTIME_DIR", "XDG_CACHE_HOME", "GIT_DIR", "GIT_WORK_TREE"):
            self.env.pop(name, None)
        self.env |= {"HOME": str(home), "GIT_CONFIG_NOSYSTEM": "1", "NO_PROXY": "*", "no_proxy": "*", **more}

    def __call__(self, *words, timeout=60, **env):
        return agent(*words, cwd=self.worktree, env={**self.env, **env}, timeout=timeout)

    def start(self, *words, **more):
        return subprocess.Popen(
            [AGENT, *[str(w) for w in words]],
            cwd=self.worktree,
            env=self.env,
            text=True,
            **{"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **more},
        )

    def request(self, *words, **env):
        """What `request --json` says."""
        done = self("request", "--wait", "5s", *words, "--json", **env)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def files(self):
        return [p for p in self.state.rglob("*") if p.is_file()]

    def texts(self):
        """Of the files there are; one that is replaced meanwhile may be gone under its first name."""
        for path in self.files():
            with contextlib.suppress(FileNotFoundError):
                yield path.read_text()

    def succeeds(self, *words, **env):
        done = self(*words, **env)
        assert done.returncode == 0, (words, done.stderr)
        return done


def head(folder):
    return git("rev-parse", "HEAD", cwd=folder)


def commit(folder, text):
    (folder / "page").write_text(text)
    git("commit", "-q", "-a", "-m", text.strip(), cwd=folder)
    return head(folder)


# What CI systems tell each job.
GITHUB = {
    "GITHUB_ACTIONS": "true",
    "GITHUB_REPOSITORY": "acme/web",
    "GITHUB_RUN_ID": "17",
    "GITHUB_ACTOR": "anna",
    "GITHUB_SERVER_URL": "https://github.example",
    "GITHUB_SHA": "f" * 40,
}
GITLAB = {
    "GITLAB_CI": "true",
    "CI_PROJECT_PATH": "acme/web",
    "CI_COMMIT_SHA": "f" * 40,
    "CI_JOB_URL": "https://gl.example/7",
}
