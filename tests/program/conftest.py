"""Fixtures: a daemon of one's own, a shared one for what changes nothing, a clone."""

import os
import signal

import pytest
from jobs import Job, Project
from programs import Coordinator, Server, git, make_certificate

STORE = os.environ.get("STORE", "sqlite")


@pytest.fixture(scope="session", autouse=True)
def signals_that_are_heard():
    """A shell has what it runs in the background ignore some, and so would all that we start."""
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)


@pytest.fixture(scope="session")
def server():
    """A PostgreSQL server that starts when the first test wants it."""
    started = Server()
    yield started
    started.stop()


def pytest_configure(config):
    config.addinivalue_line("markers", "sqlite: about the file in the data folder")


def pytest_collection_modifyitems(config, items):
    """Once with STORE=postgres: everything but what is about SQLite's file."""
    if STORE == "postgres":
        items[:] = [item for item in items if item.get_closest_marker("sqlite") is None]


@pytest.fixture
def start(tmp_path, request):
    """Starts coordinators; each is stopped at the end, and must then exit 0. With STORE=postgres each data folder has a
    database of its own."""
    started = []
    stores = {}  # data folder → the options that lead to its rows

    def starter(*options, data=None, **more):
        data = data or tmp_path / "data"
        if STORE == "postgres" and data not in stores:
            server = request.getfixturevalue("server")
            stores[data] = ("--store", server.url(server.database()))
        coordinator = Coordinator(data, *stores.get(data, ()), *options, **more).start()
        started.append(coordinator)
        return coordinator

    yield starter
    for coordinator in started:
        coordinator.hang_up()
        if coordinator.process.poll() is None:
            assert coordinator.stop() == 0, "".join(coordinator.log)


@pytest.fixture
def coordinator(start):
    return start()


@pytest.fixture(params=["http", "nng"])
def transport(request):
    return request.param


@pytest.fixture
def clone(tmp_path):
    """A clone with one commit on feat/login."""
    origin, clone = tmp_path / "origin", tmp_path / "clone"
    git("init", "-q", "-b", "feat/login", origin)
    (origin / "page").write_text("one\n")
    git("add", "page", cwd=origin)
    git("commit", "-q", "-m", "one", cwd=origin)
    git("clone", "-q", origin, clone)
    return clone


# ---- CI jobs ----


@pytest.fixture(scope="session")
def certificate(tmp_path_factory):
    """Of localhost: a folder with cert.pem and key.pem."""
    folder = tmp_path_factory.mktemp("certificate")
    make_certificate(folder / "cert.pem", folder / "key.pem")
    return folder


@pytest.fixture(scope="module")
def daemon(tmp_path_factory, certificate):
    """A coordinator for all tests of a file, reached in every way."""
    folder = tmp_path_factory.mktemp("agent")
    options = ["--https", "127.0.0.1:0", "--nng", f"ipc://{folder}/rpc", "--nng", "tls+tcp://127.0.0.1:0"]
    pair = ["--tls-cert", certificate / "cert.pem", "--tls-key", certificate / "key.pem"]
    coordinator = Coordinator(folder / "data", *options, *pair).start()
    yield coordinator
    coordinator.hang_up()
    assert coordinator.stop() == 0, "".join(coordinator.log)


@pytest.fixture
def project(daemon):
    return Project(daemon, "--max-stacks", "3")


@pytest.fixture
def job(project, tmp_path, clone):
    return Job(project, tmp_path / "job", clone)


@pytest.fixture
def other(project, tmp_path, clone):
    return Job(project, tmp_path / "other", clone)
