"""Clients that are broken, slow, gone or hostile: the daemon lives, stays small, and serves everybody else."""

import contextlib
import http.client
import json
import os
import random
import resource
import select
import shutil
import signal
import socket
import struct
import subprocess
import threading
import time

import programs
import pytest
from programs import BIN, DEADLINE, Coordinator, NngClient, request_id, until

NNG_MOST = 4096  # connections
RESET = struct.pack("ii", 1, 0)  # SO_LINGER: close() sends RST


@pytest.fixture(scope="module")
def daemon(tmp_path_factory):
    coordinator = Coordinator(tmp_path_factory.mktemp("robustness") / "data").start()
    yield coordinator
    assert coordinator.stop() == 0, "".join(coordinator.log)


@pytest.fixture(scope="module")
def key(daemon):
    return daemon.project("shop", "--max-stacks", "64")


@pytest.fixture
def client(daemon, key):
    """Who works here all the time: whatever a test does to the daemon, this one is served before and after it."""
    client = daemon.http(key)
    assert client.call("listStacks").status == 200
    yield client
    assert daemon.process.poll() is None, "".join(daemon.log)
    work(client, "after-all")


def work(client, branch):
    """What a job does, each answer 200."""
    ask = {"branch": branch, "requestId": request_id(), "leaseSeconds": 300}
    granted = client.call("requestStack", ask)
    assert granted.status == 200, granted
    lease = {"stackName": granted.body["stackName"], "lease": granted.body["lease"]["secret"]}
    released = client.call("releaseStack", lease)
    assert released.status == 200, released


# A sanitizer keeps books of its own about every thread and every freed block.
IS_SANITIZED = any(mark in programs.COORDINATOR.read_bytes() for mark in (b"__asan_init", b"__tsan_init"))


def assert_stays_small(coordinator, before, mebibytes):
    allowed = mebibytes * (16 if IS_SANITIZED else 1)
    assert memory(coordinator) - before < allowed * 1024


def memory(coordinator):
    """Resident KiB."""
    with open(f"/proc/{coordinator.process.pid}/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmRSS"))


def descriptors(coordinator):
    return len(os.listdir(f"/proc/{coordinator.process.pid}/fd"))


def processor_seconds(coordinator):
    with open(f"/proc/{coordinator.process.pid}/stat") as stat:
        fields = stat.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def connect(address, **more):
    host, port = address.removeprefix("tcp://").rsplit(":", 1)
    return socket.create_connection((host, int(port)), timeout=DEADLINE, **more)


def read_to_end(sock):
    """All that comes until the other side closes, which it must."""
    data = b""
    with contextlib.suppress(ConnectionResetError):
        while piece := sock.recv(65536):
            data += piece
    return data


def is_closed(sock):
    return read_to_end(sock) == b""


# ---- nng ----

ANNOUNCED = [2**20 + 1, 2**21, 2**24, 2**31 - 1, 2**31, 2**32, 2**32 + 12, 2**40, 2**62, 2**63 - 1, 2**63, 2**64 - 1]


def test_announced_gigabytes_are_not_allocated(daemon, client):
    def announce(length):
        with connect(daemon.ready["nng"][0]) as sock:
            sock.sendall(NngClient.HELLO + struct.pack(">Q", length))
            with contextlib.suppress(ConnectionError):
                sock.sendall(b"\x80\0\0\1" + b"x" * 1000)
            assert read_to_end(sock) in (b"", b"\0SP\0\0\x31\0\0"), length

    for length in ANNOUNCED:
        announce(length)
    before = memory(daemon)
    for round_number in range(300):
        announce(ANNOUNCED[round_number % len(ANNOUNCED)])
    assert_stays_small(daemon, before, 4)


HANDSHAKES = [
    b"\0SP\0\0\x31\0\0",
    b"\0SP\0\0\x20\0\0",
    b"\0SP\0\xff\xff\0\0",
    b"\0SP\1\0\x30\0\0",
    b"\0SP\0\0\x30\0\1",
    b"\0" * 8,
    b"\xff" * 8,
    b"SP\0\0\0\x30\0\0",
    b"GET / HTTP/1.1\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01",
    b"\0SP\0\0\x30\0",
    b"\0",
    b"",
]


