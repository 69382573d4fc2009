"""What must not be accepted: every field of every operation, over every transport, with values that are wrong.

The tables below say what PROTOCOL.md says, by hand. Each operation has a body that passes every check and is then
refused for what it is about (a full pool, an unknown stack), so that nothing may ever change here: a value that breaks
a rule gives a named error, one that keeps all rules that last refusal, and lists and history stay the same bytes.
"""

import json
import pathlib
import re
import secrets
import socket
import struct
import unicodedata

import pytest
from programs import Answer, Coordinator, HttpClient, NngClient

UNKNOWN_ID = "0123456789abcdef-nobody-asked"
CANCELLED_ID = "0123456789abcdef-cancelled"
GENERATION_MAX = 2**53 - 1


class ControlClient:
    """nng over the control socket: an ipc frame has a byte 1 in front."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(30)
        self.socket.connect(str(path))
        self.socket.sendall(NngClient.HELLO)
        assert self.read(8) == b"\0SP\0\0\x31\0\0"

    read = NngClient.read
    close = NngClient.close

    def raw(self, message):
        number = next(NngClient.ids) | 0x80000000
        self.socket.sendall(struct.pack(">BQI", 1, len(message) + 4, number) + message)
        kind, length, answered = struct.unpack(">BQI", self.read(13))
        assert (kind, answered) == (1, number)
        return self.read(length - 4)


class House:
    """One daemon, a project whose two stacks are taken, clients for all transports."""

    def __init__(self, data):
        self.coordinator = Coordinator(data).start()
        agent_key = self.coordinator.project("shop", "--max-stacks", "2")
        made = self.coordinator.admin("key", "create", "shop", "--scope", "operator", "--json")
        self.key = json.loads(made.stdout)["key"]
        self.http = self.coordinator.http(self.key)
        self.nng = self.coordinator.nng(self.key)
        self.control = ControlClient(pathlib.Path(data) / "control.sock")
        asker = self.coordinator.http(agent_key)
        assert asker.call("requestStack", {"branch": "taken"}).status == 200
        bound = {"branch": "bound", "requestId": secrets.token_hex(16), "leaseSeconds": 86400}
        self.lease = asker.call("requestStack", bound).body["lease"]["secret"]
        assert asker.call("cancelRequest", {"requestId": CANCELLED_ID}).status == 200
        self.existing = str(pathlib.Path(data) / "stacks.db")

    def everything(self):
        """All that can be seen of the project, as bytes; but for when a lease ends, which time alone moves."""
        key = {"X-API-Key": self.key}
        lists = [self.http.raw("GET", path, None, key) for path in ("/listStacks", "/listQueue", "/listEvents?after=0")]
        assert [a.status for a in lists] == [200, 200, 200]
        return [re.sub(r',"expires":"[^"]*"', "", a.text) for a in lists]

    def send(self, transport, operation, body):
        """`body` is the JSON text itself, as bytes."""
        if transport == "http":
            return self.http.raw("POST", f"/{operation}", body, {"X-API-Key": self.key})
        if transport == "nng":
            return envelope(self.nng.raw(message(operation, body, self.key)))
        return envelope(self.control.raw(message(operation, body)))


def message(operation, body, key=None):
    auth = b"" if key is None else b'"auth":"%s",' % key.encode()
    return b'{"op":"%s",%s"body":%s}' % (operation.encode(), auth, body)


def envelope(frame):
    text = frame.decode()
    return Answer(json.loads(text)["status"], text[text.index('"body":') + 7 : -1])


@pytest.fixture(scope="module")
def house(tmp_path_factory):
    house = House(tmp_path_factory.mktemp("bad-input") / "data")
    yield house
    assert house.coordinator.stop() == 0, "".join(house.coordinator.log)


@pytest.fixture
def untouched(house):
    """Whatever a test sends: nothing changed, nobody died."""
    before = house.everything()
    yield house
    assert house.coordinator.process.poll() is None, "".join(house.coordinator.log)
    assert house.everything() == before


# ---- values, as JSON text ----

BAD_JSON = (422, "bad-json")
INVALID = (400, "validation")


def text(value):
    return json.dumps(value, ensure_ascii=False).encode()


NO_TEXTS = [b"1", b"-1", b"1.5", b"true", b"false", b"[]", b"{}", b'["a"]', b'{"a":"b"}']
# No JSON at all: bytes that are no UTF-8 (a stray byte, an overlong NUL, a surrogate, past U+10FFFF, cut off), a raw
# control character, U+0000, half a surrogate pair, a bad escape.
NO_JSON_TEXTS = [
    b'"\xff"',
    b'"a\x80"',
    b'"\xc0\x80"',
    b'"\xed\xa0\x80"',
    b'"\xf4\x90\x80\x80"',
    b'"\xe2\x82"',
    b'"a\x01b"',
    b'"a\nb"',
    b'"a\\u0000b"',
    b'"\\ud800"',
    b'"\\ud800\\u0041"',
    b'"\\x41"',
    b'"\\u12"',
    b'"a',
]
CONTROLS = [
    text("a\nb"),
    b'"a\\u0001b"',
    b'"a\\u001bb"',
    b'"a\\u007fb"',
    b'"a\\u0085b"',
    b'"a\\u009bb"',
    '"a\u0085b"'.encode(),
]


class Text:
    def __init__(self, least, most, good=(), bad=(), *, ascii_only=False, fill="a"):
        self.good = [text(g) for g in good] + [text(fill * most)]
        self.bad = [*NO_TEXTS, *CONTROLS, *[text(b) for b in bad], text(fill * (most + 1)), text(fill * 60000)]
        if least > 0:
            self.bad += [text(""), text(fill * (least - 1))]
        else:
            self.good += [text("")]
        if ascii_only:
            self.bad += [text("é" * 16), text("a b" * 8), text("a b" * 8 + " ")]
        else:
            self.good += [text("é 世 😀 \u202e")]
            self.bad += [text("é" * (most // 2 + 1))]
        self.broken = NO_JSON_TEXTS


class Link(Text):
    """http or https, 1024 bytes."""

    def __init__(self):
        super().__init__(
            1,
            1024,
            ["http://x", "https://ci.example/7?a=b#c"],
            [
                "x",
                "ftp://x",
                "javascript:alert(1)",
                "http://",
                "https://",
                "HTTP:/x",
                "//x",
                " http://x",
                "http://a b",
                "http://é",
            ],
        )
        start = "https://x/"
        self.good = [g for g in self.good if g.startswith(b'"http')] + [text(start + "a" * (1024 - len(start)))]
        self.bad += [text(start + "a" * (1025 - len(start)))]


class Integer:
    def __init__(self, least, most):
        self.good = [b"%d" % least, b"%d" % most]
        self.bad = [
            b'"5"',
            b"1.0",
            b"5.0",
            b"1e9",
            b"3e2",
            b"-0.0",
            b"true",
            b"false",
            b"[]",
            b"{}",
            b"[5]",
            b'""',
            b"%d" % (least - 1),
            b"%d" % (most + 1),
            b"-1000000",
            b"-9223372036854775808",
            b"9223372036854775807",
        ]
        self.broken = [
            b"9223372036854775808",
            b"-9223372036854775809",
            b"1e999",
            b"05",
            b"+5",
            b"0x5",
            b"NaN",
            b"Infinity",
            b"5.",
        ]
        self.queries = [
            "",
            "x",
            "1.0",
            "1e9",
            "%201",
            "1%20",
            "+1",
            "-1x",
            "0x1",
            "01",
            "true",
            "1,2",
            "9223372036854775808",
            str(least - 1),
            str(most + 1),
            "-9223372036854775808",
            "%C3%A9",
        ]


class Choice:
    def __init__(self, names, unsent=()):
        self.good = [text(n) for n in names]
        others = [*unsent, "", "nope", names[0].upper(), names[0] + " ", names[0][:-1], "x" * 300]
        self.bad = [b"0", b"1", b"-1", b"true", b"[]", b"{}", *[text(o) for o in others]]
        self.broken = NO_JSON_TEXTS


class Path:
    good = []  # would make a file
    bad = [*NO_TEXTS, *[text(p) for p in ("", "x", "./x", "../x", "~/x", "/x\n", "/" * 1025)]]
    broken = NO_JSON_TEXTS


class Boolean:
    good = [b"true"]
    bad = [b"0", b"1", b'"true"', b'"false"', b'""', b"[]", b"{}", b"1.5"]
    broken = [b"True", b"yes", b"tru"]


BRANCH = Text(1, 255, ["main", "feat/é", "$(id)", "-x", "<script>"])
COMMIT = Text(1, 64, ["0", "3f2c1a9"], ascii_only=True)
REQUEST_ID = Text(
    16,
    128,
    ["0123456789abcdef-A.B_C:D"],
    ["0123456789abcde/", '0123456789abcdef"', "0123456789abcdef+"],
    ascii_only=True,
)
STACK = Text(1, 82, ["test-99", "Z.9_x-"], ["1", "-x", "te/st", "test 1", "../x", ".x", "_x"], ascii_only=True)
NOTE = Text(0, 1024)
OUTCOME = Choice(["ok", "dirty", "broken"])
HOLDER = {
    "holder.provider": Text(0, 64),
    "holder.repository": Text(0, 255),
    "holder.run": Text(0, 128),
    "holder.attempt": Text(0, 32),
    "holder.job": Text(0, 255),
    "holder.actor": Text(0, 128),
    "holder.link": Link(),
    "holder.note": Text(0, 1024),
}
PROJECT = Text(1, 63, ["nowhere", "a-9"], ["Shop", "a_b", "a.b", "a/b", "é"], ascii_only=True)
LABEL = Text(0, 128)
PREFIX = Text(1, 63, ["e2e-", "Z._-"], ["9x", "x9", "-x", "a b", "a/b"], ascii_only=True, fill="p")


class Operation:
    """What passes all checks, how that is then answered, the fields; `required` ones may not be left out."""

    def __init__(self, base, answer, required, fields):
        self.base, self.answer, self.required, self.fields = base, answer, required, fields


ON_NETWORK = {
    "requestStack": Operation(
        {"branch": "feat/x", "requestId": UNKNOWN_ID, "ifNone": "fail"},
        (409, "none-available"),
        [],
        {
            "branch": BRANCH,
            "commit": COMMIT,
            "requestId": REQUEST_ID,
            "leaseSeconds": Integer(2, 86400),
            "waitSeconds": Integer(0, 25),
            "ifNone": Choice(["fail"], ["default"]),  # `wait` would change the queue
            "purpose": Choice(["test", "clean"]),
            **HOLDER,
        },
    ),
    "joinRequest": Operation(
        {"requestId": UNKNOWN_ID}, (404, "unknown-request"), ["requestId"], {"requestId": REQUEST_ID, **HOLDER}
    ),
    "renewLease": Operation({"lease": "LEASE"}, (200, None), ["lease"], {"leaseSeconds": Integer(2, 86400)}),
    "setLastDeployedCommit": Operation(
        {"stackName": "test-99", "lastDeployedCommit": "abc", "lease": "LEASE"},
        (403, "forbidden"),
        ["stackName", "lastDeployedCommit"],
        {"stackName": STACK, "lastDeployedCommit": COMMIT, "url": Link()},
    ),
    "releaseStack": Operation(
        {"stackName": "test-99", "lease": "LEASE"},
        (403, "forbidden"),
        ["stackName"],
        {"stackName": STACK, "outcome": OUTCOME, "note": NOTE},
    ),
    "cancelRequest": Operation({"requestId": CANCELLED_ID}, (200, None), ["requestId"], {"requestId": REQUEST_ID}),
    "quarantineStack": Operation(
        {"stackName": "test-99"},
        (404, "unknown-stack"),
        ["stackName"],
        {"stackName": STACK, "reason": NOTE, "now": Boolean},
    ),
    "restoreStack": Operation(
        {"stackName": "test-99"},
        (404, "unknown-stack"),
        ["stackName"],
        {"stackName": STACK, "reason": NOTE, "now": Boolean},
    ),
    "annotateStack": Operation(
        {"stackName": "test-99", "note": "n"},
        (404, "unknown-stack"),
        ["stackName", "note"],
        {"stackName": STACK, "note": NOTE},
    ),
    "forceReleaseStack": Operation(
        {"stackName": "test-99", "now": True},
        (404, "unknown-stack"),
        ["stackName"],
        {"stackName": STACK, "outcome": OUTCOME, "now": Boolean, "reason": NOTE},
    ),
}

READS = {
    "listStacks": Operation({}, (200, None), [], {"after": Integer(0, GENERATION_MAX), "limit": Integer(1, 1000000)}),
    "listQueue": Operation({}, (200, None), [], {"after": Integer(0, GENERATION_MAX), "limit": Integer(1, 1000000)}),
    "listEvents": Operation(
        {}, (200, None), [], {"after": Integer(0, GENERATION_MAX), "limit": Integer(1, 200), "stackName": STACK}
    ),
}

SETTINGS = {
    "maxHoldSeconds": Integer(60, 31536000),
    "expiryGraceSeconds": Integer(0, 3600),
    "cleaning": Choice(["on", "off"], ["unset"]),
}
SCOPE = Choice(["read", "agent", "operator"], ["none", "admin"])
ON_CONTROL = {
    "createProject": Operation(
        {"project": "shop"},
        (409, "exists"),
        ["project"],
        {"prefix": PREFIX, "initialCommit": COMMIT, "maxStacks": Integer(1, 1000000), **SETTINGS},
    ),
    "updateProject": Operation(
        {"project": "nowhere"},
        (404, "unknown-project"),
        ["project"],
        {
            "project": PROJECT,
            "prefix": PREFIX,
            "initialCommit": Text(0, 64, ["abc"], ascii_only=True),
            "maxStacks": Integer(0, 1000000),
            **SETTINGS,
        },
    ),
    "deleteProject": Operation({"project": "nowhere"}, (404, "unknown-project"), ["project"], {"project": PROJECT}),
    "createKey": Operation(
        {"project": "nowhere"},
        (404, "unknown-project"),
        ["project"],
        {"project": PROJECT, "scope": SCOPE, "label": LABEL},
    ),
    "importKey": Operation(
        {"project": "nowhere", "secret": "abcdefgh"},
        (404, "unknown-project"),
        ["project", "secret"],
        {
            "project": PROJECT,
            "secret": Text(8, 200, ["abcdefgh", "a+/=~!b\"'c"], ascii_only=True),
            "scope": SCOPE,
            "label": LABEL,
        },
    ),
    "listKeys": Operation({"project": "nowhere"}, (404, "unknown-project"), ["project"], {"project": PROJECT}),
    "revokeKey": Operation(
        {"project": "shop", "keyId": "0123456789abcdef"},
        (404, "unknown-key"),
        ["project", "keyId"],
        {"keyId": Text(1, 64, ["0"], ["ABC", "a_b", "a-b"], ascii_only=True)},
    ),
    "backup": Operation({"path": "EXISTING"}, (409, "exists"), ["path"], {"path": Path}),
}

# Over the control socket the operations on one project's things name it.
for name in (
    "quarantineStack",
    "restoreStack",
    "annotateStack",
    "forceReleaseStack",
    "listStacks",
    "listQueue",
    "listEvents",
):
    twin = (ON_NETWORK | READS)[name]
    ON_CONTROL[name] = Operation(
        twin.base | {"project": "shop"}, twin.answer, ["project", *twin.required], {**twin.fields, "project": PROJECT}
    )
PROJECT_ELSEWHERE = (404, "unknown-project")

ROWS = (
    [(t, name, op) for t in ("http", "nng") for name, op in ON_NETWORK.items()]
    + [("nng", name, op) for name, op in READS.items()]
    + [("control", name, op) for name, op in ON_CONTROL.items()]
)
FIELDS = [pytest.param(t, name, op, field, id=f"{t}-{name}-{field}") for t, name, op in ROWS for field in op.fields]
OPERATIONS = [pytest.param(t, name, op, id=f"{t}-{name}") for t, name, op in ROWS]


def body_of(house, operation, path=None, value=None, *, without=None):
    """The operation's good body, one field replaced by JSON text or left out."""
    members = {name: text(known) for name, known in operation.base.items() if name != without}
    if "lease" in members:
        members["lease"] = text(house.lease)
    if "path" in members:
        members["path"] = text(house.existing)
    if path is not None:
        outer, _, inner = path.partition(".")
        members[outer] = b'{"%s":%s}' % (inner.encode(), value) if inner else value
    return b"{" + b",".join(b'"%s":%s' % (name.encode(), value) for name, value in members.items()) + b"}"


