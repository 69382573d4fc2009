"""Fixtures: a daemon of one's own, a shared one for what changes nothing, a clone."""

import signal

import pytest
from programs import Coordinator, git


@pytest.fixture(scope="session", autouse=True)
def signals_that_are_heard():
    """A shell has what it runs in the background ignore some, and so would all that we start."""
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)


@pytest.fixture
def start(tmp_path):
    """Starts coordinators; each is stopped at the end, and must then exit 0."""
    started = []

    def starter(*options, data=None, **more):
        coordinator = Coordinator(data or tmp_path / "data", *options, **more).start()
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
