"""The real agent's jobs under faults: commands of `run` that note by themselves when they work, so that nobody's word
counts but theirs. Two of them never work on one stack at once, whatever happens to coordinator, network and agents."""

import concurrent.futures
import itertools
import random
import secrets
import signal
import subprocess
import sys
import threading
import time

import pytest
from programs import AGENT, agent_environment
from run import HERE, Run
from test_history import SEED

JOBS, STACKS, LEASE = 6, 2, 4
GRACE = LEASE  # as long as it lasts: a command that is told of a loss may take the rest of its lease to end
COMMANDS_MIN = 6  # fewer say little
SECONDS, PATIENCE, WAIT = 20, 60, 30
SETTLED = 3 * LEASE + GRACE + 10  # what the dead had is free again, on a machine that has other things to do
# Every start of a coordinator begins the leases of the dead anew: it has to live for a while.
QUIET = ("look",) * 5
MIXES = {
    "kills": ("kill", "kill_agent", "force", *QUIET),
    "pauses": ("pause", "stop_agent", "force", *QUIET),
    "everything": ("kill", "drain", "pause", "step", "kill_agent", "stop_agent", "force", *QUIET),
}


class Job(threading.Thread):
    """One command after the other, each by an agent of its own."""

    def __init__(self, run, number, key):
        super().__init__()
        self.run_, self.number, self.key = run, number, key
        self.random = random.Random(f"{run.seed}/{number}")
        self.ended = threading.Event()
        self.agent, self.said = None, []

    def run(self):
        for count in itertools.count():
            if self.ended.is_set():
                return
            self.one(self.run_.folder / f"command-{self.number}-{count}")

    def one(self, out):
        proxy, scheme = self.random.choice(list(zip(self.run_.coordinators[0].proxies, ("http", "tcp"), strict=True)))
        url = f"{scheme}://{proxy.address}"
        env = agent_environment(url, self.key, self.run_.folder / f"state-{self.number}")
        seconds = self.random.choice([0, 0.5, 2, 5]) * self.random.random()
        worker = [
            sys.executable,
            "-S",
            "-E",
            HERE / "worker.py",
            out,
            seconds,
            self.random.choice(["good", "stubborn"]),
        ]
        words = ["run", "--wait", f"{WAIT}s", "--lease", f"{LEASE}s", "--branch", f"b{self.random.randrange(3)}",
                 "--commit", secrets.token_hex(20), "--", *worker]  # fmt: skip
        self.agent = subprocess.Popen([AGENT, *map(str, words)], env=env, stdin=subprocess.DEVNULL,
                                      stderr=subprocess.PIPE, text=True)  # fmt: skip
        said = self.agent.communicate()[1]
        self.said.append((self.agent.returncode, out, said))

    def kill(self):
        self.ended.set()
        self.signal(signal.SIGKILL)

    def signal(self, number):
        if self.agent is not None and self.agent.poll() is None:
            self.agent.send_signal(number)


class AgentRun(Run):
    speed, grace, patience, pauses = 1, GRACE, 30, (0.2, 1.5)

    def start_jobs(self, key):
        self.actors = [Job(self, n, key) for n in range(JOBS)]
        for job in self.actors:
            job.start()

    def has_seen_enough(self):
        return len(self.commands()) >= COMMANDS_MIN

    def stop_jobs(self):
        for job in self.actors:
            job.ended.set()
        for job in self.actors:
            job.join(PATIENCE)
            assert not job.is_alive(), "an agent does not end"

    def deed_kill_agent(self):
        self.random.choice(self.actors).signal(signal.SIGKILL)

    def deed_stop_agent(self):
        self.random.choice(self.actors).signal(signal.SIGTERM)

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


def violations(commands, granted):
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


@pytest.fixture(scope="module")
def histories(tmp_path_factory):
    """All at once: they mostly wait."""
    folders = {mix: tmp_path_factory.mktemp(mix) for mix in MIXES}

    def make(mix):
        run = AgentRun(folders[mix], f"{SEED}/agents/{mix}", deeds=MIXES[mix], seconds=SECONDS, stacks=STACKS)
        return run, *run.go()

    with concurrent.futures.ThreadPoolExecutor(len(MIXES)) as pool:
        yield {mix: pool.submit(make, mix) for mix in MIXES}


@pytest.mark.parametrize("mix", MIXES)
def test_two_commands_never_work_on_one_stack(histories, mix):
    run, commands, granted = histories[mix].result()
    said = [s for job in run.actors for s in job.said]
    print(f"{mix}: {len(commands)} commands, ends of agents: {sorted(status for status, _, _ in said)}")
    assert not violations(commands, granted), f"HISTORY_SEED={SEED}"
    assert len(commands) >= COMMANDS_MIN


def test_the_judge_sees_what_must_not_be():
    first, second = ("test-1", 5, 100, 200), ("test-1", 6, 201, 300)
    granted = {first[:2], second[:2]}
    assert violations([second, first, ("test-2", 5, 150, 250)], granted | {("test-2", 5)}) == []
    assert violations([first, ("test-1", 6, 200, 300)], granted)
    assert violations([first, ("test-1", 5, 300, 400)], granted)
    assert violations([first, second], {first[:2]})