def draws(c):
    """Controls, other line ends, and what turns the direction of writing."""
    return unicodedata.category(c) in ("Cc", "Zl", "Zp") or unicodedata.bidirectional(c)[:2] in ("LR", "RL", "PD", "FS")


def assert_refused(answer, expected, field, about):
    assert (answer.status, answer.code) == expected, (about, answer)
    assert answer.body["status"] == answer.status, about
    assert answer.body["detail"] and answer.body["message"] == answer.body["detail"], about
    assert not any(draws(c) for c in answer.text), about
    if field is not None:
        assert answer.body.get("field") == field, (about, answer)
        assert field in answer.body["detail"], (about, answer)


@pytest.mark.parametrize(("transport", "name", "operation", "field"), FIELDS)
def test_a_wrong_value_is_named(untouched, transport, name, operation, field):
    for value in operation.fields[field].bad:
        answer = untouched.send(transport, name, body_of(untouched, operation, field, value))
        assert_refused(answer, INVALID, field, value[:80])


@pytest.mark.parametrize(("transport", "name", "operation", "field"), FIELDS)
def test_what_is_no_json_is_refused_whole(untouched, transport, name, operation, field):
    for value in operation.fields[field].broken:
        answer = untouched.send(transport, name, body_of(untouched, operation, field, value))
        assert_refused(answer, BAD_JSON, None, value)