def test_handshakes_that_are_none(daemon, client):
    before = descriptors(daemon)
    for _ in range(20):
        for hello in HANDSHAKES:
            with connect(daemon.ready["nng"][0]) as sock:
                sock.sendall(hello)
                if len(hello) < 8:
                    sock.shutdown(socket.SHUT_WR)
                read_to_end(sock)
    until(lambda: descriptors(daemon) <= before, "the pipes are gone")
    with contextlib.closing(daemon.nng(client.key)) as nng:
        assert nng.call("listStacks").status == 200


def test_frames_without_a_request_id_or_a_message(daemon, client):
    """REP needs a stack of ids that ends with one whose top bit is set."""
    for payload in (
        b"",
        b"\0",
        b"\0\0\0",
        b"\0\0\0\1",
        b"\0\0\0\1" * 300,
        b"\x80\0\0\1",
        b"\0\0\0\1\x80\0\0\2{}",
        os.urandom(4000),
    ):
        with connect(daemon.ready["nng"][0]) as sock:
            sock.sendall(NngClient.HELLO + struct.pack(">Q", len(payload)) + payload)
            sock.shutdown(socket.SHUT_WR)
            read_to_end(sock)
    with contextlib.closing(daemon.nng(client.key)) as nng:
        assert nng.call("listStacks").status == 200


def test_fifty_nng_clients_are_killed_while_they_work(daemon, client):
    chance = random.Random(7)
    load = [BIN / "rpc_load", "drive", daemon.ready["nng"][0], "4", "60", "claim", client.key]
    before = descriptors(daemon)
    for _ in range(5):
        clients = [subprocess.Popen(load, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) for _ in range(10)]
        chance.shuffle(clients)
        for victim in clients:
            for _ in range(chance.randrange(1, 6)):
                assert client.call("listStacks").status == 200
            victim.kill()
            victim.wait()
    until(lambda: descriptors(daemon) <= before, "their connections are gone")
    # What they held is held still: plain to see, and an operator's to free.
    for stack in client.call("listStacks").body["stacks"]:
        if stack["state"] == "leased":
            daemon.admin("stack", "release", "shop", stack["stackName"], "--now")


# ---- HTTP framing ----


def post(client, body=b'{"branch":"smuggled"}', extra=b"", path=b"/requestStack", length=True):
    said = b"Content-Length: %d\r\n" % len(body) if length else b""
    return b"POST %s HTTP/1.1\r\nHost: x\r\nX-API-Key: %s\r\n%s%s\r\n" % (path, client.key.encode(), said, extra) + body


def chunked(*chunks):
    return b"".join(b"%x\r\n%s\r\n" % (len(c), c) for c in chunks) + b"0\r\n\r\n"


def statuses(answers):
    """Of all answers in a byte stream. What libmicrohttpd 0.9.75 says by itself, which closes the connection, comes
    with its head twice, so the length is not that of the body."""
    found = []
    while answers:
        head, blank, rest = answers.partition(b"\r\n\r\n")
        assert blank, answers
        lines = head.split(b"\r\n")
        assert lines[0].startswith(b"HTTP/1.1 "), answers
        fields = {line.split(b":")[0].lower(): line.split(b":", 1)[1].strip() for line in lines[1:]}
        found.append(int(lines[0].split()[1]))
        if fields.get(b"connection", b"").lower() == b"close" and b"content-type" not in fields:
            break
        answers = rest[int(fields.get(b"content-length", 0)) :]
    return found


def exchange(daemon, data):
    """All that is answered. Requests that are broken off end with our half of the connection; those that are whole say
    `Connection: close`, since libmicrohttpd takes half a close for a whole one."""
    with connect(daemon.ready["http"]) as sock:
        with contextlib.suppress(OSError):
            sock.sendall(data)
            if b"Connection: close" not in data:
                sock.shutdown(socket.SHUT_WR)
        return read_to_end(sock)


def test_chunked_bodies_are_read(daemon, client):
    body = b'{"requestId":"0123456789abcdef-unknown"}'
    for chunks in ([body], [body[:1], body[1:7], body[7:]], [bytes([b]) for b in body]):
        data = post(
            client,
            chunked(*chunks),
            b"Transfer-Encoding: chunked\r\nConnection: close\r\n",
            b"/joinRequest",
            length=False,
        )
        assert statuses(exchange(daemon, data)) == [404], chunks
    trailer = b"%x\r\n%s\r\n0\r\nX-Trailer: 1\r\n\r\n" % (len(body), body)
    extra = b"Transfer-Encoding: chunked\r\nConnection: close\r\n"
    assert statuses(exchange(daemon, post(client, trailer, extra, b"/joinRequest", length=False))) == [404]


