"""Histories of three coordinators on a pair of PostgreSQL servers whose primary fails again and again, and whose
standby is promoted: what was acknowledged is there, nobody's lease is lost by it, and soon all coordinators serve
again."""

import concurrent.futures
import contextlib
import threading
import time

import pytest
from actors import FAULTS, http_call
from checker import NS, History, Op, violations
from pair import Pair
from programs import request_id
from run import SPEED, Run
from test_history import SEED

SERVED_WITHIN = 10  # seconds from when there is a primary
STEADY_SECONDS = 30  # of a lease, a second and a half of ours
ABSENCE = 1.5 * STEADY_SECONDS / SPEED  # there is no primary for so long: more than that
ROUNDS = [(how, absence) for how, absences in (
    ("kill", (0, ABSENCE, 0)), ("pause", (0,)), ("kill", (0, ABSENCE, 0)), ("cut", (0,)),
    ("kill", (0, ABSENCE)), ("pause", (ABSENCE,)), ("cut", (ABSENCE,)),
) for absence in absences]  # fmt: skip


class Steady(threading.Thread):
    """A well-behaved holder: renews its lease all the time, by one coordinator after the other, and never stops."""

    def __init__(self, run, key):
        super().__init__()
        self.run_, self.key, self.ops, self.is_over = run, key, [], threading.Event()
        self.turn = 0
        self.body = {"branch": "steady", "requestId": request_id(), "leaseSeconds": STEADY_SECONDS, "ifNone": "wait"}
        self.secret = None

    def do(self, name, operation, body, timeout):
        coordinator = self.run_.coordinators[self.turn % len(self.run_.coordinators)]
        self.turn += 1
        op = Op(name, self.body["requestId"], time.monotonic_ns(), 0, sent=body)
        with contextlib.suppress(*FAULTS):
            op.status, op.body = http_call(coordinator.ready["http"], self.key, operation, body, timeout)
        op.end = time.monotonic_ns()
        self.ops.append(op)
        return op

    def run(self):
        while self.secret is None:
            grant = self.do("request", "requestStack", self.body, 1)
            if grant.is_done:
                self.secret, stack = grant.body["lease"]["secret"], grant.body["stackName"]
        while not self.is_over.is_set() and not self.was_lost:
            self.do("renew", "renewLease", {"lease": self.secret}, STEADY_SECONDS / SPEED / 8)
            time.sleep(STEADY_SECONDS / SPEED / 30)
        ending = {"stackName": stack, "lease": self.secret, "outcome": "ok"}
        while not self.was_lost and not self.do("release", "releaseStack", ending, 2).is_done:
            pass

    @property
    def was_lost(self):
        return self.ops[-1].is_lost


class FailoverRun(Run):
    """`rounds`: how the primary ends in each, and how long there is none. Shortly before, its standby hears nothing any
    more: what is confirmed then is lost."""

    def __init__(self, folder, seed, rounds, pair):
        super().__init__(folder, seed, server=pair, coordinators=3, jobs=24, stacks=8)
        self.rounds = rounds
        self.key, self.steady, self.served = None, [], []

    def first_start(self):
        self.key = super().first_start()
        for coordinator in self.coordinators:
            for proxy in coordinator.proxies:
                proxy.is_bad = False  # other histories' matter
        self.steady = [Steady(self, self.key) for _ in range(2)]
        for steady in self.steady:
            steady.start()
        return self.key

    def serves(self, coordinator, since):
        """Seconds from `since` until it has written something."""
        while True:
            with contextlib.suppress(*FAULTS):
                body = {"requestId": request_id()}
                if http_call(coordinator.ready["http"], self.key, "cancelRequest", body, 1)[0] == 200:
                    return time.monotonic() - since
            assert time.monotonic() < since + 6 * SERVED_WITHIN, "nobody serves"
            time.sleep(0.01)

    def fail_over(self, how, absence):
        pair = self.server
        pair.detach()
        time.sleep(self.random.uniform(0.2, 0.4))
        pair.fail(how)
        time.sleep(absence)
        pair.promote()
        since = time.monotonic()
        with concurrent.futures.ThreadPoolExecutor(len(self.coordinators)) as pool:
            seconds = list(pool.map(lambda coordinator: self.serves(coordinator, since), self.coordinators))
        self.served.append((how, [round(s, 2) for s in seconds]))
        pair.rebuild()

    def misbehave(self):
        for how, absence in self.rounds:
            self.look_after()
            self.fail_over(how, absence)
        self.look_after()

    def stop_jobs(self):
        for steady in self.steady:
            steady.is_over.set()
        for steady in self.steady:
            steady.join(60)
            assert not steady.is_alive()
        super().stop_jobs()

    def history(self, key):
        seen = super().history(key)
        return History(
            seen.ops + [op for steady in self.steady for op in steady.ops], seen.events, seen.speed, seen.grace
        )


def fail_over(folder, rounds, is_synchronous):
    pair = Pair(is_synchronous=is_synchronous)
    try:
        if not pair.has_cut:
            rounds = [("pause" if how == "cut" else how, absence) for how, absence in rounds]
        run = FailoverRun(folder, f"{SEED}/failover", rounds, pair)
        history = run.go()
        return run, history, violations(history)
    finally:
        pair.stop()


@pytest.fixture(scope="module")
def histories(tmp_path_factory):
    folders = [tmp_path_factory.mktemp(name) for name in ("synchronous", "asynchronous")]
    with concurrent.futures.ThreadPoolExecutor(len(folders)) as pool:
        yield [
            pool.submit(fail_over, folders[0], ROUNDS, True),
            pool.submit(fail_over, folders[1], [("kill", 0)] * 2, False),
        ]


@pytest.fixture(scope="module")
def failed_over(histories):
    return histories[0].result()


def test_nothing_acknowledged_is_lost_or_held_twice(failed_over):
    run, history, found = failed_over
    print(f"{len(history.ops)} operations, {len(history.leases)} leases; served again after, in s: {run.served}")
    assert not found, f"HISTORY_SEED={SEED}"
    assert len(run.served) == len(ROUNDS) >= 10
    assert len(history.leases) > 10 * len(ROUNDS)


def test_who_renews_all_the_time_keeps_his_lease(failed_over):
    run, _, _ = failed_over
    for steady in run.steady:
        assert steady.ops[-1].name == "release" and steady.ops[-1].is_done, steady.ops[-1]
        renewed = [op.end for op in steady.ops if op.is_done]
        gaps = [later - earlier for earlier, later in zip(renewed, renewed[1:], strict=False)]
        assert max(gaps) > STEADY_SECONDS * NS / SPEED, "no outage was longer than the lease"


def test_all_coordinators_serve_soon_after_there_is_a_primary(failed_over):
    run, _, _ = failed_over
    assert max(seconds for _, all_of_them in run.served for seconds in all_of_them) <= SERVED_WITHIN, run.served


def test_a_primary_that_does_not_wait_for_its_standby_is_found_out(histories):
    """What these histories are worth: the same, but confirmed is what the standby does not have."""
    _, _, found = histories[1].result()
    assert any(sentence.startswith("every_acknowledged_effect_is_written_down") for sentence in found), found