@pytest.mark.parametrize(("transport", "name", "operation", "field"), FIELDS)
def test_values_at_the_bounds_and_null_pass_the_checks(untouched, transport, name, operation, field):
    nulls = [] if field in operation.required or field in ("requestId", "now", "path") else [b"null"]
    for value in [*operation.fields[field].good, *nulls]:
        body = body_of(untouched, operation, field, value)
        if (name, field) == ("cancelRequest", "requestId"):
            continue  # it would store what it cancels
        answer = untouched.send(transport, name, body)
        elsewhere = field == "project" and operation.base["project"] == "shop"
        expected = PROJECT_ELSEWHERE if elsewhere else operation.answer
        assert (answer.status, answer.body.get("code")) == expected, (value[:80], answer)


@pytest.mark.parametrize(("transport", "name", "operation"), OPERATIONS)
def test_a_required_field_may_not_be_missing_or_null(untouched, transport, name, operation):
    for field in operation.required:
        for body in (body_of(untouched, operation, without=field), body_of(untouched, operation, field, b"null")):
            assert_refused(untouched.send(transport, name, body), INVALID, field, body)


@pytest.mark.parametrize(("transport", "name", "operation"), OPERATIONS)
def test_the_body_as_a_whole(untouched, transport, name, operation):
    for value in (b"[]", b"[{}]", b'["branch"]', b"5", b'"{}"', b"true"):
        assert_refused(untouched.send(transport, name, value), INVALID, None, value)
    for value in (
        b"{",
        b'{"a"}',
        b'{"a":}',
        b'{"a":1,}',
        b"{'a':1}",
        b"{a:1}",
        b'{"a":1}}',
        b"nope",
        b'{"a":\xff}',
        b"\xef\xbb\xbf{}",
    ):
        assert_refused(untouched.send(transport, name, value), BAD_JSON, None, value)
    good = body_of(untouched, operation)
    first = next(iter(operation.base), "x")
    twice = good[:-1] + (b"," if operation.base else b"") + b'"%s":1,"%s":2}' % (first.encode(), first.encode())
    escaped = good[:-1] + (b"," if operation.base else b"") + b'"\\u0078":1,"x":2}'
    inner = good[:-1] + (b"," if operation.base else b"") + b'"x":{"y":1,"y":1}}'
    for value in (twice, escaped, inner):
        assert_refused(untouched.send(transport, name, value), BAD_JSON, None, value)
    for depth, ends in ((33, b"[]"), (33, b"{}"), (2049, b"[]"), (20000, b"[]")):
        opening = b'{"x":' if ends == b"{}" else b"["
        closing = b"}" if ends == b"{}" else b"]"
        nested = (
            b"{" + b'"x":' + opening * (depth - 1) + (b"0" if ends == b"{}" else b"") + closing * (depth - 1) + b"}"
        )
        assert_refused(untouched.send(transport, name, nested), BAD_JSON, None, depth)