def test_chunked_bodies_over_the_ceiling_are_too_large(daemon, client):
    extra = b"Transfer-Encoding: chunked\r\nConnection: close\r\n"
    for chunks in ([b" " * 66000], [b" " * 1000] * 66, [b" "] * 65537):
        answer = exchange(daemon, post(client, chunked(*chunks), extra, length=False))
        assert statuses(answer) == [413] and b'"too-large"' in answer
    # Far beyond, the connection is cut instead; what was announced is never kept.
    before = memory(daemon)
    for _ in range(10):
        exchange(daemon, post(client, chunked(*[b" " * 65536] * 64), extra, length=False))
    assert_stays_small(daemon, before, 4)


def test_long_bodies_are_refused_before_they_came(daemon, client):
    """By the announced length; the answer is there for whoever reads it, even while he still sends."""
    for size in (65537, 1 << 20, 1 << 24):
        answer = exchange(daemon, post(client, b" " * size, b"Connection: close\r\n"))
        assert statuses(answer) == [413] and b'"too-large"' in answer, size
    announced = b"Content-Length: 9000000000000000000\r\nConnection: close\r\n"
    assert statuses(exchange(daemon, post(client, b"{", announced, length=False))) == [413]


def broken_requests(client):
    """Each holds a request for a stack of the branch `smuggled`, which must not be carried out."""
    inner = post(client)
    body = b'{"branch":"smuggled"}'
    te = b"Transfer-Encoding: chunked\r\n"
    yield "two lengths", post(client, inner, b"Content-Length: 0\r\n")
    yield "two lengths, the other way", post(client, inner, b"Content-Length: 5\r\nContent-Length: 0\r\n", length=False)
    yield "two equal lengths", post(client, body, b"Content-Length: %d\r\n" % len(body))
    yield "a list of lengths", post(client, body, b"Content-Length: 21, 21\r\n", length=False)
    yield "length and chunks", post(client, chunked(body) + inner, te)
    yield "chunks and length", post(client, b"0\r\n\r\n" + inner, te + b"Content-Length: 5\r\n", length=False)
    for value in (
        b"+21",
        b"-21",
        b"0x15",
        b"21.0",
        b"2 1",
        b"21x",
        b"",
        b"18446744073709551637",
        b"99999999999999999999999",
    ):
        yield f"length {value}", post(client, body, b"Content-Length: %s\r\n" % value, length=False)
    for value in (
        b"xchunked",
        b"chunked, identity",
        b"identity",
        b"gzip, chunked",
        b"chunked, chunked",
        b'"chunked"',
        b"chunked;q=1",
        b"\x0bchunked",
        b"chunke",
        b"",
    ):
        yield f"encoding {value}", post(client, chunked(body), b"Transfer-Encoding: %s\r\n" % value, length=False)
    yield "two encodings", post(client, chunked(body), te + b"Transfer-Encoding: identity\r\n", length=False)
    yield "folded encoding", post(client, chunked(body) + inner, b"Transfer-Encoding:\r\n chunked\r\n", length=False)
    yield "folded length", post(client, body, b"Content-Length:\r\n 21\r\n", length=False)
    yield "blank before the colon", post(client, body, b"Content-Length : 21\r\n", length=False)
    yield (
        "blank before the colon of the encoding",
        post(client, chunked(body), b"Transfer-Encoding : chunked\r\n", length=False),
    )
    for size in (b"-1", b"+15", b"0x15", b"g", b"", b"ffffffffffffffff", b"10000000000000015", b" 15"):
        chunks = size + b"\r\n" + body + b"\r\n0\r\n\r\n"
        yield f"chunk size {size}", post(client, chunks, te, length=False)
    yield "chunk without its end", post(client, b"15\r\n" + body + b"0\r\n\r\n", te, length=False)
    yield "HTTP/1.0 with chunks", post(client, chunked(body), te, length=False).replace(b"HTTP/1.1", b"HTTP/1.0")
    yield "NUL in the path", post(client, path=b"/requestStack\0")
    yield "NUL in a field", post(client, extra=b"X-A: a\0b\r\nTransfer-Encoding: x\r\n")
    yield "%00 in the path", post(client, path=b"/requestStack%00")
    yield "%00 before the name", post(client, path=b"/%00requestStack")
    yield "no version", post(client).replace(b" HTTP/1.1", b"", 1)
    yield "another version", post(client).replace(b"HTTP/1.1", b"HTTP/9.9", 1)
    yield "no protocol", post(client).replace(b"HTTP/1.1", b"NOTHTTP", 1)
    yield "no host", post(client).replace(b"Host: x\r\n", b"")
    yield "two hosts", post(client, extra=b"Host: y\r\n")
    yield "two keys", post(client, extra=b"X-API-Key: x\r\n")
    yield "truncated body", post(client, body)[:-3]
    yield "truncated head", post(client)[:30]
    yield "truncated chunk", post(client, b"15\r\n" + body[:10], te, length=False)
    yield "truncated chunk size", post(client, b"15", te, length=False)
    yield "no last chunk", post(client, b"15\r\n" + body + b"\r\n", te, length=False)


