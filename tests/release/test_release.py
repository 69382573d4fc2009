"""What scripts/build-release made, in RELEASE_DIR: small, static, without a trace of where it was built, and it works.

program/test_agent.py, _branch, _hostile and _network run over the static agent too (scripts/test release); here is what
they do not know of, and the other architecture.
"""

import hashlib
import json
import os
import pathlib
import platform
import re
import shutil
import struct
import subprocess

import pytest
from programs import Coordinator, agent_environment, git, make_certificate

RELEASE = pathlib.Path(os.environ["RELEASE_DIR"]).resolve()
ROOT = pathlib.Path(__file__).resolve().parents[2]
MACHINES = {"x86_64": 62, "aarch64": 183}  # e_machine
FILE_MAX = 2_300_000
RESIDENT_MAX_KIB = 10_240


@pytest.fixture(params=MACHINES)
def architecture(request):
    return request.param


@pytest.fixture
def program(architecture):
    return RELEASE / f"linux-{architecture}" / "stack-agent"


@pytest.fixture
def command(architecture, program):
    """How to start it here."""
    if architecture == platform.machine():
        return [str(program)]
    emulator = shutil.which(f"qemu-{architecture}-static")
    if emulator is None:
        pytest.skip(f"qemu-{architecture}-static is not installed (scripts/install-deps release)")
    return [emulator, str(program)]


# Makes the kernel start the emulator for programs of aarch64, in a namespace of this test's own (since Linux 6.7).
EMULATE = r"""
mount -t binfmt_misc none /proc/sys/fs/binfmt_misc
head='\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00'
mask='\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff'
printf '%s' ":emulated:M::$head:$mask:$0:F" >/proc/sys/fs/binfmt_misc/register
exec "$@"
"""


def can_be_started(program):
    try:
        return subprocess.run([program, "--version"], check=False, capture_output=True).returncode == 0
    except OSError:
        return False


@pytest.fixture
def surroundings(command, program):
    """What has to stand before a command that starts itself anew, as `request` does for its keeper."""
    if can_be_started(program):
        return []
    return ["unshare", "--user", "--map-root-user", "--mount", "sh", "-ec", EMULATE, command[0]]


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    folder = tmp_path_factory.mktemp("certificate")
    make_certificate(folder / "cert.pem", folder / "key.pem")
    return folder


@pytest.fixture(scope="module")
def daemon(tmp_path_factory, certificate):
    folder = tmp_path_factory.mktemp("daemon")
    tls = ["--tls-cert", certificate / "cert.pem", "--tls-key", certificate / "key.pem"]
    listeners = ["--https", "127.0.0.1:0", "--nng", "tls+tcp://127.0.0.1:0"]
    coordinator = Coordinator(folder / "data", *listeners, *tls).start()
    coordinator.key = coordinator.project()
    yield coordinator
    assert coordinator.stop() == 0, "".join(coordinator.log)


def address(daemon, scheme):
    if scheme == "http":
        return daemon.url
    if scheme == "https":
        return "https://localhost:" + daemon.ready["https"].rsplit(":", 1)[1]
    return next(u for u in daemon.ready["nng"] if u.startswith(f"{scheme}://")).replace("127.0.0.1", "localhost")


@pytest.fixture
def start(command, daemon, clone, tmp_path):
    """Runs the agent in a clone."""

    def starter(*words, scheme="http", prefix=(), cwd=clone, **more):
        env = agent_environment(address(daemon, scheme), daemon.key, tmp_path / "state")
        env = {name: value for name, value in env.items() if not name.startswith("SSL_CERT_")}
        env |= {"HOME": str(tmp_path), "GIT_CONFIG_NOSYSTEM": "1", "NO_PROXY": "*", "no_proxy": "*", **more}
        argv = [*prefix, *command, *[str(w) for w in words]]
        return subprocess.run(argv, cwd=cwd, env=env, check=False, capture_output=True, text=True, timeout=60)

    return starter


@pytest.fixture
def clone(tmp_path):
    origin, clone = tmp_path / "origin", tmp_path / "clone"
    git("init", "-q", "-b", "feat/login", origin)
    git("commit", "-q", "--allow-empty", "-m", "one", cwd=origin)
    git("commit", "-q", "--allow-empty", "-m", "two", cwd=origin)
    git("clone", "-q", origin, clone)
    return clone


def program_headers(content):
    """The types in an ELF file's table of segments (64 bits, little-endian)."""
    (offset,) = struct.unpack_from("<Q", content, 32)
    size, count = struct.unpack_from("<HH", content, 54)
    return [struct.unpack_from("<I", content, offset + i * size)[0] for i in range(count)]


def test_it_is_small_and_static(program, architecture):
    interpreter, position_independent = 3, 3  # PT_INTERP, ET_DYN
    content = program.read_bytes()
    assert len(content) <= FILE_MAX
    kind, machine = struct.unpack_from("<HH", content, 16)
    assert content[:6] == b"\x7fELF\x02\x01"
    assert machine == MACHINES[architecture]
    assert kind == position_independent, "addresses must differ from run to run"
    assert interpreter not in program_headers(content)


