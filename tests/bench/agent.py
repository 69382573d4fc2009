#!/usr/bin/env python3
"""The agent's `request`, the whole process, beside curl making the same call; its memory and size."""

import os
import pathlib
import statistics
import subprocess
import time

import bench

ROUNDS = 150


def timed(argv, environment, where, after):
    """Median wall time of one process in ms; `after` runs untimed behind each."""
    samples = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        subprocess.run(
            argv, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment, cwd=where
        )
        samples.append((time.perf_counter() - start) * 1000)
        after()
    return statistics.median(samples)


def main():
    with bench.folder() as where, bench.coordinator() as c:
        key = c.project("bench")
        subprocess.run(["git", "init", "-q", "-b", "main", where / "clone"], check=True)
        clone = where / "clone"
        commit = [
            "git",
            "-c",
            "user.name=b",
            "-c",
            "user.email=b@example.invalid",
            "commit",
            "-q",
            "--allow-empty",
            "-m",
            "x",
        ]
        subprocess.run(commit, check=True, cwd=clone)
        url = f"http://{c.host}:{c.port}"
        environment = dict(
            os.environ, STACK_AGENT_URL=url, STACK_AGENT_KEY=key, STACK_AGENT_STATE_DIR=str(where / "state")
        )
        agent = str(bench.BIN / "stack-agent")

        def release():
            subprocess.run([agent, "release"], check=True, env=environment, cwd=clone, capture_output=True)

        curl = ["curl", "-sf", "-H", f"Authorization: Bearer {key}", "-d", '{"branch":"main"}', f"{url}/requestStack"]

        def release_plain():
            subprocess.run(
                ["curl", "-sf", "-H", f"X-API-Key: {key}", "-d", '{"stackName":"test-1"}', f"{url}/releaseStack"],
                check=True, stdout=subprocess.DEVNULL,
            )  # fmt: skip

        with_agent = timed([agent, "request"], environment, clone, release)
        with_curl = timed(curl, environment, clone, release_plain)
        bench.row("agent request, whole process", with_agent, "curl", with_curl, 1.3, unit="ms", higher_is_better=False)
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        running = subprocess.Popen([agent, "request"], env=environment, cwd=clone, **quiet)
        _, running.returncode, usage = os.wait4(running.pid, 0)
        resident, size = usage.ru_maxrss / 1024, pathlib.Path(agent).stat().st_size / 1e6
        print(f"agent: {resident:.1f} MB resident (goal ≤ 10), {size:.2f} MB file (dynamic, with symbols)")


if __name__ == "__main__":
    main()