def test_requests_with_two_readings_are_not_carried_out(daemon, client):
    before = client.call("listStacks").text, client.call("listEvents", {"after": 0}).text
    for what, data in broken_requests(client):
        found = statuses(exchange(daemon, data))
        assert all(400 <= status < 600 for status in found), (what, found)
        # 500 would be our own fault; 501 is libmicrohttpd's for an encoding nobody knows, 505 for a version.
        assert not {500, 502, 503} & set(found), (what, found)
        after = client.call("listStacks").text, client.call("listEvents", {"after": 0}).text
        assert after == before, what


def test_bare_line_feeds_smuggle_nothing(daemon, client):
    """RFC 9112 §2.2 lets a server take a bare LF as a line's end; then it has to mean just that."""
    before = client.call("listStacks").text
    bare = b"GET /healthz HTTP/1.1\nHost: x\nConnection: close\n\n"
    assert statuses(exchange(daemon, bare)) in ([200], [400], [])
    # What a proxy forwards as the value of one field, and as one body.
    body = b"0\r\n\r\n" + post(client)
    hidden = post(client, body, b"X-A: b\nTransfer-Encoding: chunked\r\nConnection: close\r\n", b"/joinRequest")
    assert statuses(exchange(daemon, hidden)) in ([400], [501])
    assert client.call("listStacks").text == before


def test_heads_without_end_are_cut(daemon, client):
    fields = b"".join(b"X-Field-%d: %s\r\n" % (i, b"v" * 20) for i in range(100_000))
    floods = [
        b"GET /healthz HTTP/1.1\r\nHost: x\r\n" + fields + b"\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: x\r\nX-Long: " + b"v" * 3_000_000 + b"\r\n\r\n",
        b"GET /" + b"a" * 3_000_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /listStacks?" + b"a=b&" * 500_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        b"G" * 3_000_000,
        b"\r\n" * 1_000_000,
        os.urandom(3_000_000),
    ]
    for flood in floods:
        exchange(daemon, flood)
    before = memory(daemon)
    for _ in range(3):
        for flood in floods:
            found = exchange(daemon, flood)
            assert found == b"" or statuses(found)[0] in (400, 404, 413, 414, 431), found[:200]
    assert_stays_small(daemon, before, 4)


def test_long_addresses_that_are_bearable(daemon, client):
    for length in (1000, 4000):
        answer = client.raw("GET", "/" + "a" * length)
        assert answer.status in (404, 414), answer
        client.close()
    answer = client.raw("GET", "/listStacks?x=" + "a" * 2000, None, {"X-API-Key": client.key})
    assert answer.status == 200


def test_pipelined_requests_are_answered_in_order(daemon, client):
    asks = []
    for i in range(40):
        path, body = (
            (b"/joinRequest", b'{"requestId":"0123456789abcdef-%d"}' % i) if i % 2 else (b"/releaseStack", b"{}")
        )
        last = b"Connection: close\r\n" if i == 39 else b""
        asks.append(post(client, body, last, path))
    for size in (1_000_000, 700, 1):
        with connect(daemon.ready["http"]) as sock:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            data = b"".join(asks[:4] + asks[-1:] if size == 1 else asks)
            for at in range(0, len(data), size):
                sock.sendall(data[at : at + size])
            expected = [400, 404] * 2 + [404] if size == 1 else [400, 404] * 20
            assert statuses(read_to_end(sock)) == expected


# ---- slow and vanishing clients ----


