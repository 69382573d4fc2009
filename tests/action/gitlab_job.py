"""GitLab for the tests. Gitlab: the component and a project, by gitlab-ci-local. GitlabJob: one job of GitLab Runner's
shell executor, after its documents and its sources, since gitlab-ci-local cannot cancel: how a script is run and ended.

before_script and script are one shell, bash where there is one, with errexit and pipefail, in a process group of its
own. after_script is another: it knows nothing of the first one's variables, comes whatever became of it, and is told
CI_JOB_STATUS. When a job is cancelled its whole group gets SIGTERM; one that is timed out has no after_script.
"""

import os
import re
import shlex
import shutil
import signal
import subprocess
import threading

from runner import TOOLS, git, until

SCRIPTS = ("before_script", "script", "after_script")
AFTER_SCRIPT_SECONDS = 300
HEAD = """trap exit 1 TERM
if set -o | grep pipefail >/dev/null; then set -o pipefail; fi; set -o errexit
set +o noclobber
"""


class Gitlab:
    """Where the component is released, and a project of it; git finds both by the server's name."""

    def __init__(self, template, folder):
        self.folder, self.home = folder, folder / "home"
        self.component, self.project = folder / "platform/stack-orchestrator", folder / "project"
        for part in (self.home, self.component / "templates"):
            part.mkdir(parents=True)
        self.component.with_suffix(".git").symlink_to(self.component)
        git("init", "-q", self.component)
        git("init", "-q", "-b", "feat/login", self.project)
        git("remote", "add", "origin", "git@gitlab.example:team/shop.git", cwd=self.project)
        (self.project / ".git/info/exclude").write_text(".gitlab-ci-local\n")
        self.template = self.component / "templates/with-stack.yml"
        shutil.copy(template, self.template)
        names = ("git@gitlab.example:platform/", "ssh://git@gitlab.example:22/platform/")
        section = f'[url "file://{folder}/platform/"]\n' + "".join(f"insteadOf = {name}\n" for name in names)
        (self.home / ".gitconfig").write_text(section)

    def run(self, pipeline, *words, **variables):
        """gitlab-ci-local, in the project."""
        (self.project / ".gitlab-ci.yml").write_text(pipeline)
        for repository in (self.component, self.project):
            git("add", "--all", cwd=repository)
            git("commit", "-q", "--allow-empty", "-m", "it", cwd=repository)
        git("tag", "--force", "1.0.0", cwd=self.component)
        return subprocess.run(
            [TOOLS / "bin/node", TOOLS / "bin/gitlab-ci-local", "--home", self.home, *words],
            cwd=self.project,
            env={
                "PATH": f"{self.folder}/programs:{TOOLS}/bin:{os.environ['PATH']}",
                "HOME": str(self.home),
                "NO_PROXY": "*",
                "GIT_CONFIG_GLOBAL": str(self.home / ".gitconfig"),
                **variables,
            },
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )


def expand(gitlab, pipeline):
    """Scripts and variables of the pipeline's jobs, as GitLab merges them: include, inputs, extends, !reference."""
    done = gitlab.run(pipeline, "--preview")
    assert done.returncode == 0, done.stderr
    jobs, job, key = {}, None, None
    for line in done.stdout.splitlines():
        if found := re.fullmatch(r"(\S+):", line):
            job = jobs.setdefault(found[1], {})
        elif found := re.fullmatch(r"  (\w+):.*", line):
            key = found[1] if found[1] in ("variables", *SCRIPTS) else None
            if key is not None:
                job[key] = {} if key == "variables" else []
        elif key is None:
            continue
        elif found := re.fullmatch(r"    (\w+): (.*)", line):
            job[key][found[1]] = found[2].strip("'\"")
        elif found := re.fullmatch(r"    - (.*)", line):
            assert found[1] in ("|", "|-") or found[1][0] not in "|>'\"", f"a form that is not read here: {line}"
            job[key].append("" if found[1].startswith("|") else found[1])
        elif job[key]:
            job[key][-1] += line[6:] + "\n"
    return jobs


class GitlabJob:
    """A job under way."""

    def __init__(self, job, folder, number, by="bash", **variables):
        self.job, self.folder, self.shell = job, folder, by
        clean = {n: v for n, v in os.environ.items() if n in ("PATH", "LANG")}
        self.env = {
            **clean,
            "HOME": str(folder.parent),
            "NO_PROXY": "*",
            "GITLAB_CI": "true",
            "CI": "true",
            "CI_PROJECT_DIR": str(folder),
            "CI_JOB_ID": str(number),
            "CI_PIPELINE_ID": "5",
            "CI_COMMIT_REF_NAME": "feat/login",
            "CI_COMMIT_BRANCH": "feat/login",
            **job.get("variables", {}),
            **variables,
        }
        self.lines = []
        self.script, self.reader = self.start([*job["before_script"], *job["script"]])

    def start(self, lines, **more):
        """The runner hands a script to the shell on its stdin, in a form that keeps commands from reading the rest."""
        process = subprocess.Popen(
            [self.shell],
            cwd=self.folder,
            env={**self.env, **more},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            process_group=0,
            text=True,
        )
        reader = threading.Thread(target=lambda: self.lines.extend(process.stdout), daemon=True)
        reader.start()
        process.stdin.write(f"{HEAD}: | eval {shlex.quote(chr(10).join(lines))}\nexit 0\n")
        process.stdin.close()
        return process, reader

    @property
    def log(self):
        return "".join(self.lines)

    def until_said(self, words):
        until(lambda: words in self.log, words)
        return self

    def finish(self, status):
        """What the script has come to, and after_script's own exit code, which counts for nothing."""
        code = self.script.wait(timeout=60)
        status = status or ("failed" if code else "success")
        process, reader = self.start(self.job.get("after_script", []), CI_JOB_STATUS=status)
        after = process.wait(timeout=AFTER_SCRIPT_SECONDS)
        self.reader.join(timeout=5)
        reader.join(timeout=5)
        return code, after

    def end(self):
        return self.finish(None)

    def cancel(self):
        os.killpg(self.script.pid, signal.SIGTERM)
        return self.finish("canceled")

    def lose(self):
        """Timed out, or the runner is gone."""
        os.killpg(self.script.pid, signal.SIGKILL)
        self.script.wait()

    def close(self):
        if self.script.poll() is None:
            self.lose()
