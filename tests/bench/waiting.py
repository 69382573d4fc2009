#!/usr/bin/env python3
"""10,000 requests that wait, each on its connection: the coordinator's memory, and what others still get done."""

import json
import pathlib
import resource
import secrets
import socket
import time

import bench

WAITERS = 10_000
WAIT, MEASURE = 25, 3  # seconds


def resident_mb(process):
    for line in pathlib.Path(f"/proc/{process.pid}/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1]) / 1024
    raise SystemExit("no VmRSS")


def request(key):
    body = json.dumps({"requestId": secrets.token_hex(16), "leaseSeconds": 300, "waitSeconds": WAIT})
    return (
        f"POST /requestStack HTTP/1.1\r\nHost: x\r\nX-API-Key: {key}\r\nContent-Length: {len(body)}\r\n\r\n{body}"
    ).encode()


class Crowd:
    """Long polls, one a connection."""

    def __init__(self, c, key):
        self.sockets = []
        for _ in range(WAITERS):
            s = socket.create_connection((c.host, c.port))
            s.sendall(request(key))
            self.sockets.append(s)

    def close(self):
        for s in self.sockets:
            s.close()


def waiting(c):
    return int(c.admin("queue", "crowd", "--json").count('"ticket"'))


def measure():
    """One coordinator before the crowd and beside it."""
    figures = {}
    with bench.coordinator("--max-connections", "13000") as c:
        key, crowd_key = c.project("bench"), c.project("crowd", "--max-stacks", "1")
        c.load(key, 64, "claim", 1)
        figures["alone"] = c.load(key, 64, "claim", MEASURE)["per_second"]
        figures["alone, MB"] = resident_mb(c.process)
        c.load(crowd_key, 1, "hold", 1)  # the only stack is taken
        start = time.monotonic()
        crowd = Crowd(c, crowd_key)
        while waiting(c) < WAITERS:
            time.sleep(0.1)
        print(f"{WAITERS} waiting after {time.monotonic() - start:.1f} s, {len(crowd.sockets)} connections", flush=True)
        figures["beside"] = c.load(key, 64, "claim", MEASURE)["per_second"]
        figures["beside, MB"] = resident_mb(c.process)
        crowd.close()
    return figures


def main():
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 65536), hard))
    rounds = [measure() for _ in range(3)]
    mean = {name: sum(figures[name] for figures in rounds) / len(rounds) for name in rounds[0]}
    bench.row("others beside 10,000 waiting", mean["beside"], "alone", mean["alone"], 0.8)
    bench.row("10,000 waiting, resident", mean["beside, MB"], "100 MB", 100, 1.0, unit="MB", higher_is_better=False)
    print(f"resident before: {mean['alone, MB']:.1f} MB")


if __name__ == "__main__":
    main()