@pytest.mark.parametrize("transport", ["http", "nng"])
def test_thirty_two_levels_are_read(untouched, transport):
    body = b'{"requestId":"%s","x":%s}' % (UNKNOWN_ID.encode(), b"[" * 31 + b"]" * 31)
    answer = untouched.send(transport, "joinRequest", body)
    assert (answer.status, answer.code) == (404, "unknown-request")
    # Brackets inside a text nest nothing.
    body = b'{"requestId":"%s","x":"%s\\"%s"}' % (UNKNOWN_ID.encode(), b"[" * 100, b"{" * 100)
    assert untouched.send(transport, "joinRequest", body).status == 404


@pytest.mark.parametrize("transport", ["http", "nng"])
def test_a_holder_is_an_object_of_at_most_two_kib(untouched, transport):
    operation = ON_NETWORK["requestStack"]
    for value in (b"1", b'"anna"', b"true", b"[]", b'[{"actor":"anna"}]'):
        answer = untouched.send(transport, "requestStack", body_of(untouched, operation, "holder", value))
        assert_refused(answer, INVALID, "holder", value)
    parts = {"link": "https://x/" + "a" * 990, "repository": "r" * 100, "note": ""}
    most = len(json.dumps(parts, separators=(",", ":")))
    for length, status in ((2048, 409), (2049, 400)):
        parts["note"] = "n" * (length - most)
        value = json.dumps(parts, separators=(",", ":")).encode()
        assert len(value) == length
        answer = untouched.send(transport, "requestStack", body_of(untouched, operation, "holder", value))
        assert answer.status == status, answer
        assert status == 409 or answer.body["field"] == "holder"
    assert untouched.send(transport, "requestStack", body_of(untouched, operation, "holder", b"null")).status == 409


