#!/usr/bin/env python3
"""One client: the median of a durable requestStack beside the disk's own fdatasync."""

import bench


def main():
    with bench.folder() as where, bench.coordinator() as c:
        key = c.project("bench")
        p50, disk = bench.in_turn(lambda: c.load(key, 1, "claim")["p50_ms"], lambda: bench.fdatasync_ms(where))
    bench.row("one client, p50", p50, "fdatasync", disk, 1.5, unit="ms", higher_is_better=False)


if __name__ == "__main__":
    main()
