#!/usr/bin/env python3
"""Coordinators on a PostgreSQL server beside pgbench on the same one: claims, two coordinators, hand-off."""

import concurrent.futures
import contextlib
import re

import bench
import handoff
import throughput


def together(loads):
    """Loads of several coordinators at once; their sum."""
    with concurrent.futures.ThreadPoolExecutor(len(loads)) as pool:
        return sum(future.result()["per_second"] for future in [pool.submit(load) for load in loads])


@contextlib.contextmanager
def coordinators(server, count):
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(bench.coordinator("--store", server.url())) for _ in range(count)]


def claims(key, coordinators):
    return together([lambda c=c: c.load(key, 64 // len(coordinators), "claim") for c in coordinators])


def commit_ms(server):
    """What one client waits for a transaction that writes one row."""
    server.run("psql", "-c", "CREATE TABLE IF NOT EXISTS one (n int); TRUNCATE one; INSERT INTO one VALUES (0)")
    script = server.where / "one.sql"
    script.write_text("UPDATE one SET n = n + 1;\n")
    done = server.run("pgbench", "-n", "-c", 1, "-T", f"{bench.SECONDS:.0f}", "-f", script, "-M", "prepared")
    return float(re.search(r"latency average = ([0-9.]+) ms", done.stdout).group(1))


def main():
    with bench.postgres() as server, coordinators(server, 2) as (here, there):
        throughput.make_claims(server, 1)
        key = here.project("claims")
        for c in (here, there):
            c.load(key, 64, "claim", 1)  # the stacks are made here
        one, two, peer = bench.in_turn(
            lambda: claims(key, [here]), lambda: claims(key, [here, there]),
            lambda: throughput.pgbench_claim(server, 64, 1))  # fmt: skip
        bench.row("request + release on PostgreSQL, 64 connections", one, "its claims by pgbench", peer, 2)
        bench.row("two coordinators, 64 connections", two, "one", one, 1.0)
        samples = []
        commit, _ = bench.in_turn(lambda: commit_ms(server), lambda: handoff.hand_offs(samples, here, there))
        p50, p99 = handoff.percentiles(samples)
        print(f"hand-off through another coordinator: p50 {p50:.2f} ms, p99 {p99:.2f} ms; a commit {commit:.2f} ms")
        bench.row("hand-off through another, p99", p99, "3 x commit + 2 ms", 3 * commit + 2, 1.0, unit="ms",
                  higher_is_better=False)  # fmt: skip


if __name__ == "__main__":
    main()