@pytest.mark.parametrize("transport", ["http", "nng"])
@pytest.mark.parametrize("name", ["renewLease", "setLastDeployedCommit", "releaseStack"])
def test_a_lease_that_is_none_opens_nothing(untouched, transport, name):
    operation = ON_NETWORK[name]
    for value in (b"1", b"true", b"[]", b"{}"):
        answer = untouched.send(transport, name, body_of(untouched, operation, "lease", value))
        assert_refused(answer, INVALID, "lease", value)
    forged = untouched.lease[:-1] + ("0" if untouched.lease[-1] != "0" else "1")
    mac = forged.rsplit("_", 1)[1]
    strangers = [
        "x",
        "sol_",
        "a b",
        "é",
        "x" * 257,
        "x" * 60000,
        forged,
        untouched.lease + "0",
        untouched.lease[:-1],
        untouched.lease.upper(),
        f"sol_shop_0_1_{mac}",
        f"sol_shop_99999999999999999999_1_{mac}",
        f"sol_nowhere_1_1_{mac}",
        f"sol__1_1_{mac}",
    ]
    if name == "renewLease":  # the same check; more would exhaust what one address may fail
        strangers = [forged]
    for value in strangers:
        answer = untouched.send(transport, name, body_of(untouched, operation, "lease", text(value)))
        assert_refused(answer, (401, "unauthenticated"), None, value[:80])


