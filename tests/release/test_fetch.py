"""Where release/fetch looks for Debian's sources, on machines whose apt is configured in one way or another.

What it does with what it finds there is shown by the release itself: scripts/test release.
"""

import http.server
import os
import subprocess
import threading

import pytest
from test_release import ROOT


class Mirror(http.server.BaseHTTPRequestHandler):
    """Has nothing, and remembers what it was asked for."""

    def do_GET(self):
        self.server.asked.append(self.path)
        self.send_error(404)

    def log_message(self, *words):
        pass


@pytest.fixture
def mirror():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Mirror)
    server.asked = []
    threading.Thread(target=server.serve_forever, daemon=True).start()
    server.url = f"http://127.0.0.1:{server.server_address[1]}"
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def fetch(tmp_path):
    """On a machine whose apt has these sources, and has not read their lists."""

    def run(*sources, **variables):
        (tmp_path / "lists/partial").mkdir(parents=True, exist_ok=True)
        (tmp_path / "sources.list").write_text("".join(f"{line}\n" for line in sources))
        (tmp_path / "apt.conf").write_text(
            f'Dir::Etc::SourceList "{tmp_path}/sources.list";\nDir::Etc::SourceParts "/dev/null";\n'
            f'Dir::State::lists "{tmp_path}/lists";\n'
        )
        env = {n: v for n, v in os.environ.items() if n != "DEBIAN_MIRROR" and not n.lower().endswith("_proxy")}
        return subprocess.run(
            [ROOT / "release/fetch", tmp_path / "work"],
            env={**env, "APT_CONFIG": str(tmp_path / "apt.conf"), **variables},
            check=False,
            capture_output=True,
            text=True,
            timeout=100,
        )

    return run


UBUNTU = "deb http://127.0.0.1:1/ubuntu noble main universe"


@pytest.mark.parametrize("sources", [[], [UBUNTU]], ids=["none", "ubuntu"])
def test_without_a_mirror_of_debian_it_says_how_to_name_one(fetch, sources, tmp_path):
    done = fetch(*sources)
    assert done.returncode == 69 and done.stdout == ""
    (said,) = done.stderr.splitlines()
    assert "DEBIAN_MIRROR" in said and "ends in /debian" in said


def test_the_mirror_that_is_named_is_asked_and_no_other(fetch, mirror):
    done = fetch(UBUNTU, "deb http://127.0.0.1:1/debian bookworm main", DEBIAN_MIRROR=f"{mirror.url}/some/debian/")
    assert done.returncode != 0
    suites = {path.rpartition("/")[0] for path in mirror.asked if path.endswith("/InRelease")}
    assert suites == {
        f"/some/{archive}" for suite in ("bookworm", "trixie")
        for archive in (f"debian/dists/{suite}", f"debian-security/dists/{suite}-security")
    }  # fmt: skip


def test_else_the_one_that_apt_has(fetch, mirror):
    done = fetch(UBUNTU, f"deb {mirror.url}/of/apt/debian bookworm main")
    assert done.returncode != 0
    assert "/of/apt/debian/dists/trixie/InRelease" in mirror.asked
