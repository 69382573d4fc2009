#!/usr/bin/env python3
"""nng requestStack + releaseStack with 64 in flight beside a bare nng echo of 64 bytes."""

import subprocess

import bench


def echo():
    url = f"tcp://127.0.0.1:{bench.free_port()}"
    with bench.process(bench.BIN / "rpc_load", "echo", url, stdout=subprocess.PIPE, text=True) as p:
        p.stdout.readline()
        return bench.run_json(bench.BIN / "rpc_load", "drive", url, 64, bench.SECONDS, "echo")["per_second"]


def main():
    with bench.coordinator("--nng", "tcp://127.0.0.1:0") as c:
        key = c.project("bench")
        url = c.ready["nng"][0]
        ours = bench.run_json(bench.BIN / "rpc_load", "drive", url, 64, bench.SECONDS, "claim", key)["per_second"]
    bench.row("nng request + release, 64 in flight", ours, "bare nng echo", echo(), 0.6)


if __name__ == "__main__":
    main()
