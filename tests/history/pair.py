"""Two PostgreSQL servers, of which one follows the other, and what a failover is made of: the primary fails, the
standby takes its place, a new standby is made of what is left.

    kill     its processes end by SIGKILL, all at once
    pause    they stop: connections stay open and are taken, and nobody answers
    cut      not a packet passes between it and the others, and nobody is told so; it runs on

Each server is in a network of its own where that can be had (as root, with iproute2), else all are on 127.0.0.1 and
there is no cut."""

import contextlib
import itertools
import os
import pathlib
import shutil
import signal
import subprocess
import time

from programs import Server

SETTINGS = (
    "wal_writer_delay=10ms",  # the coordinators' time goes faster than the server's
    "wal_keep_size=64MB",
    "dynamic_shared_memory_type=mmap",  # in its folder, which goes with it
)
NOWHERE = "02:00:00:00:00:01"  # no card has it
PATIENCE = 60


def until(claim, what):
    end = time.monotonic() + PATIENCE
    while not claim():
        assert time.monotonic() < end, what
        time.sleep(0.01)


def ip(*words, check=True):
    return subprocess.run(["ip", *map(str, words)], check=check, capture_output=True, text=True)


def has_networks():
    if os.geteuid() != 0 or shutil.which("ip") is None:
        return False
    name = f"so-try-{os.getpid()}"
    made = ip("netns", "add", name, check=False).returncode == 0
    if made:
        ip("netns", "delete", name)
    return made


class Wire:
    """Between two networks; "" is the machine's own. Ends are interfaces of one name and 198.18.N.1 and .2."""

    numbers = itertools.count(os.getpid() * 8)

    def __init__(self, *networks):
        number = next(self.numbers) % 16384
        self.name = f"so{number}"
        self.networks = networks
        self.addresses = [f"198.18.{number // 64}.{number % 64 * 4 + end}" for end in (1, 2)]
        first, second = (["netns", network] if network else [] for network in networks)
        ip("link", "add", f"{self.name}a", *first, "type", "veth", "peer", "name", f"{self.name}b", *second)
        for network, end, address in zip(networks, "ab", self.addresses, strict=True):
            self.at(network, "addr", "add", f"{address}/30", "dev", self.name + end)
            self.at(network, "link", "set", self.name + end, "up")

    def at(self, network, *words):
        ip(*(["-n", network] if network else []), *words)

    def cut(self):
        """Each side sends to a card that is not there."""
        for network, end, other in zip(self.networks, "ab", reversed(self.addresses), strict=True):
            self.at(network, "neigh", "replace", other, "lladdr", NOWHERE, "nud", "permanent", "dev", self.name + end)

    def mend(self):
        for network, end, other in zip(self.networks, "ab", reversed(self.addresses), strict=True):
            self.at(network, "neigh", "delete", other, "dev", self.name + end)

    def remove(self):
        with contextlib.suppress(subprocess.CalledProcessError):
            self.at(self.networks[0], "link", "delete", f"{self.name}a")


class Place:
    """Where a server is, one after the other: how it is reached from here and from its twin."""

    numbers = itertools.count()

    def __init__(self, has_network):
        self.network = f"so-{os.getpid()}-{next(self.numbers)}" if has_network else ""
        self.host, self.inner_host, self.port, self.wires = "127.0.0.1", "127.0.0.1", None, []
        if has_network:
            ip("netns", "add", self.network)
            ip("-n", self.network, "link", "set", "lo", "up")
            self.wires.append(Wire("", self.network))
            self.host = self.wires[0].addresses[1]

    def start(self, *options):
        prefix = ("ip", "netns", "exec", self.network) if self.network else ()
        port = ("--port", self.port) if self.port else ()
        server = Server(*port, *options, "listen_addresses=*" if self.network else "listen_addresses=127.0.0.1",
                        *SETTINGS, prefix=prefix)  # fmt: skip
        self.port, server.is_killed = server.port, False
        return server

    def remove(self):
        for wire in self.wires:
            wire.remove()
        if self.network:
            ip("netns", "delete", self.network)


