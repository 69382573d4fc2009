"""This folder's modules, and the programs of its neighbour, are found from wherever pytest was called; and a PostgreSQL
server for each file that wants one."""

import pathlib
import sys

import pytest

HERE = pathlib.Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent / "program")]

from programs import Server  # noqa: E402


@pytest.fixture(scope="module")
def server():
    started = Server()
    yield started
    started.stop()
