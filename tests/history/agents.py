"""Jobs of real agents: commands of `run` that note by themselves when they work, so that nobody's word counts but
theirs. Two of them never work on one stack at once."""

import itertools
import random
import secrets
import signal
import subprocess
import sys
import threading
import time

from programs import AGENT, agent_environment
from proxy import Proxy
from run import HERE, Run

JOBS, STACKS, LEASE = 6, 2, 4
LONG = 4 * LEASE  # longer than a lease and its stack's rest
LENGTHS = (0, 0.5, 2, LONG)  # of commands, at most, in seconds
GRACE = LEASE  # as long as it lasts: a command that is told of a loss may take the rest of its lease to end
COMMANDS_MIN = 6  # fewer say little
SECONDS, PATIENCE, WAIT = 20, 60, 30
SETTLED = 3 * LEASE + GRACE + 10  # what the dead had is free again, on a machine that has other things to do


class Job(threading.Thread):
    """One command after the other, each by an agent of its own."""

    def __init__(self, run, number, key):
        super().__init__()
        self.run_, self.number, self.key = run, number, key
        self.random = random.Random(f"{run.seed}/{number}")
        self.ended = threading.Event()
        self.agent, self.out, self.said = None, None, []

    def run(self):
        for count in itertools.count():
            if self.ended.is_set():
                return
            self.one(self.run_.folder / f"command-{self.number}-{count}")

    def one(self, out):
        scheme = ("http", "tcp")[self.number % 2]
        url = f"{scheme}://{self.run_.ways[self.number].address}"
        env = agent_environment(url, self.key, self.run_.folder / f"state-{self.number}")
        seconds = self.random.choice(self.run_.lengths) * self.random.random()
        worker = [
            sys.executable,
            "-S",
            "-E",
            HERE / "worker.py",
            out,
            seconds,
            self.random.choice(["good", "stubborn", "stubborn"]),
        ]
        words = ["run", "--wait", f"{WAIT}s", "--lease", f"{LEASE}s", "--branch", f"b{self.random.randrange(3)}",
                 "--commit", secrets.token_hex(20), "--", *worker]  # fmt: skip
        self.out = out
        self.agent = subprocess.Popen([self.run_.agent, *map(str, words)], env=env, stdin=subprocess.DEVNULL,
                                      stderr=subprocess.PIPE, text=True)  # fmt: skip
        said = self.agent.communicate()[1]
        self.said.append((self.agent.returncode, said))

    @property
    def is_working(self):
        return self.agent is not None and self.agent.poll() is None and self.out.exists()

    def kill(self):
        self.ended.set()
        self.signal(signal.SIGKILL)

    def signal(self, number):
        if self.agent is not None and self.agent.poll() is None:
            self.agent.send_signal(number)


class AgentRun(Run):
    speed, grace, patience, pauses = 1, GRACE, 30, (0.2, 1.5)

    def __init__(self, folder, seed, deeds, agent=AGENT, lengths=LENGTHS):
        super().__init__(folder, seed, deeds=deeds, seconds=SECONDS, stacks=STACKS)
        self.agent, self.lengths = agent, lengths
        self.ways = [Proxy(f"{self.seed}/{n}", self.patience) for n in range(JOBS)]

    def start(self, coordinator, point=None):
        super().start(coordinator, point)
        for n, way in enumerate(self.ways):
            way.aim((coordinator.ready["http"], coordinator.ready["nng"][0])[n % 2])

    def heal(self):
        for way in self.ways:
            way.is_bad = way.is_cut = False

    def start_jobs(self, key):
        self.actors = [Job(self, n, key) for n in range(JOBS)]
        for job in self.actors:
            job.start()

    def has_seen_enough(self):
        return len(self.commands()) >= COMMANDS_MIN

    def stop_jobs(self):
        self.heal()
        for job in self.actors:
            job.ended.set()
        for job in self.actors:
            job.join(PATIENCE)
            assert not job.is_alive(), "an agent does not end"

    def somebody(self):
        """Who works, if anybody does: to those who wait little can happen."""
        return self.random.choice([job for job in self.actors if job.is_working] or self.actors)

    def deed_kill_agent(self):
        self.somebody().signal(signal.SIGKILL)

    def deed_stop_agent(self):
        self.somebody().signal(signal.SIGTERM)

    def deed_cut(self):
        """One job is cut off, for longer than a lease and its stack's rest."""
        way = self.ways[self.somebody().number]
        way.is_cut = True
        threading.Timer(LEASE + GRACE + self.random.uniform(0, LEASE), setattr, [way, "is_cut", False]).start()

    def deed_pause(self):
        process = self.coordinators[0].process
        process.send_signal(signal.SIGSTOP)
        time.sleep(self.random.choice([0.1, 1, LEASE + GRACE + 2]))
        process.send_signal(signal.SIGCONT)

    def everybody_is_served(self, key):
        """Nothing stays with the dead."""
        client, end = self.one().http(key), time.monotonic() + SETTLED
        while not all(s["isAvailable"] for s in client.call("listStacks").body["stacks"]):
            assert time.monotonic() < end, client.call("listStacks")
            time.sleep(0.1)

    def commands(self):
        """Those that began, each with its stack, generation, and when it worked."""
        found = []
        for path in self.folder.glob("command-*"):
            words = path.read_text(encoding="ascii").split()
            if len(words) == 4:
                found.append((words[0], int(words[1]), int(words[2]), int(words[3])))
        return found

    def history(self, key):
        granted = {(e["stackName"], e["generation"]) for e in self.events(key) if e["kind"] == "granted"}
        return self.commands(), granted


def meetings(commands, granted):
    """What must not be, in sentences."""
    found = []
    by_stack = sorted(commands)
    for one, other in itertools.pairwise(by_stack):
        if one[0] != other[0]:
            continue
        if one[1] == other[1]:
            found.append(f"{one} and {other} had one lease")
        elif one[3] >= other[2]:
            found.append(f"{one} still worked when {other} began, by {(one[3] - other[2]) / 1e6:.1f} ms")
    found += [f"{c} has a lease that the history does not know" for c in commands if c[:2] not in granted]
    return found


def judge(run):
    """Runs it; what must not be, in sentences, and the commands there were."""
    commands, granted = run.go()
    return meetings(commands, granted), commands