class Pair:
    """`is_synchronous`: what the primary confirms is on the standby. `database()`, `url(database)`, `run(sql)` as those
    of a server; they are of whichever is the primary."""

    def __init__(self, *, is_synchronous=True):
        self.is_synchronous = is_synchronous
        self.has_cut = has_networks()
        self.places, self.servers = [], [None, None]
        self.at = 0  # the primary's place
        self.failure = None
        try:
            self.begin()
        except BaseException:
            self.stop()
            raise

    def begin(self):
        for _ in range(2):
            self.places.append(Place(self.has_cut))
        if self.has_cut:
            between = Wire(*(place.network for place in self.places))
            for place, address in zip(self.places, between.addresses, strict=True):
                place.wires.append(between)
                place.inner_host = address
        self.servers[0] = self.places[0].start()
        self.join()

    @property
    def primary(self):
        return self.servers[self.at]

    @property
    def standby(self):
        return self.servers[1 - self.at]

    def database(self):
        return self.primary.database()

    def run(self, sql):
        return self.primary.run(sql)

    def url(self, database):
        hosts = ",".join(f"{place.host}:{place.port}" for place in self.places)
        return f"postgres://postgres@{hosts}/{database}"

    def join(self):
        """A copy of the primary becomes its standby, and has to have what it confirms."""
        place = self.places[self.at]
        conninfo = f"host={place.inner_host} port={place.port} user=postgres"
        self.servers[1 - self.at] = self.places[1 - self.at].start("--standby-of", conninfo)
        until(lambda: self.run("SELECT state FROM pg_stat_replication WHERE application_name = 'standby'")
              == "streaming", "the standby does not follow")  # fmt: skip
        if self.is_synchronous:
            self.run("ALTER SYSTEM SET synchronous_standby_names = 'standby'")
            self.run("SELECT pg_reload_conf()")
            self.until_commits_wait()

    def until_commits_wait(self):
        """The setting is one process' to make true, when it gets to it. A commit that wants to be applied on a standby
        that applies nothing tells: it waits."""
        waits = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep' AND query LIKE '%emit%'"
        emit = "SET synchronous_commit = remote_apply; SELECT pg_logical_emit_message(true, 'emit', '')"
        self.standby.run("SELECT pg_wal_replay_pause()")
        is_true = False
        while not is_true:
            with subprocess.Popen(["psql", "-qAtX", self.primary.admin_url(), "-c", emit],
                                  stdout=subprocess.DEVNULL) as asking:  # fmt: skip
                while asking.poll() is None and not is_true:
                    is_true = self.run(waits) == "1"
                self.standby.run("SELECT pg_wal_replay_resume()" if is_true else "SELECT")

    def detach(self):
        """The standby hears nothing more of its primary, which runs on."""
        self.standby.run("ALTER SYSTEM SET primary_conninfo = ''")
        self.standby.run("SELECT pg_reload_conf()")
        until(lambda: self.standby.run("SELECT count(*) FROM pg_stat_wal_receiver") == "0", "it follows")

    def fail(self, how):
        self.failure = how
        if how == "kill":
            self.primary.signal_all(signal.SIGKILL)
            self.primary.is_killed = True
        elif how == "pause":
            self.primary.signal_all(signal.SIGSTOP)
        else:
            for wire in self.places[self.at].wires:
                wire.cut()

    def promote(self):
        """Waits until the standby takes writes: there is a primary then."""
        assert self.standby.run("SELECT pg_promote(true, 60)") == "t"
        self.at = 1 - self.at

    def rebuild(self):
        """What is left of the one that failed goes; a new standby takes its place."""
        self.end(1 - self.at)
        if self.failure == "cut":
            for wire in self.places[1 - self.at].wires:
                wire.mend()
        self.join()

    def end(self, at):
        server = self.servers[at]
        if server is None:
            return
        self.servers[at] = None
        remains = pathlib.Path(server.folder) / "data" / "postmaster.pid"
        lines = remains.read_text().split("\n")
        if not server.is_killed:
            server.signal_all(signal.SIGKILL)
        remains.unlink()  # nobody is to wait for its end: what starts our processes may be slow to see it
        server.stop()
        # What a killed one leaves in the machine.
        subprocess.run(["ipcrm", "--shmem-id", lines[6].split()[1]], capture_output=True, check=False)

    def stop(self):
        for at in range(2):
            self.end(at)
        for place in self.places:
            place.remove()
