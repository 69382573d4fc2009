#!/usr/bin/env python3
"""The GitHub action's step, node included: what it adds to `stack-agent request`, and to a node that does nothing."""

import os
import pathlib
import statistics
import subprocess
import time

import bench

ROUNDS = 60
ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
NODE = pathlib.Path(os.environ.get("CI_TOOLS", ROOT / ".cache/ci-tools")) / "bin/node"


def timed(argv, environment, where, after):
    """Median wall time of one process in ms; `after` runs untimed behind each."""
    samples = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        subprocess.run(argv, check=True, env=environment, cwd=where, stdout=subprocess.DEVNULL)
        samples.append((time.perf_counter() - start) * 1000)
        after()
    return statistics.median(samples)


def main():
    with bench.folder() as where, bench.coordinator() as c:
        key = c.project("bench")
        clone, action = where / "clone", where / "action"
        subprocess.run(["git", "init", "-q", "-b", "main", clone], check=True)
        name = ["-c", "user.name=b", "-c", "user.email=b@example.invalid"]
        subprocess.run(["git", *name, "commit", "-q", "--allow-empty", "-m", "x"], check=True, cwd=clone)
        subprocess.run([ROOT / "scripts/build-action", action, bench.BIN.parent], check=True, capture_output=True)
        files = {f"GITHUB_{n}": str(where / n) for n in ("OUTPUT", "ENV", "STATE", "PATH", "STEP_SUMMARY")}
        url = f"http://{c.host}:{c.port}"
        environment = {
            **os.environ, **files, "STACK_AGENT_URL": url, "STACK_AGENT_KEY": key, "RUNNER_TEMP": str(where),
            "GITHUB_REF_NAME": "main", "STACK_AGENT_LOG_LEVEL": "error",
        }  # fmt: skip
        agent = str(bench.BIN / "stack-agent")

        def release():
            subprocess.run([agent, "release"], check=True, env=environment, cwd=clone)

        nothing = timed([NODE, "-e", ""], environment, clone, lambda: None)
        request = timed([agent, "request"], environment, clone, release)
        step = timed([NODE, action / "action/main.js"], environment, clone, release)
        print(f"the action's step {step:.1f} ms: node {nothing:.1f} ms, request {request:.1f} ms, the rest of it "
              f"{step - nothing - request:.1f} ms")  # fmt: skip


if __name__ == "__main__":
    main()