def test_slow_senders_do_not_slow_the_others(daemon, client):
    request = post(client, b"{" + b" " * 20000 + b"}", path=b"/joinRequest")
    rpc = NngClient.HELLO + struct.pack(">Q", 60000) + b"x" * 20000
    before = memory(daemon)
    with contextlib.ExitStack() as stack:
        slow = [(stack.enter_context(connect(daemon.ready["http"])), iter(request)) for _ in range(280)]
        slow += [(stack.enter_context(connect(daemon.ready["nng"][0])), iter(rpc)) for _ in range(20)]
        longest, served = 0.0, 0
        end = time.monotonic() + 3
        while time.monotonic() < end or served < 20:
            for sock, rest in slow[served % 3 :: 3]:  # a third of them at a time, one byte each
                sock.sendall(bytes([next(rest)]))
            started = time.monotonic()
            work(client, f"beside-the-slow-{served % 8}")
            longest = max(longest, time.monotonic() - started)
            served += 1
        assert served >= 20 and longest < 2
        assert_stays_small(daemon, before, 32)


def test_clients_that_vanish_in_mid_request(daemon, client):
    whole = post(client, b'{"requestId":"0123456789abcdef-unknown"}', path=b"/joinRequest")
    frame = b'{"op":"listStacks","auth":"%s"}' % client.key.encode()
    rpc = NngClient.HELLO + struct.pack(">QI", len(frame) + 4, 0x80000001) + frame
    before = descriptors(daemon)
    for address, data in ((daemon.ready["http"], whole), (daemon.ready["nng"][0], rpc)):
        for cut in (1, 10, len(data) // 2, len(data) - 1, len(data), len(data)):
            for _ in range(20):
                with connect(address) as sock:
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
                    sock.sendall(data[:cut])
    until(lambda: descriptors(daemon) <= before, "their connections are gone")


def test_answers_that_nobody_reads(daemon, client):
    """A client that asks and asks and never reads holds its own connection, nobody else's."""
    ask = b"GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n"
    with contextlib.ExitStack() as stack:
        before = memory(daemon)
        for _ in range(20):
            sock = stack.enter_context(connect(daemon.ready["http"]))
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            sock.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                for _ in range(2000):
                    sock.send(ask)
        for _ in range(50):
            work(client, "beside-the-deaf")
        assert_stays_small(daemon, before, 32)


# ---- descriptors ----


@pytest.fixture
def tight(tmp_path, monkeypatch):
    """A daemon that may have 128 descriptors, and cannot raise that."""
    wrapper = tmp_path / "stack-coordinator"
    wrapper.write_text('#!/bin/sh\nexec prlimit --nofile=128:128 "$REAL_COORDINATOR" "$@"\n')
    wrapper.chmod(0o755)
    monkeypatch.setenv("REAL_COORDINATOR", str(programs.COORDINATOR))
    assert shutil.which("prlimit")
    coordinator = Coordinator(tmp_path / "data")
    with monkeypatch.context() as patch:
        patch.setattr(programs, "COORDINATOR", wrapper)
        coordinator.start()
    yield coordinator
    assert coordinator.stop() == 0, "".join(coordinator.log)


def test_exhausted_descriptors_neither_spin_nor_last(tight):
    key = tight.project("shop")
    held, rpc = tight.http(key), tight.nng(key)
    work(held, "held")
    connection = held.connection.sock
    with contextlib.ExitStack() as stack:
        crowd = []
        for _ in range(200):
            with contextlib.suppress(OSError):
                crowd.append(stack.enter_context(connect(tight.ready["http"])))
            work(held, "held")
        assert len(crowd) > 128
        assert held.connection.sock is connection, "who works keeps his connection"
        assert rpc.call("listStacks").status == 200

        before = processor_seconds(tight)
        select.select([], [], [], 2)  # nothing happens but what the daemon does by itself
        assert processor_seconds(tight) - before < 0.5
        work(held, "held")
        assert held.connection.sock is connection
    started = time.monotonic()
    work(tight.http(key), "new")
    with contextlib.closing(tight.nng(key)) as new:
        assert new.call("listStacks").status == 200
    assert time.monotonic() - started < 5
    assert rpc.call("listStacks").status == 200


def test_exhausted_by_nng_connections(tight):
    key = tight.project("shop")
    held = tight.http(key)
    work(held, "held")
    connection = held.connection.sock
    with contextlib.ExitStack() as stack:
        for _ in range(200):
            with contextlib.suppress(OSError):
                sock = stack.enter_context(connect(tight.ready["nng"][0]))
                sock.sendall(NngClient.HELLO)
            work(held, "held")
        assert held.connection.sock is connection
        before = processor_seconds(tight)
        select.select([], [], [], 2)
        assert processor_seconds(tight) - before < 0.5
    work(tight.http(key), "new")

    def is_served():
        with contextlib.suppress(OSError), contextlib.closing(tight.nng(key)) as new:
            return new.call("listStacks").status == 200
        return False

    until(is_served, "nng accepts again")


def test_nng_connections_that_ask_for_nothing_make_room(start):
    """As many as there may be, from one who keeps them."""
    coordinator = start()
    key = coordinator.project("shop")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    with contextlib.ExitStack() as kept:
        kept.callback(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        first = kept.enter_context(contextlib.closing(coordinator.nng(key)))
        for _ in range(NNG_MOST):
            sock = kept.enter_context(connect(coordinator.ready["nng"][0]))
            sock.sendall(NngClient.HELLO)
            assert len(sock.recv(8)) == 8  # it has its place
        with pytest.raises(OSError):
            first.call("listStacks")  # of all it was silent longest
        for _ in range(3):
            late = kept.enter_context(contextlib.closing(coordinator.nng(key)))
            assert late.call("listStacks").status == 200


# ---- who asks for much and reads nothing ----


def fill(coordinator, key, stacks, branch="main"):
    """So many stacks, by requests one behind the other."""
    with connect(coordinator.ready["http"]) as sock:
        body = json.dumps({"branch": branch}).encode()
        head = f"POST /requestStack HTTP/1.1\r\nHost: x\r\nX-API-Key: {key}\r\nContent-Length: {len(body)}\r\n\r\n"
        for begun in range(0, stacks, 100):
            sock.sendall((head.encode() + body) * min(100, stacks - begun))
            answered = b""
            while answered.count(b"HTTP/1.1 200") < min(100, stacks - begun):
                answered += sock.recv(65536)


def test_lists_that_nobody_reads_fill_no_memory_over_nng(start):
    coordinator = start()
    key = coordinator.project("shop")
    fill(coordinator, key, 2000)
    before = memory(coordinator)
    with contextlib.closing(coordinator.nng(key)) as greedy, contextlib.closing(coordinator.nng(key)) as other:
        message = json.dumps({"op": "listStacks", "auth": key}).encode()
        frame = struct.pack(">QI", 4 + len(message), 0x80000001) + message
        greedy.socket.settimeout(1)
        with contextlib.suppress(TimeoutError):
            greedy.socket.sendall(frame * 1000)
        for _ in range(20):
            assert other.call("listStacks", {"limit": 3}).status == 200
        assert_stays_small(coordinator, before, 64)


def test_many_ask_for_lists_at_once_over_nng_and_all_are_answered(start):
    coordinator = start()
    key = coordinator.project("shop")
    work(coordinator.http(key), "main")
    message = json.dumps({"op": "listStacks", "auth": key}).encode()
    frame = struct.pack(">QI", 4 + len(message), 0x80000001) + message
    with contextlib.ExitStack() as kept:
        clients = [kept.enter_context(contextlib.closing(coordinator.nng(key))) for _ in range(200)]
        coordinator.process.send_signal(signal.SIGSTOP)
        for client in clients:
            client.socket.sendall(frame)
        coordinator.process.send_signal(signal.SIGCONT)
        for client in clients:
            length, _ = struct.unpack(">QI", client.read(12))
            answer = json.loads(client.read(length - 4))
            assert (answer["status"], len(answer["body"]["stacks"])) == (200, 1), answer


def test_lists_that_many_do_not_read_hold_up_nobody_else(start):
    coordinator = start()
    key, other_key = coordinator.project("shop"), coordinator.project("fair")
    fill(coordinator, key, 4000)
    other = coordinator.nng(other_key)
    ask = {"branch": "b", "requestId": request_id(), "leaseSeconds": 300}
    lease = {"lease": other.call("requestStack", ask).body["lease"]["secret"]}
    before = memory(coordinator)
    message = json.dumps({"op": "listStacks", "auth": key}).encode()
    frame = struct.pack(">QI", 4 + len(message), 0x80000001) + message
    with contextlib.ExitStack() as kept:
        for _ in range(250):
            greedy = kept.enter_context(contextlib.closing(coordinator.nng(key)))
            greedy.socket.sendall(frame * 4)
        for _ in range(20):
            assert other.call("renewLease", lease).status == 200
        refused = coordinator.nng(key).call("listStacks")
        assert refused.status in (200, 503), "… but for lists there may be no room"
        assert_stays_small(coordinator, before, 250)


def test_lists_that_nobody_reads_fill_no_memory_over_http(start):
    coordinator = start()
    key = coordinator.project("shop")
    fill(coordinator, key, 5000, "b" * 250)  # longer than what is kept for the next reader
    client = coordinator.http(key)
    assert client.call("listStacks", {"limit": 3}).status == 200
    client.connection.sock.settimeout(120)  # a sanitizer takes its time with all of the following
    before = memory(coordinator)
    with contextlib.ExitStack() as kept:
        for n in range(300):  # pages of which no two are alike
            sock = kept.enter_context(socket.socket())
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            host, port = coordinator.ready["http"].rsplit(":", 1)
            sock.connect((host, int(port)))
            sock.sendall(f"GET /listStacks?limit={4000 + n} HTTP/1.1\r\nHost: x\r\nX-API-Key: {key}\r\n\r\n".encode())
        assert client.call("listStacks", {"limit": 3}).status == 200  # all before have been looked at
        work(client, "other")
        refused = client.call("listStacks")
        assert (refused.status, refused.body["code"]) == (503, "store-unavailable")
        page = client.call("listStacks", {"limit": 1000})
        assert page.status == 200
        assert 20 < len(page.body["stacks"]) < 1000, "a brief one"
        assert page.body["next"] == len(page.body["stacks"])
        latest = client.call("listEvents").body
        assert 20 < len(latest["events"]) < 200 and "next" not in latest, "fewer of them"
        assert [event["kind"] for event in latest["events"][-2:]] == ["granted", "released"]
        little = coordinator.http(coordinator.project("little"))
        work(little, "main")
        assert len(little.call("listStacks").body["stacks"]) == 1, "what is short is there for all"
        assert_stays_small(coordinator, before, 200)
    until(lambda: coordinator.http(key).call("listStacks").status == 200, "there is room for lists again")


# ---- load ----


@pytest.mark.parametrize("connections", [128, 256])
@pytest.mark.parametrize("mode", ["claim", "ids"])
def test_no_connection_stalls(start, connections, mode):
    """libmicrohttpd's epoll loop stalls for good at this many suspended connections; ours must not."""
    coordinator = start()
    key = coordinator.project("shop")
    host, port = coordinator.ready["http"].rsplit(":", 1)
    load = [BIN / "http_claim", host, port, key, str(connections), "3", mode]
    environment = {**os.environ, "ASAN_OPTIONS": "detect_leaks=0"}  # the tool exits without tidying up
    words = [str(word) for word in load]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_hundred_threads_that_open_and_close(daemon, client):
    """Connections of one request each, from everywhere at once: every one is served."""
    failed = []

    def visit():
        for _ in range(20):
            connection = http.client.HTTPConnection(daemon.ready["http"], timeout=DEADLINE)
            try:
                connection.request("GET", "/listStacks", headers={"X-API-Key": client.key, "Connection": "close"})
                status = connection.getresponse().status
                if status != 200:
                    failed.append(status)
            except OSError as error:
                failed.append(error)
            finally:
                connection.close()

    before = descriptors(daemon)
    threads = [threading.Thread(target=visit) for _ in range(100)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed
    until(lambda: descriptors(daemon) <= before, "their connections are gone")


def test_the_control_socket_takes_garbage(daemon, client):
    for data in (
        b"",
        b"\0" * 8,
        b"\xff" * 5000,
        NngClient.HELLO,
        NngClient.HELLO + b"\1" + struct.pack(">Q", 2**63),
        NngClient.HELLO + b"\2" + struct.pack(">Q", 4) + b"\x80\0\0\1",
        os.urandom(3000),
    ):
        with socket.socket(socket.AF_UNIX) as sock:
            sock.settimeout(DEADLINE)
            sock.connect(str(daemon.data / "control.sock"))
            with contextlib.suppress(ConnectionError):
                sock.sendall(data)
                sock.shutdown(socket.SHUT_WR)
            read_to_end(sock)
    assert "shop" in daemon.admin("project", "list").stdout