def test_it_does_not_tell_where_it_was_built(program):
    content = program.read_bytes()
    for place in (ROOT, RELEASE):
        assert str(place).encode() not in content


def test_it_carries_trusted_roots(program):
    assert program.read_bytes().count(b"-----BEGIN CERTIFICATE-----") > 100


def test_the_sums_are_right():
    for line in (RELEASE / "SHA256SUMS").read_text().splitlines():
        told, name = line.split("  ")
        assert hashlib.sha256((RELEASE / name).read_bytes()).hexdigest() == told


def test_the_bill_of_materials_names_what_is_in_it(program, architecture):
    bill = json.loads((RELEASE / "sbom.spdx.json").read_text())
    names = {p["name"] for p in bill["packages"]}
    rows = [row.split() for row in (ROOT / "release" / "packages.txt").read_text().splitlines() if row[:1] not in "#"]
    assert {row[1].partition(":")[0] for row in rows} | {"certifi", "stack-agent"} <= names
    ids = [about["SPDXID"] for about in bill["packages"] + bill["files"]]
    assert len(ids) == len(set(ids))
    named = {r["spdxElementId"] for r in bill["relationships"]} | {
        r["relatedSpdxElement"] for r in bill["relationships"]
    }
    assert named == {*ids, "SPDXRef-DOCUMENT"}
    sums = {f["fileName"]: {c["algorithm"]: c["checksumValue"] for c in f["checksums"]} for f in bill["files"]}
    told = sums[f"./linux-{architecture}/stack-agent"]
    assert told["SHA256"] == hashlib.sha256(program.read_bytes()).hexdigest()


def test_the_licenses_of_all_parts_are_told():
    notices = (RELEASE / "NOTICES").read_text()
    for part in ("curl", "http-parser", "jansson", "libgit2", "mbedtls", "musl", "nng", "zlib", "certifi"):
        assert re.search(rf"^---- {part}", notices, re.M), part


@pytest.mark.parametrize("scheme", ["http", "https", "tcp", "tls+tcp"])
def test_every_transport_serves_a_job(scheme, start, certificate, command, program):
    ours = {"scheme": scheme, "STACK_AGENT_CA_FILE": str(certificate / "cert.pem")}
    done = start("run", "--", "sh", "-c", 'echo "$STACK_NAME"; grep VmHWM /proc/$PPID/status', **ours)
    assert done.returncode == 0, done.stderr
    name, peak = done.stdout.splitlines()
    assert name == "test-1"
    if command == [str(program)]:  # else it is the emulator's
        assert int(peak.split()[1]) <= RESIDENT_MAX_KIB
    listed = start("list", "--json", **ours)
    (stack,) = json.loads(listed.stdout)["stacks"]
    assert stack["isAvailable"]
    assert stack["branch"] == "feat/login"


def test_a_request_is_kept_alive(start, surroundings, daemon):
    """The keeper is the same program, started anew."""

    def expires():
        (stack,) = json.loads(start("list", "--json").stdout)["stacks"]
        return stack["lease"]["expires"]

    done = start("request", "--lease", "2s", "--watch", str(os.getpid()), prefix=surroundings)
    assert (done.returncode, done.stdout) == (0, "test-1\n"), done.stderr
    seen = {expires()}
    while len(seen) < 4:  # each is a renewal, at a third of the lease
        seen.add(expires())
    assert start("check").returncode == 0
    assert start("release").returncode == 0


def make_shallow(clone, folder):
    git("clone", "-q", "--depth", "1", f"file://{clone}", folder)


def make_worktree(clone, folder):
    git("worktree", "add", "-q", "-b", "feat/beside", folder, cwd=clone)
    git("commit", "-q", "--allow-empty", "-m", "three", cwd=folder)


def make_sha256(_clone, folder):
    git("init", "-q", "--object-format=sha256", "-b", "feat/long", folder)
    git("commit", "-q", "--allow-empty", "-m", "one", cwd=folder)


@pytest.mark.parametrize("make", [make_shallow, make_worktree, make_sha256])
def test_every_kind_of_repository_is_read(make, start, clone, tmp_path):
    folder = tmp_path / "another"
    make(clone, folder)
    done = start("run", "--", "true", cwd=folder)
    assert done.returncode == 0, done.stderr
    listed = json.loads(start("list", "--json", cwd=folder).stdout)["stacks"]
    assert git("symbolic-ref", "--short", "HEAD", cwd=folder) in [s["branch"] for s in listed]


@pytest.mark.parametrize("scheme", ["https", "tls+tcp"])
def test_without_roots_on_the_machine_it_uses_its_own(scheme, start):
    """They were read, and do not vouch for a certificate that signed itself."""
    bare = ["unshare", "--mount", "sh", "-c", 'mount -t tmpfs none /etc/ssl && exec "$@"', "sh"]
    if subprocess.run([*bare, "true"], check=False, capture_output=True).returncode != 0:
        pytest.skip("only root can hide the machine's roots")
    done = start("request", "--branch", "main", "--wait", "0", scheme=scheme, prefix=bare)
    assert done.returncode == 69, done.stderr
    assert "trusted" in done.stderr and "configured" not in done.stderr