@pytest.mark.parametrize("transport", ["http", "nng"])
def test_unknown_fields_are_refused_by_set_last_deployed_commit_alone(untouched, transport):
    for name, operation in ON_NETWORK.items():
        for extra in ("colour", "Branch", "stackname", "", "x" * 5000, "\x1b[31m", "é", "holder.note"):
            body = body_of(untouched, operation, "zz", b"1").replace(b'"zz"', text(extra))
            answer = untouched.send(transport, name, body)
            if name == "setLastDeployedCommit":
                assert_refused(answer, INVALID, None, extra)
            else:
                assert (answer.status, answer.body.get("code")) == operation.answer, (name, extra, answer)


@pytest.mark.parametrize("transport", ["http", "nng"])
def test_a_body_over_the_ceiling_is_too_large(untouched, transport):
    padding = b'{"requestId":"%s","x":"' % UNKNOWN_ID.encode()
    exact = padding + b"a" * (64 * 1024 - len(padding) - 2) + b'"}'
    if transport == "http":
        assert untouched.send("http", "joinRequest", exact).status == 404
        over = untouched.send("http", "joinRequest", exact[:-2] + b'a"}')
        assert (over.status, over.code) == (413, "too-large")
        return
    # The frame's ceiling has room for the envelope; far beyond it the pipe is closed.
    assert untouched.send("nng", "joinRequest", exact).status == 404
    with pytest.raises(ConnectionError):
        untouched.coordinator.nng(untouched.key).raw(message("joinRequest", exact + b" " * (1 << 20), untouched.key))


