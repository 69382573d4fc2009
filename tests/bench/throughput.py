#!/usr/bin/env python3
"""Durable requestStack + releaseStack over HTTP beside Redis (appendfsync always), etcd and PostgreSQL."""

import base64
import json
import re
import subprocess

import bench


def ours(connections, mode):
    with bench.coordinator() as c:
        key = c.project("bench")
        c.load(key, connections, mode, 1)  # the stacks are made here
        return c.load(key, connections, mode)["per_second"]


def etcd_put(connections):
    client, peer = bench.free_port(), bench.free_port()
    with bench.folder() as where:
        argv = [
            "etcd", "--data-dir", where / "etcd", "--listen-client-urls", f"http://127.0.0.1:{client}",
            "--advertise-client-urls", f"http://127.0.0.1:{client}", "--listen-peer-urls", f"http://127.0.0.1:{peer}",
        ]  # fmt: skip
        with bench.process(*argv, cwd=where) as p:
            bench.wait_for_port(client, p)
            pair = {"key": base64.b64encode(b"stack").decode(), "value": base64.b64encode(b"taken").decode()}
            body = json.dumps(pair)
            script = where / "put.lua"
            script.write_text(
                f"wrk.method='POST'\nwrk.path='/v3/kv/put'\nwrk.body='{body}'\n"
                "wrk.headers['Content-Type']='application/json'\n"
            )
            done = subprocess.run(
                ["wrk", "-t1", f"-c{connections}", f"-d{bench.SECONDS:.0f}s", "-s", script, f"http://127.0.0.1:{client}"],
                check=True, capture_output=True, text=True,
            )  # fmt: skip
    return float(re.search(r"Requests/sec:\s+([0-9.]+)", done.stdout).group(1))


CLAIM = """\\set p random(1, PROJECTS)
UPDATE stack SET state = 1, generation = generation + 1 WHERE (project, number) =
  (SELECT project, number FROM stack WHERE project = :p AND state = 0 ORDER BY requested LIMIT 1 FOR UPDATE SKIP LOCKED)
  RETURNING number;
"""


def postgres_claim(connections, projects):
    """One claim a transaction by pgbench, on a server of our own (fsync on, as it comes).

    Those of one project, as ours are, meet at its first free stack; over many projects they do not.
    """
    with bench.postgres() as server:
        make_claims(server, projects)
        return pgbench_claim(server, connections, projects)


def make_claims(server, projects):
    server.run(
        "psql", "-v", "ON_ERROR_STOP=1", "-c",
        "CREATE TABLE stack (project int, number int, state int DEFAULT 0, requested bigint DEFAULT 0, "
        "generation bigint DEFAULT 0, PRIMARY KEY (project, number)); "
        "INSERT INTO stack (project, number) "
        f"SELECT p, n FROM generate_series(1, {projects}) p, generate_series(1, {512_000 // projects}) n; "
        "CREATE INDEX ON stack (project, requested) WHERE state = 0; ANALYZE stack;",
    )  # fmt: skip


def pgbench_claim(server, connections, projects):
    script = server.where / "claim.sql"
    script.write_text(CLAIM.replace("PROJECTS", str(projects)))
    done = server.run("pgbench", "-n", "-c", connections, "-j", 2, "-T", f"{bench.SECONDS:.0f}", "-f", script,
                      "-M", "prepared")  # fmt: skip
    return float(re.search(r"tps = ([0-9.]+)", done.stdout).group(1))


def main():
    at_64, redis_64, with_ids, at_256, redis_256 = bench.in_turn(
        lambda: ours(64, "claim"), lambda: bench.redis_set(64), lambda: ours(64, "ids"),
        lambda: ours(256, "claim"), lambda: bench.redis_set(256))  # fmt: skip
    bench.row("request + release, 64 connections", at_64, "Redis SET always", redis_64, 1.0)
    bench.row("request + release, 256 connections", at_256, "Redis SET always", redis_256, 1.0)
    bench.row("256 connections beside 64", at_256, "64 connections", at_64, 1.0)
    bench.row("the same with requestId and secret", with_ids, "Redis SET always", redis_64, 1.0)
    bench.row("request + release, 64 connections", at_64, "etcd put", etcd_put(64), 4)
    bench.row("request + release, 64 connections", at_64, "PostgreSQL claim", postgres_claim(64, 1), 5)
    bench.row("the same, its claims over 64 projects", at_64, "PostgreSQL claim", postgres_claim(64, 64), 5)


if __name__ == "__main__":
    main()
