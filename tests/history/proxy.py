"""A bad network between clients and coordinator: delays, answers that get lost, requests that come twice, connections
cut or open on one side only. Which fault a connection meets is drawn from its seed."""

import contextlib
import random
import re
import select
import socket
import socketserver
import struct
import threading
import time

FAULTS = {
    "none": 120,
    "delay": 10,  # both ways, up to 50 ms
    "drip": 5,  # the request arrives in small pieces
    "cut before": 4,  # the connection is reset before the coordinator has the request
    "cut within": 4,  # … when it has half of it
    "lose the answer": 6,  # … when it has answered
    "cut the answer": 3,  # … when half of the answer is there
    "duplicate": 6,  # the request comes again, over another connection; nobody reads the second answer
    "half-open": 1,  # the client never hears again, the coordinator's side stays open
    "gone": 1,  # the coordinator's side is closed, the client's stays open
}
HELLO = b"\0SP\0"
HELLO_SIZE = 8
PATIENCE = 2  # seconds a connection may idle, and an answer take


def reset(sock):
    with contextlib.suppress(OSError):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        sock.close()


def is_whole(message):
    """An HTTP answer with its body, or an nng frame."""
    if not message.startswith(b"HTTP/"):
        return len(message) >= 8 and len(message) >= 8 + struct.unpack(">Q", message[:8])[0]
    head, gap, body = message.partition(b"\r\n\r\n")
    length = re.search(rb"(?i)content-length: (\d+)", head)
    return bool(gap) and len(body) >= (int(length[1]) if length else 0)


class Link(socketserver.BaseRequestHandler):
    def handle(self):
        self.chance = self.server.chance()
        with contextlib.suppress(OSError):
            self.request.settimeout(self.server.patience)
            self.upstream = socket.create_connection(self.server.target, timeout=self.server.patience)
            with self.upstream:
                self.exchange()

    def exchange(self):
        prefix = b""
        while data := self.request.recv(1 << 16):
            if data.startswith(HELLO) and len(data) == HELLO_SIZE:
                prefix = data
                self.upstream.sendall(data)
                self.request.sendall(self.upstream.recv(HELLO_SIZE))
                continue
            data += self.rest(data)
            fault = self.chance.choices(list(FAULTS), list(FAULTS.values()))[0] if self.server.is_bad else "none"
            if not self.pass_on(fault, prefix, data):
                return

    def rest(self, data):
        """http.client sends head and body apart."""
        if not data.endswith(b"\r\n\r\n") or b"Content-Length: 0\r\n" in data:
            return b""
        return self.request.recv(1 << 16)

    def is_swallowed(self):
        """Nothing gets through, either way, until it is too late for it."""
        was_cut = self.server.is_cut
        while self.server.is_cut:
            time.sleep(0.05)
        if was_cut:
            reset(self.request)
        return was_cut

    def pass_on(self, fault, prefix, data):
        """Whether the connection goes on."""
        if self.is_swallowed():
            return False
        if fault == "cut before":
            reset(self.request)
            return False
        if fault == "cut within":
            self.upstream.sendall(data[: len(data) // 2])
            reset(self.request)
            return False
        if fault == "duplicate":
            self.send_again(prefix, data)
        if fault == "drip":
            for at in range(0, len(data), 64):
                self.upstream.sendall(data[at : at + 64])
                time.sleep(0.0005)
        else:
            time.sleep(self.chance.uniform(0, 0.05) if fault == "delay" else 0)
            self.upstream.sendall(data)
        if fault == "half-open":
            time.sleep(PATIENCE)
            return False
        if fault == "gone":
            self.upstream.close()
            time.sleep(PATIENCE)
            return False
        return self.answer(fault)

    def send_again(self, prefix, data):
        with contextlib.suppress(OSError):
            other = socket.create_connection(self.server.target, timeout=self.server.patience)
            if prefix:
                other.sendall(prefix)
                other.recv(HELLO_SIZE)
            other.sendall(data)
            threading.Timer(self.chance.uniform(0, 0.2), other.close).start()

    def has_hung_up(self):
        return self.request in select.select([self.request], [], [], 0)[0] and not self.request.recv(1, socket.MSG_PEEK)

    def whole_answer(self):
        answer = b""
        while not is_whole(answer):
            ready = select.select([self.upstream, self.request], [], [], self.server.patience)[0]
            if self.upstream not in ready and (not ready or self.has_hung_up()):
                return b""
            piece = self.upstream.recv(1 << 16)
            if not piece:
                return b""
            answer += piece
        return answer

    def answer(self, fault):
        with contextlib.suppress(TimeoutError):
            answer = self.whole_answer()
            if self.is_swallowed():
                return False
            if fault == "lose the answer" or not answer:
                reset(self.request)
                return False
            if fault == "cut the answer":
                self.request.sendall(answer[: len(answer) // 2])
                reset(self.request)
                return False
            time.sleep(self.chance.uniform(0, 0.05) if fault == "delay" else 0)
            self.request.sendall(answer)
            return True
        return False


class Proxy(socketserver.ThreadingTCPServer):
    """Listens on a port of its own; `aim` says where to pass on to."""

    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 256

    def __init__(self, seed, patience=PATIENCE):
        super().__init__(("127.0.0.1", 0), Link)
        self.random, self.lock = random.Random(seed), threading.Lock()
        self.target, self.is_bad, self.is_cut, self.patience = None, True, False, patience
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def aim(self, address):
        host, port = address.removeprefix("tcp://").rsplit(":", 1)
        self.target = (host, int(port))

    @property
    def address(self):
        return f"127.0.0.1:{self.server_address[1]}"

    def chance(self):
        with self.lock:
            return random.Random(self.random.random())

    def handle_error(self, request, client_address):
        """Peers that hang up are what it is for."""