@pytest.mark.parametrize("name", READS)
def test_a_wrong_query_is_named(untouched, name):
    key = {"X-API-Key": untouched.key}
    for field, kind in READS[name].fields.items():
        values = getattr(kind, "queries", ["1", "te%20st", "%01", "x" * 83, "", "%C3%A9", "a%0Ab"])
        for value in values:
            answer = untouched.http.raw("GET", f"/{name}?{field}={value}", None, key)
            assert_refused(answer, INVALID, field, value)
    for query in (
        "limit=1&limit=1",
        "limit=%",
        "limit=%4",
        "limit=%zz",
        "limit=%00",
        "limit=%FF",
        "limit=%C0%80",
        "%FF=1",
        "after=1&%61fter=2",
        "&".join(f"x{i}=1" for i in range(100)),
    ):
        assert_refused(untouched.http.raw("GET", f"/{name}?{query}", None, key), INVALID, None, query)
    for query in ("", "&&", "colour=red", "limit=1&", "after=0", "%6Cimit=1"):
        assert untouched.http.raw("GET", f"/{name}?{query}", None, key).status == 200, query


def test_no_operation_of_this_name(untouched):
    key = {"X-API-Key": untouched.key}
    for path in (
        "/nope",
        "/",
        "/requestStack/",
        "//requestStack",
        "/RequestStack",
        "/requestStack%20",
        "/requestStack;x",
        "/request",
        "/requestStackx",
        "/../listStacks",
        "/%72equestStack",
        "/createProject",
        "/backup",
        "/%00",
        "/requestStack%00",
    ):
        for method in ("GET", "POST", "DELETE", "PROPFIND"):
            answer = untouched.http.raw(method, path, "{}" if method == "POST" else None, key)
            assert_refused(answer, (404, "unknown-operation"), None, (method, path))
    for name in (
        "nope",
        "",
        "RequestStack",
        "requestStack ",
        "requestStack\\u0000x",
        "/requestStack",
        "createProject",
        "backup",
        "x" * 5000,
        "\\u001b[31m",
    ):
        answer = envelope(untouched.nng.raw(message(name, b"{}", untouched.key)))
        assert answer.status in (404, 422), (name, answer)
        expected = BAD_JSON if "u0000" in name else (404, "unknown-operation")
        assert_refused(answer, expected, None, name)


