#!/usr/bin/env python3
"""100,000 stacks in a project, and 100,000 projects, beside ten: time per operation."""

import subprocess

import bench

MANY = 100_000


def claim_time(c, key):
    c.load(key, 64, "claim", 1)
    return 1e6 / c.load(key, 64, "claim")["per_second"]


def fill_stacks(c, key, count):
    """Takes `count` stacks and gives them all back, so that they lie there available."""
    c.load(key, min(64, count), "fill", count)


def stacks(count):
    with bench.coordinator() as c:
        key = c.project("bench")
        fill_stacks(c, key, count)
        return claim_time(c, key)


def projects(count):
    with bench.coordinator() as c:
        key = c.project("measured")
        argv = [bench.BIN / "rpc_load", "drive", c.control(), 64, count, "projects"]
        subprocess.run([str(a) for a in argv], check=True, stdout=subprocess.DEVNULL)
        return claim_time(c, key)


def main():
    bench.row(
        "100,000 stacks in a project", stacks(MANY), "10 stacks", stacks(10), 1.3, unit="µs/op", higher_is_better=False
    )
    bench.row(
        "100,000 projects", projects(MANY), "10 projects", projects(10), 1.3, unit="µs/op", higher_is_better=False
    )


if __name__ == "__main__":
    main()
