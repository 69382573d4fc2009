"""One history: a coordinator that is killed at named points, paused, drained and moved in time; a bad network; jobs
that are stopped and go on. What its clients saw goes to the checker."""

import json
import os
import pathlib
import random
import re
import signal
import struct
import subprocess
import sys
import threading
import time

from checker import History, Op, violations
from programs import BIN, Coordinator, request_id
from proxy import PATIENCE as ANSWER_PATIENCE
from proxy import Proxy

HERE = pathlib.Path(__file__).parent
ROOT = HERE.parent.parent
SPEED = 20  # the coordinator's seconds in one of ours
GRACE = 10
STACKS = 3
LEASES_MIN = 5  # a history of fewer says little
PATIENCE = 60  # seconds for them, and for the deaths, on a machine that has other things to do
HOUR_MS = 3600 * 1000

# What a coordinator never comes to, by where it keeps its rows: points in the files of the other store.
OTHERS = {"sqlite": ("postgres",), "postgres": ("sqlite", "change_log", "migrate", "volatile_disk")}


def points(store):
    return sorted({
        point
        for folder in ("coordinator", "tests/history")
        for source in (ROOT / folder).rglob("*.c")
        if not source.name.startswith(OTHERS[store])
        for point in re.findall(r'FAILPOINT\("([a-z-]+)"\)', source.read_text(encoding="utf-8"))
    })  # fmt: skip


POINTS = points("sqlite")
AT_START = {"migrating", "migrated", "opened", "started"}
ONCE = AT_START | {"replaying"}  # a start
AT_END = {"draining", "drained", "closing", "closed"}
# The process dies when it comes to a point for the nth time; n is at most 3, but for points that are passed often.
PASSED_OFTEN = dict.fromkeys(
    ("answered", "committed", "committing", "decided", "disk-sync", "disk-synced", "disk-written", "published", "saved",
     "sending", "replying", "synced", "taken"), 150,
) | dict.fromkeys(("granted", "parked", "renewed", "woken"), 20)  # fmt: skip


class NotServed(AssertionError):
    """Live requests wait for ever."""


class FaultyCoordinator(Coordinator):
    program = BIN / "faulty-coordinator"


