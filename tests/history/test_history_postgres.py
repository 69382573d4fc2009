"""Histories of a coordinator whose rows are on a PostgreSQL server: it dies at each point, and its sessions end."""

import concurrent.futures

import pytest
from programs import Server
from run import Run, judge, points
from test_history import MIXES, SEED, TOGETHER, assert_clean, deeds_of

POINTS = points("postgres")
SESSIONS = {
    "sessions": ("session", "force"),
    "sessions and kills": ("session", "kill", "pause", "force"),
    "everything": tuple(deed for deed in MIXES["everything"] if deed != "backup") + ("session",),
}


@pytest.fixture(scope="module")
def server():
    started = Server()
    yield started
    started.stop()


@pytest.fixture(scope="module")
def histories(tmp_path_factory, server):
    """All of them, some at once; each test takes the one it is about."""
    wanted = {point: {"point": point, "deeds": deeds_of(point)} for point in POINTS}
    wanted |= {mix: {"deeds": deeds, "seconds": 10} for mix, deeds in SESSIONS.items()}

    def make(name):
        folder = tmp_path_factory.mktemp(name.replace(" ", "-"))
        run = Run(folder, f"{SEED}/postgres/{name}", server=server, **wanted[name])
        found, history = judge(run)
        return run, found, history

    with concurrent.futures.ThreadPoolExecutor(TOGETHER) as pool:
        yield {name: pool.submit(make, name) for name in wanted}


@pytest.mark.parametrize("point", POINTS)
def test_nothing_is_lost_or_held_twice_when_it_dies_at(histories, point):
    run = assert_clean(point, histories[point])
    assert run.deaths > 0, "the history never came to this point"


@pytest.mark.parametrize("mix", SESSIONS)
def test_nothing_is_lost_or_held_twice_under(histories, mix):
    run = assert_clean(mix, histories[mix])
    assert run.sessions_ended > 0 or mix == "everything"  # there it is one deed of many