def test_a_frame_that_is_no_message(untouched):
    for frame in (
        b"{}",
        b"",
        b" ",
        b'{"op":null}',
        b'{"op":5}',
        b'{"op":["requestStack"]}',
        b'{"op":"listStacks","auth":5}',
        b'{"op":"listStacks","auth":["x"]}',
    ):
        assert_refused(envelope(untouched.nng.raw(frame)), INVALID, None, frame)
    for frame in (
        b"\0",
        b"\xff" * 100,
        b"{",
        b'{"op":"listStacks","op":"listStacks"}',
        b"[" * 60000,
        b'{"op":"listStacks"}x',
    ):
        assert_refused(envelope(untouched.nng.raw(frame)), BAD_JSON, None, frame[:40])
    for frame in (b"[]", b'["listStacks"]'):
        assert_refused(envelope(untouched.nng.raw(frame)), INVALID, None, frame)


def test_no_body_is_an_empty_object(untouched):
    key = {"X-API-Key": untouched.key}
    for body in ("", " ", "\r\n\t ", "{}"):
        assert untouched.http.raw("POST", "/requestStack", body, key).code == "none-available"
        assert_refused(untouched.http.raw("POST", "/releaseStack", body, key), INVALID, "stackName", body)
    auth = b'"auth":"%s"' % untouched.key.encode()
    for frame in (b'{"op":"joinRequest",%s}' % auth, b'{"op":"joinRequest",%s,"body":null}' % auth):
        assert_refused(envelope(untouched.nng.raw(frame)), INVALID, "requestId", frame)


def test_a_problem_is_the_same_bytes_over_both_transports(untouched):
    for name, operation in ON_NETWORK.items():
        for field, kind in operation.fields.items():
            for value in kind.bad[:12]:
                body = body_of(untouched, operation, field, value)
                by_http, by_nng = (untouched.send(transport, name, body) for transport in ("http", "nng"))
                assert (by_http.status, by_http.text) == (by_nng.status, by_nng.text), (name, field, value)


def test_problems_say_what_they_are(untouched):
    answer = untouched.http.raw("POST", "/releaseStack", "{}", {"X-API-Key": untouched.key})
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.body == {
        "type": "urn:stack-orchestrator:problem:validation",
        "title": "A field is missing or wrong",
        "status": 400,
        "detail": "stackName is required",
        "code": "validation",
        "message": "stackName is required",
        "field": "stackName",
    }


def test_who_may_not_ask_is_not_told_what_is_wrong_with_the_question(untouched):
    for body in (b'{"branch":5}', b"{", b"[]", b'{"a":1,"a":2}'):
        answer = HttpClient(untouched.http.address).raw("POST", "/requestStack", body)
        assert (answer.status, answer.code) == (401, "unauthenticated"), body
        assert "branch" not in answer.text