class Run:
    """`deeds`: what else happens, to a coordinator or the jobs, again and again. `server`: where the rows are;
    `coordinators`: that many use it. Jobs choose one anew for each operation."""

    speed, grace, patience, pauses = SPEED, GRACE, ANSWER_PATIENCE, (0.05, 0.5)

    def __init__(self, folder, seed, *, point=None, deeds=("force",), seconds=4, program=FaultyCoordinator.program,
                 server=None, coordinators=1, jobs=12, stacks=STACKS, operations=0):  # fmt: skip
        self.seed, self.point, self.deeds, self.seconds = seed, point, deeds, seconds
        self.random = random.Random(seed)
        self.folder = pathlib.Path(folder)
        self.steps = self.folder / "steps"
        self.steps.write_bytes(struct.pack("q", 0))
        self.jobs, self.stacks, self.operations = jobs, stacks, operations
        self.server, self.database = server, server.database() if server is not None else None
        store = ("--store", server.url(self.database)) if server is not None else ()
        self.coordinators = []
        for n in range(coordinators):
            coordinator = FaultyCoordinator(self.folder / f"data-{n}", *store)
            coordinator.program = program
            coordinator.proxies = [Proxy(f"{seed}/{n}/{way}", self.patience) for way in ("http", "nng")]
            self.coordinators.append(coordinator)
        self.deaths, self.ends, self.sessions_ended = 0, 0, 0
        self.actors, self.files = [], []

    # ---- the coordinator ----

    def environment(self, point):
        more = {"CLOCK_SPEED": str(self.speed), "CLOCK_STEPS": str(self.steps)}
        if point is not None:
            most = 1 if point in ONCE else PASSED_OFTEN.get(point, 3)
            more["FAILPOINT"] = f"{point}:{self.random.randint(1, most)}"
        return os.environ | more

    def one(self):
        return self.random.choice(self.coordinators)

    def start(self, coordinator, point=None):
        """Until it is ready; a start may end at its failpoint, the next one then may not."""
        coordinator.environment = self.environment(point)
        try:
            coordinator.start()
        except AssertionError:
            if coordinator.process.wait() != -signal.SIGKILL:
                raise
            self.deaths += 1
            self.start(coordinator)
            return
        addresses = (coordinator.ready["http"], coordinator.ready["nng"][0])
        for proxy, address in zip(coordinator.proxies, addresses, strict=True):
            proxy.aim(address)

    def end(self, coordinator, number):
        """Ends it by a signal; it must not end by another one."""
        process = coordinator.process
        process.send_signal(number)
        if process.wait(20) not in (0, -signal.SIGKILL):
            raise AssertionError(f"exit {process.returncode}: {''.join(coordinator.log[-20:])}")
        self.deaths += process.returncode != 0
        self.ends += 1

    def look_after(self):
        """Starts those again that have died."""
        for coordinator in self.coordinators:
            process = coordinator.process
            if process.poll() is None:
                continue
            if process.returncode != -signal.SIGKILL:
                raise AssertionError(f"exit {process.returncode}: {''.join(coordinator.log[-20:])}")
            self.deaths += 1
            self.start(coordinator, self.point)

    # ---- what happens ----

    def deed_kill(self):
        coordinator = self.one()
        self.end(coordinator, signal.SIGKILL)
        self.start(coordinator, self.point)

    def deed_drain(self):
        coordinator = self.one()
        self.end(coordinator, signal.SIGTERM)
        self.start(coordinator, self.point)

    def deed_pause(self):
        process = self.one().process
        process.send_signal(signal.SIGSTOP)
        time.sleep(self.random.uniform(0.05, 1))
        process.send_signal(signal.SIGCONT)

    def deed_pause_jobs(self):
        actor = self.random.choice(self.actors)
        actor.send_signal(signal.SIGSTOP)
        threading.Timer(self.random.uniform(0.3, 4), actor.send_signal, [signal.SIGCONT]).start()

    def deed_look(self):
        """Nothing: clients alone bring it to its point."""

    def deed_step(self):
        with self.steps.open("r+b") as file:  # it is mapped: never shorter
            file.write(struct.pack("q", self.random.randint(-HOUR_MS, HOUR_MS)))

    def deed_force(self):
        self.admin("stack", "release", "shop", f"test-{self.random.randint(1, self.stacks)}")

    def deed_backup(self):
        self.admin("backup", self.folder / f"backup-{self.random.getrandbits(40)}")

    def deed_session(self):
        """The server ends the coordinators' sessions, whatever is under way on them."""
        self.sessions_ended += self.server.run(
            f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{self.database}' "
            "AND application_name = 'stack-coordinator'"
        ).count("t")

    def admin(self, *words):
        """It may die meanwhile, and a stack may be free; but not a word may be wrong."""
        done = self.one().admin(*words, check=False)
        if done.returncode == 64:
            raise AssertionError(done.stderr)

    # ---- the run ----

    def start_jobs(self, key):
        addresses = [
            [transport, proxy.address]
            for coordinator in self.coordinators
            for transport, proxy in zip(("http", "nng"), coordinator.proxies, strict=True)
        ]
        for n in range(2):
            out = self.folder / f"history-{n}.jsonl"
            settings = {
                "addresses": addresses,
                "key": key,
                "seed": f"{self.seed}/{n}",
                "speed": self.speed,
                "threads": self.jobs // 2,
            }
            settings["out"] = str(out)
            out.touch()
            self.files.append(out)
            self.actors.append(
                subprocess.Popen(
                    [sys.executable, HERE / "actors.py", json.dumps(settings)],
                    stdin=subprocess.PIPE,
                    env=os.environ | {"PYTHONPATH": str(HERE.parent / "program")},
                )
            )

    def first_start(self):
        for coordinator in self.coordinators:
            self.start(coordinator, self.point if self.point in AT_START else None)
        return self.one().project("shop", "--max-stacks", str(self.stacks), "--expiry-grace", str(self.grace))

    def has_seen_enough(self):
        """What the jobs have written down so far; a last line may be half there."""
        granted, count = set(), 0
        for file in self.files if self.point is None or self.deaths > 0 else ():
            for line in file.read_text(encoding="utf-8").split("\n")[:-1]:
                op = json.loads(line)
                count += 1
                if op["name"] == "request" and op["status"] == 200:
                    granted.add(op["id"])
        return len(granted) >= LEASES_MIN and count >= self.operations

    def misbehave(self):
        """For its time, and for longer as long as too little has happened."""
        start = time.monotonic()
        while time.monotonic() < start + self.seconds or (
            time.monotonic() < start + PATIENCE and not self.has_seen_enough()
        ):
            deed = self.random.choice(self.deeds)
            time.sleep(self.random.uniform(*self.pauses))
            self.look_after()
            getattr(self, f"deed_{deed}")()
            self.look_after()

    def stop_jobs(self):
        for actor in self.actors:
            actor.send_signal(signal.SIGCONT)
            actor.stdin.close()
        for actor in self.actors:
            if actor.wait(60) != 0:
                raise AssertionError("a client broke")

    def restart_all_at_points(self, point):
        for coordinator in self.coordinators if self.point is not None else ():
            self.end(coordinator, signal.SIGKILL)
            self.start(coordinator, point)

    def go(self):
        """The history, checked later; what was written down by the coordinator is part of it."""
        key = self.first_start()
        try:
            self.start_jobs(key)
            self.restart_all_at_points(self.point)
            self.misbehave()
            for coordinator in self.coordinators:
                for proxy in coordinator.proxies:
                    proxy.is_bad = False
            self.restart_all_at_points(None)
            self.stop_jobs()
            self.everybody_is_served(key)
            return self.history(key)
        finally:
            for actor in self.actors:
                actor.kill()
            for coordinator in self.coordinators:
                coordinator.process.kill()
                coordinator.process.wait()
                for proxy in coordinator.proxies:
                    proxy.shutdown()
                    proxy.server_close()

    # ---- after it ----

    def must_get(self, client, count, doing=None):
        """`count` requests that stay live are granted, within the time the last lost lease and its rest may take."""
        bodies = [
            {"branch": "probe", "requestId": request_id(), "leaseSeconds": 40, "ifNone": "wait"} for _ in range(count)
        ]
        for body in bodies:
            client.call("requestStack", body)
        if doing is not None:
            doing()
        grants = {}
        end = time.monotonic() + 8
        while len(grants) < count:
            if time.monotonic() > end:
                raise NotServed(f"nobody serves {count - len(grants)} live requests: {client.call('listStacks')}")
            for body in bodies:
                answer = client.call("requestStack", body)
                if answer.status == 200:
                    grants[body["requestId"]] = answer.body
                    client.call("renewLease", {"lease": answer.body["lease"]["secret"]})
            time.sleep(0.02)
        for grant in grants.values():
            client.call("releaseStack", {"stackName": grant["stackName"], "lease": grant["lease"]["secret"]})

    def everybody_is_served(self, key):
        for coordinator in self.coordinators:
            client = coordinator.http(key)
            self.must_get(client, self.stacks)
            for n in range(1, self.stacks + 1):
                coordinator.admin("stack", "quarantine", "shop", f"test-{n}")
            self.must_get(client, self.stacks, lambda: [
                self.one().admin("stack", "restore", "shop", f"test-{n}") for n in range(1, self.stacks + 1)
            ])  # fmt: skip
            coordinator.hang_up()

    def events(self, key):
        client, events, after = self.one().http(key), [], 0
        while True:
            page = client.call("listEvents", {"after": after}).body
            events += page["events"]
            if not page["events"]:
                return events
            after = page["events"][-1]["id"]

    def history(self, key):
        ops = [Op(**json.loads(line)) for file in self.files for line in file.read_text(encoding="utf-8").splitlines()]
        return History(ops, self.events(key), self.speed, self.grace)


def judge(run):
    """Runs it; the sentences of its violations, and the history."""
    history = run.go()
    return violations(history), history
