"""Histories of a coordinator whose rows are on a PostgreSQL server: it dies at each point, and its sessions end."""

import pytest
from run import points
from test_history import MIXES, SEED, assert_clean, make_histories

POINTS = points("postgres")
SESSIONS = {
    "sessions": ("session", "force"),
    "sessions and kills": ("session", "kill", "pause", "force"),
    "everything": tuple(deed for deed in MIXES["everything"] if deed != "backup") + ("session",),
}


@pytest.fixture(scope="module")
def histories(tmp_path_factory, server):
    yield from make_histories(tmp_path_factory, POINTS, SESSIONS, f"{SEED}/postgres", server=server)


@pytest.mark.parametrize("point", POINTS)
def test_nothing_is_lost_or_held_twice_when_it_dies_at(histories, point):
    run = assert_clean(point, histories[point])
    assert run.deaths > 0, "the history never came to this point"


@pytest.mark.parametrize("mix", SESSIONS)
def test_nothing_is_lost_or_held_twice_under(histories, mix):
    run = assert_clean(mix, histories[mix])
    assert run.sessions_ended > 0 or mix == "everything"  # there it is one deed of many
