"""The examples of deploy/: what they start is started, with their own words, over a real server."""

import os
import pathlib
import re
import shlex
import signal
import subprocess

import pytest
import yaml
from programs import COORDINATOR, Coordinator, request_id, until

DEPLOY = pathlib.Path(__file__).parents[2] / "deploy"


def environment_names():
    helped = subprocess.run([COORDINATOR, "serve", "--help"], capture_output=True, text=True, check=True).stdout
    return set(re.findall(r"STACK_COORDINATOR_[A-Z_]+", helped))


def serving(coordinator):
    key = coordinator.project("shop")
    answer = coordinator.http(key).call("requestStack", {"branch": "b", "requestId": request_id()})
    assert answer.status == 200
    return key


def test_the_two_coordinators_of_the_compose_file_serve_one_database(start, server, tmp_path):
    composed = yaml.safe_load((DEPLOY / "compose.yaml").read_text(encoding="utf-8"))
    services = composed["services"]
    assert services["database"]["environment"]["POSTGRES_DB"] == "stacks"
    database = server.database()
    server.run(f"CREATE ROLE stacks LOGIN; ALTER DATABASE {database} OWNER TO stacks")
    coordinators = []
    for name in ("one", "two"):
        service = services[name]
        assert (DEPLOY / service["build"]["context"] / service["build"]["dockerfile"]).is_file()
        verb, *options = [re.sub(r"^0\.0\.0\.0:\d+$", "127.0.0.1:0", word) for word in service["command"]]
        assert verb == "serve"
        url = service["environment"]["STACK_COORDINATOR_STORE"]
        url = url.replace("${STACKS_DATABASE_PASSWORD}", "pw")
        url = url.replace("@database/stacks", f"@127.0.0.1:{server.port}/{database}")
        environment = os.environ | {"STACK_COORDINATOR_STORE": url}
        coordinators.append(start(*options, data=tmp_path / name, environment=environment))
    key = serving(coordinators[0])
    assert len(coordinators[1].http(key).call("listStacks").body["stacks"]) == 1


def test_the_unit_is_one_that_systemd_understands(tmp_path):
    text = (DEPLOY / "stack-coordinator.service").read_text(encoding="utf-8")
    unit = tmp_path / "stack-coordinator.service"
    unit.write_text(text.replace("/usr/local/bin/stack-coordinator", str(COORDINATOR)), encoding="utf-8")
    done = subprocess.run(["systemd-analyze", "verify", "--man=no", unit], capture_output=True, text=True, check=False)
    assert done.returncode == 0 and str(unit.name) not in done.stderr, done.stderr


def test_the_units_command_serves_with_its_environment(tmp_path):
    text = (DEPLOY / "stack-coordinator.service").read_text(encoding="utf-8")
    words = shlex.split(re.search(r"^ExecStart=(.*)$", text, re.M)[1])
    assert words[0] == "/usr/local/bin/stack-coordinator"
    assert words[words.index("--data") + 1] == "/var/lib/" + re.search(r"^StateDirectory=(.*)$", text, re.M)[1]
    lines = (DEPLOY / "stack-coordinator.env").read_text(encoding="utf-8").splitlines()
    settings = dict(line.lstrip("#").split("=", 1) for line in lines if re.match(r"#?STACK_", line))
    assert set(settings) <= environment_names()
    said = {name: value for name, value in settings.items() if f"{name}={value}" in lines}
    said["STACK_COORDINATOR_HTTP"] = said["STACK_COORDINATOR_HTTP"].replace("7878", "0")
    coordinator = Coordinator(tmp_path / "data", environment=os.environ | said).start()
    serving(coordinator)
    coordinator.hang_up()
    assert coordinator.stop() == 0


def test_the_image_is_built_without_what_tests_need(tmp_path):
    """Its stage has what `install-deps build` installs: no test library."""
    said = (DEPLOY / "Dockerfile").read_text(encoding="utf-8").replace("\\\n", " ")
    words = shlex.split(re.search(r"(cmake -B /build .*?) &&", said)[1])
    blind = tmp_path / "pkg-config"
    blind.write_text('#!/bin/sh\ncase "$*" in *cmocka*) exit 1;; esac\nexec pkg-config "$@"\n')
    blind.chmod(0o700)
    words[words.index("/build")] = tmp_path / "build"
    done = subprocess.run(
        [*words, "-S", DEPLOY.parent, f"-DPKG_CONFIG_EXECUTABLE={blind}"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_what_is_installed_has_its_manual_and_completions(tmp_path):
    done = subprocess.run(
        ["cmake", "--install", COORDINATOR.parent.parent, "--prefix", "/usr"],
        capture_output=True, text=True, check=False, env={**os.environ, "DESTDIR": str(tmp_path)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    usr = tmp_path / "usr"
    for name in ("stack-agent", "stack-coordinator"):
        assert os.access(usr / "bin" / name, os.X_OK)
        assert (usr / f"share/man/man1/{name}.1").read_text(encoding="utf-8").startswith(".")
        for folder, file in (
            ("bash-completion/completions", name),
            ("zsh/site-functions", f"_{name}"),
            ("fish/vendor_completions.d", f"{name}.fish"),
        ):
            assert name in (usr / "share" / folder / file).read_text(encoding="utf-8")
    page = re.search(r"Documentation=man:(\S+)\((\d)\)", (DEPLOY / "stack-coordinator.service").read_text())
    assert (usr / f"share/man/man{page[2]}/{page[1]}.{page[2]}").is_file()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount")
def test_a_backup_that_only_the_daemon_sees_is_none(tmp_path):
    """As below PrivateTmp= or in a container."""
    hidden, alone = tmp_path / "hidden", tmp_path / "alone"
    hidden.mkdir()
    alone.write_text(f'#!/bin/sh\nmount -t tmpfs none "{hidden}" && exec "{COORDINATOR}" "$@"\n')
    alone.chmod(0o700)
    wrapped = tmp_path / "wrapped"
    wrapped.write_text(f'#!/bin/sh\nexec unshare --mount "{alone}" "$@"\n')
    wrapped.chmod(0o700)
    coordinator = Coordinator(tmp_path / "data")
    coordinator.program = wrapped
    coordinator.start()
    coordinator.program = COORDINATOR
    failed = coordinator.admin("backup", hidden / "stacks.db", check=False)
    assert failed.returncode == 70 and "only the daemon sees it" in failed.stderr
    assert "written" in coordinator.admin("backup", tmp_path / "stacks.db").stdout
    coordinator.hang_up()
    assert coordinator.stop() == 0


def test_a_reload_says_what_it_could_not_do(start):
    coordinator = start()
    coordinator.process.send_signal(signal.SIGHUP)
    until(lambda: any("no certificate" in line for line in coordinator.log), "it says so")


@pytest.mark.parametrize("word", ["STACK_COORDINATOR_DATA", "serve", "7878"])
def test_the_image_starts_what_the_compose_file_says(word):
    assert word in (DEPLOY / "Dockerfile").read_text(encoding="utf-8")
