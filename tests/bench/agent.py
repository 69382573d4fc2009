#!/usr/bin/env python3
"""The agent's `request`, the whole process, beside curl making the same call; its memory and size.

Also the static agent of scripts/build-release, where it was made (dist/, or RELEASE_DIR).
"""

import os
import pathlib
import platform
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


def make_clone(folder):
    identity = ["-c", "user.name=b", "-c", "user.email=b@example.invalid"]
    subprocess.run(["git", "init", "-q", "-b", "main", folder], check=True)
    subprocess.run(["git", *identity, "commit", "-q", "--allow-empty", "-m", "x"], check=True, cwd=folder)
    return folder


def agents():
    release = pathlib.Path(os.environ.get("RELEASE_DIR", bench.ROOT / "dist")).resolve()
    static = release / f"linux-{platform.machine()}" / "stack-agent"
    return {"dynamic": bench.BIN / "stack-agent", **({"static": static} if static.exists() else {})}


def resident_mb(agent, environment, clone):
    """The peak of the process that asked, got and holds a stack, as its own child reads it.

    What wait4 tells of a child begins with the memory of the process that forked it: that would be Python's.
    """
    command = [agent, "run", "--", "sh", "-c", "grep VmHWM /proc/$PPID/status"]
    done = subprocess.run(command, check=True, env=environment, cwd=clone, capture_output=True, text=True)
    return int(done.stdout.split()[1]) * 1024 / 1e6


def main():
    with bench.folder() as where, bench.coordinator() as c:
        key = c.project("bench")
        clone = make_clone(where / "clone")
        url = f"http://{c.host}:{c.port}"
        environment = dict(
            os.environ, STACK_AGENT_URL=url, STACK_AGENT_KEY=key, STACK_AGENT_STATE_DIR=str(where / "state")
        )
        curl = ["curl", "-sf", "-H", f"Authorization: Bearer {key}", "-d", '{"branch":"main"}', f"{url}/requestStack"]

        def release_plain():
            subprocess.run(
                ["curl", "-sf", "-H", f"X-API-Key: {key}", "-d", '{"stackName":"test-1"}', f"{url}/releaseStack"],
                check=True, stdout=subprocess.DEVNULL,
            )  # fmt: skip

        with_curl = timed(curl, environment, clone, release_plain)
        for kind, agent in agents().items():
            release = [agent, "release"]
            took = timed(
                [agent, "request"],
                environment,
                clone,
                lambda argv=release: subprocess.run(argv, check=True, env=environment, cwd=clone, capture_output=True),
            )
            what = f"{kind} agent request, whole process"
            bench.row(what, took, "curl", with_curl, 1.3, unit="ms", higher_is_better=False)
            resident, size = resident_mb(agent, environment, clone), agent.stat().st_size / 1e6
            print(f"{kind} agent: {resident:.1f} MB resident (goal ≤ 10), {size:.2f} MB file (goal, static: ≤ 2.3)")


if __name__ == "__main__":
    main()
