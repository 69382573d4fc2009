#!/usr/bin/env python3
"""Processor time of an operation, by thread: what can still be compared while others use the machine.

Alternates build folders (`cpu.py [BUILD…]`, default: BUILD_DIR) and prints each one's median, in µs an operation.
"""

import pathlib
import resource
import statistics
import sys

import bench

ROUNDS = 4
LOADS = [("claim", 64), ("claim", 256), ("ids", 64), ("nng", 64)]


def used_us(pid):
    """By thread, in the order they were started; the coordinator's own have the program's name."""
    threads = sorted(pathlib.Path(f"/proc/{pid}/task").iterdir(), key=lambda t: int(t.name))
    return {
        f"{i}:{(t / 'comm').read_text().strip()}": int((t / "schedstat").read_text().split()[0]) / 1000
        for i, t in enumerate(threads)
    }


def children_us():
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return (used.ru_utime + used.ru_stime) * 1e6


def measure(mode, in_flight):
    with bench.coordinator(*(["--nng", "tcp://127.0.0.1:0"] if mode == "nng" else [])) as c:
        key = c.project("bench")

        def load(seconds):
            if mode != "nng":
                return c.load(key, in_flight, mode, seconds)
            return bench.run_json(bench.BIN / "rpc_load", "drive", c.ready["nng"][0], in_flight, seconds, "claim", key)

        load(1)  # the stacks are made here
        before, clients_before = used_us(c.process.pid), children_us()
        count = load(bench.SECONDS)["operations"]
        clients_after, after = children_us(), used_us(c.process.pid)
    result = {thread: (us - before.get(thread, 0)) / count for thread, us in after.items()}
    return result | {"all": sum(result.values()), "client": (clients_after - clients_before) / count}


def main():
    builds = [pathlib.Path(b).resolve() / "bin" for b in sys.argv[1:]] or [bench.BIN]
    for mode, in_flight in LOADS:
        found = {b: [] for b in builds}
        for _ in range(ROUNDS):
            for bench.BIN in builds:
                found[bench.BIN].append(measure(mode, in_flight))
        for b, results in found.items():
            medians = {k: statistics.median(r.get(k, 0) for r in results) for k in results[0]}
            print(f"{mode}, {in_flight} in flight, {b.parent}:",
                  ", ".join(f"{k} {us:.1f}" for k, us in medians.items() if us >= 0.1), flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
