#!/usr/bin/env python3
"""What 100,000 live leases cost while nobody does anything: the share of one core the coordinator takes."""

import os
import pathlib
import time

import bench

LEASES = 100_000


def cpu_seconds(process):
    fields = pathlib.Path(f"/proc/{process.pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def main():
    with bench.coordinator() as c:
        key = c.project("bench")
        c.load(key, 64, "hold", LEASES)
        time.sleep(3)  # the checkpoint after the load is not the leases' cost
        start, used = time.monotonic(), cpu_seconds(c.process)
        time.sleep(max(10, bench.SECONDS))
        share = (cpu_seconds(c.process) - used) / (time.monotonic() - start)
    bench.row("100,000 idle leases", share * 100, "2 % of a core", 2, 1.0, unit="%", higher_is_better=False)


if __name__ == "__main__":
    main()
