"""A job's container as GitHub's runner has it, without an engine: a root filesystem that each step enters.

The runner starts `tail -f /dev/null` in the image and comes in by `docker exec`. So process 1 is the tail, a step has
no parent in there, a signal ends docker's client and not the step, and of the surroundings it has what is named to it.
"""

import os
import pathlib
import signal
import subprocess

START = """
root=$1; shift
mount --bind "$root" "$root"
while [ $# -gt 0 ]; do
    mount --bind "$2" "$root$3"
    [ "$1" = rw ] || mount -o remount,bind,ro "$root$3"
    shift 3
done
mount -t proc proc "$root/proc"
exec chroot "$root" /bin/sh -c 'cd /__w/shop/shop && echo up && exec tail -f /dev/null'
"""


class Container:
    """From `docker run` to `docker rm --force`. `spec`: root, binds (how, here, there)*, PATH."""

    shell = ("sh", "-e", "-c")
    stream_seconds = 0  # docker's client that was killed has let go of them

    def __init__(self, spec):
        binds = spec["binds"]
        self.folders = [(binds[i + 1], binds[i + 2]) for i in range(0, len(binds), 3)]
        self.path = spec["path"]
        self.user = [] if os.geteuid() == 0 else ["--user"]
        user = [*self.user, "--map-root-user"] if self.user else []
        words = ["setpriv", "--pdeathsig", "KILL", "unshare", *user, "--mount", "--pid", "--fork", "--kill-child"]
        self.process = subprocess.Popen(
            [*words, "sh", "-ec", START, "container", spec["root"], *binds],
            stdout=subprocess.PIPE,
            stdin=subprocess.DEVNULL,
            env={"PATH": f"{os.environ['PATH']}:/usr/sbin:/sbin"},
        )
        up = self.process.stdout.readline()
        assert up == b"up\n", "a container wants root with CAP_SYS_ADMIN, or user namespaces for everybody"
        parent = self.process.pid
        self.first = int(pathlib.Path(f"/proc/{parent}/task/{parent}/children").read_text())

    def inside(self, text):
        """What a path of the runner's is called in there."""
        for here, there in self.folders:
            if text == here or text.startswith(here + "/"):
                return there + text[len(here) :]
        return text

    def enter(self, words, env):
        """docker exec -e …"""
        named = {n: self.inside(v) for n, v in env.items() if os.environ.get(n) != v}
        del named["RUNNER_TRACKING_ID"]  # that is in the surroundings of docker's client
        named["HOME"] = "/github/home"
        user = [*self.user, "--preserve-credentials"] if self.user else []
        enter = ["nsenter", "--target", str(self.first), *user, "--mount", "--pid", "--root", "--wd", "--"]
        return [*enter, "/bin/env", "-i", *(f"{n}={v}" for n, v in named.items()), *map(self.inside, words)]

    def remove(self):
        os.kill(self.first, signal.SIGKILL)
        self.process.wait()


class Machine:
    """A job without one."""

    path = None
    stream_seconds = 5  # how long the streams of a process that has ended are read
    shell = ("bash", "--noprofile", "--norc", "-e", "-o", "pipefail", "-c")

    def enter(self, words, env):
        return words

    def remove(self):
        pass
