#!/usr/bin/env python3
"""From sending a release to the queue head's answer, beside the disk's own fdatasync: two connections, one stack."""

import json
import secrets
import socket
import threading
import time

import bench

ROUNDS = 500


class Connection:
    """Blocking HTTP with as little of Python's own as possible: its time is in the figure."""

    def __init__(self, c, key):
        self.socket = socket.create_connection((c.host, c.port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.head = f" HTTP/1.1\r\nHost: x\r\nX-API-Key: {key}\r\nContent-Length: "

    def send(self, operation, body):
        text = json.dumps(body)
        self.socket.sendall(f"POST /{operation}{self.head}{len(text)}\r\n\r\n{text}".encode())

    def receive(self):
        data = b""
        while b"\r\n\r\n" not in data or len(data) < self.whole(data):
            data += self.socket.recv(65536)
        at = time.perf_counter()
        return at, json.loads(data[data.index(b"\r\n\r\n") + 4 :])

    @staticmethod
    def whole(data):
        end = data.index(b"\r\n\r\n")
        for line in data[:end].lower().split(b"\r\n"):
            if line.startswith(b"content-length:"):
                return end + 4 + int(line[15:])
        raise SystemExit(f"no length: {data!r}")

    def ask(self, operation, body):
        self.send(operation, body)
        return self.receive()[1]


def hold(connection):
    body = {"requestId": secrets.token_hex(16), "leaseSeconds": 300, "waitSeconds": 25}
    connection.send("requestStack", body)


def measure(c, key, other=None):
    """Two holders take turns, at `other` one of them; each waits while the other holds. In ms."""
    holder, waiter = Connection(c, key), Connection(other or c, key)
    watcher = Connection(c, key)
    hold(holder)
    _, answer = holder.receive()
    samples = []
    for _ in range(ROUNDS):
        hold(waiter)
        while not watched(watcher):
            pass
        heard = []
        thread = threading.Thread(target=lambda w=waiter, h=heard: h.append(w.receive()))
        thread.start()
        start = time.perf_counter()
        holder.send("releaseStack", {"stackName": answer["stackName"], "lease": answer["lease"]["secret"]})
        thread.join()
        at, answer = heard[0]
        samples.append((at - start) * 1000)
        holder.receive()
        holder, waiter = waiter, holder
    return samples


def watched(connection):
    """Whether the waiter is in the queue by now."""
    connection.socket.sendall(f"GET /listQueue{connection.head}0\r\n\r\n".encode())
    return len(connection.receive()[1]["queue"]) == 1


def hand_offs(samples, c, other=None):
    """Some more, of a new project; how many there are then."""
    samples.extend(measure(c, c.project(f"waiting-{len(samples)}", "--max-stacks", "1"), other))
    return len(samples)


def percentiles(samples):
    samples.sort()
    return samples[len(samples) // 2], samples[len(samples) * 99 // 100]


def main():
    samples = []
    with bench.folder() as where, bench.coordinator() as c:
        disk, _ = bench.in_turn(lambda: bench.fdatasync_ms(where), lambda: hand_offs(samples, c))
    p50, p99 = percentiles(samples)
    print(f"hand-off: p50 {p50:.2f} ms, p99 {p99:.2f} ms; fdatasync p50 {disk:.2f} ms")
    bench.row("hand-off, p99", p99, "2 x fdatasync + 1 ms", 2 * disk + 1, 1.0, unit="ms", higher_is_better=False)


if __name__ == "__main__":
    main()
