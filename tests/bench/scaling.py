#!/usr/bin/env python3
"""What docs/scaling.md says of a large organisation: the processor's time and the room of each operation on PostgreSQL,
measured with one project and with 100,000; and a day of its CI, reckoned from that.

    scaling.py [PROJECTS]
"""

import concurrent.futures
import os
import pathlib
import subprocess
import sys
import time

import bench
import handoff

PROJECTS = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
THREADS = 16

# The day of a large organisation.
JOBS = 200_000  # each asks, deploys, releases
HOURS = 10  # in which most of them run
PEAK = 3  # times the mean
HOLD_SECONDS = 900
RENEW_SECONDS = 100  # a third of the default lease
WATCHERS, WATCH_SECONDS = 500, 5  # people and programs that list a project's stacks
KEPT_DAYS = 90


def processor_seconds(pid):
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class House:
    """A coordinator on a server, and what both have used."""

    def __init__(self, server, coordinator):
        self.server, self.coordinator = server, coordinator

    def ask(self, question):
        return self.server.run("psql", "-At", "-c", question).stdout.strip()

    def used(self):
        pids = self.ask("SELECT pid FROM pg_stat_activity WHERE backend_type IN ('client backend', 'walwriter', "
                        "'background writer', 'checkpointer') AND pid <> pg_backend_pid()")  # fmt: skip
        ours = processor_seconds(self.coordinator.process.pid)
        return ours, sum(processor_seconds(pid) for pid in pids.split())

    def room(self):
        return int(self.ask("SELECT sum(pg_total_relation_size(oid)) FROM pg_class WHERE relkind = 'r' AND "
                            "relnamespace = 'stack_coordinator'::regnamespace"))  # fmt: skip

    def cost(self, name, load):
        """Microseconds of an operation: the coordinator's and the server's."""
        before = self.used()
        count = load()
        ours, servers = ((after - start) / count * 1e6 for after, start in zip(self.used(), before, strict=True))
        print(f"{name}: coordinator {ours:.0f} µs, server {servers:.0f} µs an operation ({count} of them)", flush=True)
        return ours, servers


def renewing(house, key):
    """Renewals by some connections, as fast as they go."""

    def renew(_):
        connection, count = handoff.Connection(house.coordinator, key), 0
        handoff.hold(connection)
        lease = {"lease": connection.receive()[1]["lease"]["secret"]}
        end = time.monotonic() + bench.SECONDS
        while time.monotonic() < end:
            connection.ask("renewLease", lease)
            count += 1
        return count

    with concurrent.futures.ThreadPoolExecutor(THREADS) as pool:
        return sum(pool.map(renew, range(THREADS)))


def fill(coordinator, count):
    argv = [bench.BIN / "rpc_load", "drive", coordinator.control(), 64, count, "projects"]
    subprocess.run([str(a) for a in argv], check=True, stdout=subprocess.DEVNULL)


def measure(house, key):
    c = house.coordinator
    pair = house.cost("request or release", lambda: c.load(key, 64, "ids")["operations"])
    renewal = house.cost("renewal", lambda: renewing(house, key))
    listing = house.cost("list of a project's stacks", lambda: c.load(key, 64, "list")["operations"])
    return pair, renewal, listing


def tell_day(costs, bytes_of_a_job):
    (pair, renewal, listing) = (sum(cost) for cost in costs)
    jobs = JOBS / HOURS / 3600 * PEAK
    rates = {"requests and releases": (2 * jobs, pair), "deploys": (jobs, pair),
             "renewals": (jobs * HOLD_SECONDS / RENEW_SECONDS, renewal),
             "lists": (WATCHERS / WATCH_SECONDS, listing)}  # fmt: skip
    print(f"a day of {JOBS:,} jobs of {HOLD_SECONDS // 60} minutes, at its peak:")
    for name, (rate, cost) in rates.items():
        print(f"  {name}: {rate:,.0f} a second, {rate * cost / 1e4:.1f} % of a core")
    total = sum(rate * cost for rate, cost in rates.values()) / 1e4
    print(f"  leases at once {jobs * HOLD_SECONDS:,.0f}; in all {total:.0f} % of a core, coordinators and server")
    print(f"  history and requests of {KEPT_DAYS} days: {JOBS * KEPT_DAYS * bytes_of_a_job / 1e9:.0f} GB at most")


def main():
    with bench.postgres() as server, bench.coordinator("--store", server.url()) as c:
        house = House(server, c)
        key = c.project("measured")
        c.load(key, 64, "ids", 1)
        before = house.room()
        few = measure(house, key)
        events = int(house.ask("SELECT count(*) FROM stack_coordinator.event WHERE kind = 0"))
        bytes_of_a_job = (house.room() - before) / events
        before = house.room()
        fill(c, PROJECTS)
        print(f"{PROJECTS:,} projects: {(house.room() - before) / PROJECTS:,.0f} bytes each in the database; "
              f"a job leaves {bytes_of_a_job:,.0f}", flush=True)  # fmt: skip
        many = measure(house, key)
        bench.row(f"{PROJECTS:,} projects, an operation", sum(many[0]), "one project", sum(few[0]), 1.3,
                  unit="µs", higher_is_better=False)  # fmt: skip
        start = time.monotonic()
        with bench.coordinator("--store", server.url()) as second:
            resident = pathlib.Path(f"/proc/{second.process.pid}/status").read_text(encoding="ascii")
            kilobytes = int(resident.split("VmRSS:")[1].split()[0])
            seconds = time.monotonic() - start
            print(f"another coordinator is ready after {seconds:.1f} s, {kilobytes / 1024:.0f} MB resident")
        tell_day(many, bytes_of_a_job)


if __name__ == "__main__":
    main()
