"""One job of GitLab Runner's shell executor, after its documents and its sources: how a script is run and cancelled.

before_script and script are one bash, with errexit and pipefail, in a process group of its own. after_script is
another: it knows nothing of the first one's variables, comes whatever became of it, and is told CI_JOB_STATUS. When a
job is cancelled its whole group gets SIGTERM; one that is timed out has no after_script.
"""

import os
import re
import shlex
import signal
import subprocess
import threading

from runner import TOOLS, until

COMPONENT = "component: $CI_SERVER_FQDN/platform/stack-orchestrator/with-stack@1"
SCRIPTS = ("before_script", "script", "after_script")
AFTER_SCRIPT_SECONDS = 300
HEAD = """trap exit 1 TERM
if set -o | grep pipefail >/dev/null; then set -o pipefail; fi; set -o errexit
set +o noclobber
"""


def local(pipeline):
    """The component lies in the project itself here: another project's would have to be fetched."""
    return pipeline.replace(COMPONENT, "local: templates/with-stack.yml")


def expand(folder, home):
    """Scripts and variables of the pipeline's jobs, as GitLab merges them: include, inputs, extends, !reference."""
    words = [TOOLS / "bin/node", TOOLS / "bin/gitlab-ci-local", "--preview", "--home", home]
    env = {"PATH": f"{TOOLS}/bin:{os.environ['PATH']}", "HOME": str(home), "GIT_CONFIG_GLOBAL": "/dev/null"}
    done = subprocess.run(words, cwd=folder, env=env, check=True, capture_output=True, text=True, timeout=60)
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

    def __init__(self, job, folder, number, **variables):
        self.job, self.folder = job, folder
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
        """The runner hands a script to bash on its stdin, in a form that keeps its commands from reading the rest."""
        process = subprocess.Popen(
            ["bash"],
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
        process, reader = self.start(self.job["after_script"], CI_JOB_STATUS=status)
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
