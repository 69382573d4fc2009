"""Jobs of a CI system, some of them badly behaved: a process of several threads that asks for stacks, works, gives
back, dies, oversleeps and comes back, and writes down every operation with its times.

    actors.py '{"addresses": [["http", "127.0.0.1:1"], …], "key": …, "seed": 1, "speed": 20, "threads": 6, "out": path}'

Runs until its standard input closes; then every job ends its work and gives back what it has."""

import contextlib
import dataclasses
import http.client
import json
import random
import secrets
import socket
import struct
import sys
import threading
import time

from checker import NS, Op
from programs import NngClient

TIMEOUT = 1.6  # of one operation, above the longest poll; a half-open connection costs as much
WAYS = ["well"] * 30 + ["dies", "dies", "oversleeps", "haunts", "haunts", "haunts", "haunts", "cancels", "impatient"]


def http_call(address, key, operation, body, timeout=TIMEOUT):
    host, port = address.rsplit(":", 1)
    connection = http.client.HTTPConnection(host, int(port), timeout=timeout)
    with contextlib.closing(connection):
        connection.request("POST", "/" + operation, json.dumps(body), {"X-API-Key": key})
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())


def nng_call(address, key, operation, body):
    client = NngClient(f"tcp://{address}", key)
    client.socket.settimeout(TIMEOUT)
    with contextlib.closing(client):
        answer = client.call(operation, body)
        return answer.status, answer.body


CALLS = {"http": http_call, "nng": nng_call}
FAULTS = (OSError, ValueError, http.client.HTTPException, struct.error, socket.timeout)


class Job(threading.Thread):
    """One job after the other."""

    def __init__(self, settings, number, ended, write):
        super().__init__()
        self.random = random.Random(f"{settings['seed']}/{number}")
        self.settings, self.ended, self.write = settings, ended, write
        self.speed = settings["speed"]
        self.broken = None

    def do(self, name, operation, body, request_id):
        transport, address = self.random.choice(self.settings["addresses"])
        op = Op(name, request_id, time.monotonic_ns(), 0, sent=body)
        with contextlib.suppress(*FAULTS):
            op.status, op.body = CALLS[transport](address, self.settings["key"], operation, body)
        op.end = time.monotonic_ns()
        self.write(op)
        if op.status in (None, 429, 503):
            time.sleep(self.random.uniform(0.005, 0.03))
        return op

    def run(self):
        try:
            while not self.ended.is_set():
                self.job()
        except BaseException as broken:
            self.broken = broken
            raise

    def job(self):
        self.way = self.random.choice(WAYS)
        self.request = {
            "branch": f"b{self.random.randrange(4)}",
            "requestId": secrets.token_hex(16),
            "leaseSeconds": self.random.choice([10, 20, 30]),
            "waitSeconds": self.random.choice([0, 10, 25, 25, 25]),
            "ifNone": "fail" if self.way == "impatient" else "wait",
            "holder": {"job": self.way},
        }
        self.id = self.request["requestId"]
        grant = self.wait()
        if grant is None or self.is_tired_of_waiting:
            return
        self.secret, self.stack = grant.body["lease"]["secret"], grant.body["stackName"]
        if self.way != "dies" or self.random.random() < 0.7:
            self.work(grant)

    def wait(self):
        """The grant, or None: refused, over, or enough of it."""
        self.is_tired_of_waiting = False
        while True:
            op = self.do("request", "requestStack", self.request, self.id)
            if op.is_done:
                return op
            if op.status not in (None, 202, 503):
                return None
            if op.status == 202:
                time.sleep(min(op.body["retryAfterSeconds"] / self.speed, 0.05))
            is_bored = self.random.random() < {"cancels": 0.3, "dies": 0.1}.get(self.way, 0)
            if is_bored or self.ended.is_set():
                if self.way != "dies" or self.ended.is_set():
                    self.insist("cancel", "cancelRequest", {"requestId": self.id})
                return None

    def insist(self, name, operation, body):
        """Until there is an answer: to repeat is safe."""
        for _ in range(60):
            op = self.do(name, operation, body, self.id)
            if op.status not in (None, 503):
                return op
        return op

    def renew(self):
        op = self.do("renew", "renewLease", {"lease": self.secret}, self.id)
        if op.is_done:
            self.until = op.begin + op.body["expiresInSeconds"] * NS // self.speed
        return op

    def work(self, grant):
        self.until = grant.begin + 20 * NS // self.speed
        length = self.request["leaseSeconds"] / self.speed
        first = self.renew()
        while not first.is_done and first.status in (None, 503) and time.monotonic_ns() < self.until:
            first = self.renew()
        if not first.is_done:
            self.insist("cancel", "cancelRequest", {"requestId": self.id})
            return
        is_long = self.way != "well" or self.random.random() < 0.1
        end = time.monotonic() + (self.random.uniform(0, 2) * length if is_long else 0)
        while True:
            if self.random.random() < 0.3:
                commit = secrets.token_hex(20)
                self.insist("deploy", "setLastDeployedCommit", self.about({"lastDeployedCommit": commit}))
            if time.monotonic() >= end or self.ended.is_set():
                break
            if self.way == "oversleeps" and self.random.random() < 0.3:
                time.sleep(length * self.random.uniform(0.5, 2.5))
            if self.random.random() < 0.2:
                self.do("request", "requestStack", self.request, self.id)
            time.sleep(length * self.random.uniform(0.1, 0.4))
            if self.renew().is_lost:
                return
        if self.way == "dies":
            return
        outcome = self.random.choices(["ok", "dirty"], [9, 1])[0]
        self.insist("release", "releaseStack", self.about({"outcome": outcome}))
        if self.way == "haunts":
            time.sleep(self.random.choice([0, 0, length]) * self.random.random())
            self.haunt()

    def haunt(self):
        """What an old job does that was stopped and goes on."""
        self.do("renew", "renewLease", {"lease": self.secret}, self.id)
        self.do("deploy", "setLastDeployedCommit", self.about({"lastDeployedCommit": "c0ffee"}), self.id)
        self.do("release", "releaseStack", self.about({"outcome": "ok"}), self.id)
        self.do("request", "requestStack", self.request, self.id)

    def about(self, more):
        return {"stackName": self.stack, "lease": self.secret} | more


def main():
    settings = json.loads(sys.argv[1])
    ended, lock = threading.Event(), threading.Lock()
    with open(settings["out"], "w", encoding="utf-8", buffering=1) as out:  # lines: they are counted meanwhile

        def write(op):
            with lock:
                out.write(json.dumps(dataclasses.asdict(op)) + "\n")

        jobs = [Job(settings, n, ended, write) for n in range(settings["threads"])]
        for job in jobs:
            job.start()
        sys.stdin.read()
        ended.set()
        for job in jobs:
            job.join()
    sys.exit(1 if any(job.broken for job in jobs) else 0)


if __name__ == "__main__":
    main()
