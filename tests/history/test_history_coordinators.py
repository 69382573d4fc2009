"""Histories of three coordinators on one PostgreSQL server, of 64 jobs over 8 stacks: they are killed, paused and
drained in turn, their sessions end, they die at each point where they speak with the server or with each other."""

import pytest
from test_history import SEED, assert_clean, make_histories

MANY = {"coordinators": 3, "jobs": 64, "stacks": 8, "operations": 2000}
POINTS = ("committed", "committing", "granted", "parked", "published", "renewed", "saved", "woken")
MIXES = {
    "kills": ("kill", "force"),
    "pauses": ("pause", "pause_jobs", "force"),
    "sessions": ("session", "force"),
    "everything": ("kill", "drain", "pause", "pause_jobs", "step", "force", "session"),
}


@pytest.fixture(scope="module")
def histories(tmp_path_factory, server):
    yield from make_histories(tmp_path_factory, POINTS, MIXES, f"{SEED}/coordinators", server=server, **MANY)


@pytest.mark.parametrize("point", POINTS)
def test_nothing_is_lost_or_held_twice_when_they_die_at(histories, point):
    run = assert_clean(point, histories[point])
    assert run.deaths > 0, "the history never came to this point"


@pytest.mark.parametrize("mix", MIXES)
def test_nothing_is_lost_or_held_twice_under(histories, mix):
    run = assert_clean(mix, histories[mix])
    assert run.ends > 0 or "kill" not in MIXES[mix]
