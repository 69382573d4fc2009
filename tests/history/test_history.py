"""Histories under faults, judged by checker.py: for each point at which the coordinator dies, and mixes of all."""

import concurrent.futures
import os

import pytest
from run import AT_END, LEASES_MIN, POINTS, Run, judge

TOGETHER = 3  # histories at once: they mostly wait
SEED = os.environ.get("HISTORY_SEED", "1")
MIXES = {
    "kills": ("kill", "force"),
    "pauses": ("pause", "pause_jobs", "force"),
    "clock steps": ("step", "kill", "force"),
    "everything": ("kill", "drain", "pause", "pause_jobs", "step", "force", "backup"),
}


def deeds_of(point):
    if point in AT_END:
        return ("drain", "force")
    if point == "replaying":
        return ("kill", "force")
    if point == "copied":
        return ("backup", "force")
    return ("force", "look")


def make_histories(tmp_path_factory, points, mixes, seed, **more):
    """All of them, some at once; each test takes the one it is about."""
    wanted = {point: {"point": point, "deeds": deeds_of(point)} for point in points}
    wanted |= {mix: {"deeds": deeds, "seconds": 10} for mix, deeds in mixes.items()}

    # By one thread: the factory's first folder, asked for by several, is several.
    folders = {name: tmp_path_factory.mktemp(name.replace(" ", "-")) for name in wanted}

    def make(name):
        run = Run(folders[name], f"{seed}/{name}", **wanted[name], **more)
        found, history = judge(run)
        return run, found, history

    with concurrent.futures.ThreadPoolExecutor(TOGETHER) as pool:
        yield {name: pool.submit(make, name) for name in wanted}


@pytest.fixture(scope="module")
def histories(tmp_path_factory):
    yield from make_histories(tmp_path_factory, POINTS, MIXES, SEED)


def assert_clean(name, history):
    run, found, seen = history.result()
    print(f"{name}: {len(seen.ops)} operations, {len(seen.leases)} leases, {run.deaths} deaths at the point")
    assert not found, f"HISTORY_SEED={SEED}: {found}"
    assert len(seen.leases) >= LEASES_MIN
    return run


def test_there_are_at_least_fifteen_points():
    assert len(POINTS) >= 15


@pytest.mark.parametrize("point", POINTS)
def test_nothing_is_lost_or_held_twice_when_it_dies_at(histories, point):
    run = assert_clean(point, histories[point])
    assert run.deaths > 0, "the history never came to this point"


@pytest.mark.parametrize("mix", MIXES)
def test_nothing_is_lost_or_held_twice_under(histories, mix):
    run = assert_clean(mix, histories[mix])
    assert run.ends > 0 or "kill" not in MIXES[mix]
