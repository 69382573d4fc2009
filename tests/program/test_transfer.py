"""`export` and `import`: the whole state from SQLite to PostgreSQL and back, after a disaster, and from the original's
table; and every file that is refused, with nothing done."""

import gzip
import json
import os
import pathlib
import signal
import stat
import subprocess
import tempfile
import threading
import time

import pytest
from programs import COORDINATOR, Coordinator, lasting, request_id

ENGINES = ("sqlite", "postgres")
NOBODY = 65534


def run(data, *words, status=0, **more):
    """A verb that needs no daemon."""
    done = subprocess.run(
        [COORDINATOR, "--data", data, *words], capture_output=True, text=True, timeout=60, check=False, **more
    )
    assert done.returncode == status, done
    return done.stdout if status == 0 else done.stderr


class Place:
    """Somewhere to keep rows: a data folder, and on PostgreSQL a database too."""

    def __init__(self, data, *options):
        self.data, self.options = data, options

    def export(self, path, **more):
        return run(self.data, "export", path, *self.options, **more)

    def take(self, path, *options, **more):
        return run(self.data, "import", path, *self.options, *options, **more)

    def lines(self, path):
        self.export(path)
        return path.read_text().splitlines()


@pytest.fixture
def place(tmp_path, request):
    """Makes empty ones."""
    made = []

    def maker(engine):
        data = tmp_path / f"place{len(made)}"
        options = ()
        if engine == "postgres":
            server = request.getfixturevalue("server")
            options = ("--store", server.url(server.database()))
        made.append(Place(data, *options))
        return made[-1]

    return maker


@pytest.fixture(params=ENGINES)
def engine(request):
    return request.param


@pytest.fixture
def serve(start):
    return lambda place: start(*place.options, data=place.data)


def ask(client, branch, seconds=300, **more):
    body = {"branch": branch, "requestId": request_id(), "leaseSeconds": seconds, **more}
    return body, client.call("requestStack", body)


def held(client, branch, **more):
    body, answer = ask(client, branch, **more)
    assert answer.status == 200, answer
    return body, answer.body


class Shop:
    """A coordinator's life so far: something in every state, of every kind, and what clients know of it."""

    def __init__(self, coordinator):
        self.key = coordinator.project("shop", "--max-stacks", "6", "--cleaning", "on", "--initial-commit", "abc")
        self.reader = json.loads(coordinator.admin("key", "create", "shop", "--scope", "read", "--json").stdout)["key"]
        revoked = json.loads(coordinator.admin("key", "create", "shop", "--label", "old ü", "--json").stdout)["keyId"]
        coordinator.admin("key", "revoke", "shop", revoked)
        coordinator.project("gone")
        coordinator.admin("project", "delete", "gone")
        self.mobile = coordinator.project("mobile", "--prefix", "e2e-", "--max-hold", "2h")
        client = coordinator.http(self.key)
        holder = {"job": 'e2e "1"', "link": "https://ci.example/1", "actor": "änne"}
        self.bound = held(client, "feat/ü'\"\\", holder=holder, commit="c0ffee")
        self.joined = held(client, "joined")
        client.call("joinRequest", {"requestId": self.joined[0]["requestId"], "holder": {"job": "second"}})
        _, dirty = held(client, "dirty")
        _, broken = held(client, "broken")
        client.call("releaseStack", {"stackName": dirty["stackName"], "lease": dirty["lease"]["secret"],
                                     "outcome": "dirty"})  # fmt: skip
        client.call("releaseStack", {"stackName": broken["stackName"], "lease": broken["lease"]["secret"],
                                     "outcome": "broken", "note": "a smell"})  # fmt: skip
        coordinator.admin("stack", "note", "shop", broken["stackName"], "fan is loud")
        _, deployed = held(client, "main")
        body = {"stackName": deployed["stackName"], "lastDeployedCommit": "d00d", "url": "https://test-5.example"}
        client.call("setLastDeployedCommit", {**body, "lease": deployed["lease"]["secret"]})
        self.over = {"stackName": deployed["stackName"], "lease": deployed["lease"]["secret"]}
        assert client.call("requestStack", {"branch": "plain"}).status == 200
        self.waiting = [ask(client, f"wait/{n}", ifNone="wait")[0] for n in range(3)]
        client.call("cancelRequest", {"requestId": request_id()})
        assert coordinator.http(self.mobile).call("requestStack", {"branch": "main"}).status == 200

    def seen(self, coordinator):
        """All that clients and people can list, but for what time moves."""
        client = coordinator.http(self.reader)
        answers = {name: client.call(name).body for name in ("listStacks", "listQueue", "listEvents")}
        answers["mobile"] = coordinator.http(self.mobile).call("listStacks").body
        answers["projects"] = json.loads(coordinator.admin("project", "list", "--json").stdout)
        answers["keys"] = json.loads(coordinator.admin("key", "list", "shop", "--json").stdout)
        for item in answers["listStacks"]["stacks"]:
            item.get("lease", {}).pop("expires", None)
        for item in answers["keys"]["keys"]:
            item.pop("lastUsed", None)
        return answers

    def goes_on(self, coordinator):
        """The same secrets, the same line, and generations that only grow."""
        client = coordinator.http(self.key)
        before = max(
            s["lease"]["generation"] for s in client.call("listStacks").body["stacks"] if s.get("lease") is not None
        )
        for body, answer in (self.bound, self.joined):
            assert client.call("renewLease", {"lease": answer["lease"]["secret"]}).status == 200
            again = client.call("requestStack", body)
            assert again.status == 200
            assert {**lasting(again), "reused": answer["reused"]} == {
                **answer,
                "lease": {k: v for k, v in answer["lease"].items() if not k.startswith("expires")},
            }
        assert client.call("releaseStack", self.over).status == 200
        served = [client.call("requestStack", body) for body in self.waiting]
        assert [a.status for a in served] == [200, 202, 202] and [a.body.get("position") for a in served[1:]] == [1, 2]
        assert served[0].body["lease"]["generation"] > before


def test_everything_goes_to_the_other_engine_and_back(tmp_path, place, serve):
    first = place("sqlite")
    coordinator = serve(first)
    shop = Shop(coordinator)
    seen = shop.seen(coordinator)
    coordinator.hang_up()
    assert coordinator.stop() == 0
    file = tmp_path / "0.jsonl"
    first.export(file)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    for number, engine in enumerate(("postgres", "sqlite"), 1):
        there = place(engine)
        assert "imported: 3 projects, 5 keys" in there.take(file)
        again = tmp_path / f"{number}.jsonl"
        there.export(again)
        assert again.read_bytes() == file.read_bytes()
        coordinator = serve(there)
        assert shop.seen(coordinator) == seen
        coordinator.hang_up()
        assert coordinator.stop() == 0
        file = again
    for engine in ENGINES:
        there = place(engine)
        there.take(file)
        coordinator = serve(there)
        shop.goes_on(coordinator)


def test_a_disaster_costs_the_time_since_the_export_alone(tmp_path, place, serve, engine):
    """Whoever got a stack after it has a generation that never comes again, and a secret that opens nothing."""
    first = place(engine)
    coordinator = serve(first)
    client = coordinator.http(coordinator.project("shop", "--max-stacks", "2"))
    kept = held(client, "kept")[1]
    first.export(tmp_path / "export")
    lost = held(client, "lost")[1]
    coordinator.hang_up()
    coordinator.kill()
    second = place(engine)
    second.take(tmp_path / "export")
    coordinator = serve(second)
    client = coordinator.http(client.key)
    assert client.call("renewLease", {"lease": kept["lease"]["secret"]}).status == 200
    assert client.call("renewLease", {"lease": lost["lease"]["secret"]}).status == 410
    assert held(client, "next")[1]["lease"]["generation"] > lost["lease"]["generation"]


def test_a_deleted_projects_generations_go_on_too(tmp_path, place, serve, engine):
    first = place("sqlite")
    coordinator = serve(first)
    held(coordinator.http(coordinator.project("shop")), "a")
    coordinator.admin("stack", "release", "shop", "test-1", "--now")
    operator = json.loads(coordinator.admin("key", "create", "shop", "--json").stdout)["key"]
    assert coordinator.http(operator).call("deleteLastStack").body == {"message": "Stack test-1 deleted"}
    coordinator.admin("project", "delete", "shop")
    coordinator.hang_up()
    assert coordinator.stop() == 0
    # As if it had been deleted in the future: the wall clock alone would not do.
    lines = first.lines(tmp_path / "export")
    project = json.loads(lines[1])
    project["lastGeneration"] = 2**52
    (tmp_path / "edited").write_text("\n".join([lines[0], json.dumps(project), *lines[2:]]) + "\n")
    second = place(engine)
    second.take(tmp_path / "edited")
    coordinator = serve(second)
    assert held(coordinator.http(coordinator.project("shop")), "a")[1]["lease"]["generation"] == 2**52 + 1


def test_nobodys_lease_ends_early(tmp_path, place, serve, engine):
    """It was granted for two seconds, and three are over before the next coordinator starts."""
    first = place("sqlite")
    coordinator = serve(first)
    client = coordinator.http(coordinator.project())
    lease = held(client, "a", seconds=2)[1]["lease"]["secret"]
    granted = time.monotonic()
    first.export(tmp_path / "export")
    coordinator.hang_up()
    coordinator.kill()
    copies = 0
    while time.monotonic() < granted + 3:
        first.export(tmp_path / f"again{copies}")
        copies += 1
    second = place(engine)
    second.take(tmp_path / "export")
    assert serve(second).http(client.key).call("renewLease", {"lease": lease}).status == 200


def test_who_waits_has_a_minute_from_the_start_on_postgres_too(tmp_path, place, serve, server):
    """Whoever does not renew loses his stack, the line moves on, and nobody is waited for for ever."""
    first, second = place("sqlite"), place("postgres")
    coordinator = serve(first)
    client = coordinator.http(coordinator.project("shop", "--max-stacks", "2", "--expiry-grace", "1"))
    kept = held(client, "kept")[1]
    held(client, "lost", seconds=2)
    waiting, _ = ask(client, "waiting", ifNone="wait")
    ask(client, "never comes back", ifNone="wait")
    coordinator.hang_up()
    coordinator.kill()
    first.export(tmp_path / "export")
    second.take(tmp_path / "export")
    coordinator = serve(second)
    client = coordinator.http(client.key)
    assert client.call("renewLease", {"lease": kept["lease"]["secret"]}).status == 200
    until = time.monotonic() + 30
    while (answer := client.call("requestStack", {**waiting, "waitSeconds": 5})).status == 202:
        assert time.monotonic() < until, "nobody saw that the lease was lost"
    assert answer.body["stackName"] == "test-2"
    assert client.call("renewLease", {"lease": kept["lease"]["secret"]}).status == 200
    # From the coordinator that serves, and not for ever: the one that brought him is gone.
    heard_here = (
        "SELECT count(*) FROM stack_coordinator.request r JOIN stack_coordinator.coordinator c ON c.id = r.heard_at "
        "WHERE r.branch = 'never comes back' AND r.state = 0 AND r.is_heard AND c.beats > 2"
    )
    until = time.monotonic() + 12
    while server.run(heard_here, second.options[1].rsplit("/", 1)[1]) != "1":
        assert time.monotonic() < until, "nobody took him over"


def test_an_export_beside_a_busy_daemon_is_of_one_moment(tmp_path, place, serve, engine):
    """An import checks what belongs together: counters and rows of different moments would not do."""
    busy = place(engine)
    coordinator = serve(busy)
    key = coordinator.project("shop", "--max-stacks", "3")
    is_over = threading.Event()

    def work():
        client = coordinator.http(key)
        while not is_over.is_set():
            answer = client.call("requestStack", {"branch": "b", "requestId": request_id(), "leaseSeconds": 300})
            if answer.status == 200:
                body = {"stackName": answer.body["stackName"], "lease": answer.body["lease"]["secret"]}
                assert client.call("releaseStack", body).status == 200

    workers = [threading.Thread(target=work) for _ in range(4)]
    for worker in workers:
        worker.start()
    try:
        for n in range(5):
            busy.export(tmp_path / f"{n}.jsonl")
    finally:
        is_over.set()
        for worker in workers:
            worker.join()
    assert not list(busy.data.glob("export-*"))
    for n in range(5):
        place("sqlite").take(tmp_path / f"{n}.jsonl")
    lengths = [len((tmp_path / f"{n}.jsonl").read_text().splitlines()) for n in range(5)]
    assert lengths == sorted(lengths) and lengths[0] < lengths[4]


# ---- what is refused ----


@pytest.fixture(scope="module")
def everything(tmp_path_factory):
    """An export of a shop."""
    folder = tmp_path_factory.mktemp("everything")
    coordinator = Coordinator(folder / "data").start()
    Shop(coordinator)
    run(coordinator.data, "export", folder / "exported")
    coordinator.hang_up()
    assert coordinator.stop() == 0
    return (folder / "exported").read_text()


@pytest.fixture
def exported(tmp_path, everything):
    (tmp_path / "exported").write_text(everything)
    return everything.splitlines(keepends=True)


def edited(line, **members):
    return json.dumps({**json.loads(line), **members}) + "\n"


def find(lines, kind, at=0):
    return [n for n, line in enumerate(lines) if f'"row":"{kind}"' in line][at]


def replaced(lines, kind, at=0, **members):
    n = find(lines, kind, at)
    return [*lines[:n], edited(lines[n], **members), *lines[n + 1 :]]


def swapped(lines, kind):
    n = find(lines, kind)
    return [*lines[:n], lines[n + 1], lines[n], *lines[n + 2 :]]


def edited_where(lines, kind, is_meant, **members):
    n = next(n for n in range(len(lines)) if f'"row":"{kind}"' in lines[n] and is_meant(json.loads(lines[n])))
    return [*lines[:n], edited(lines[n], **members), *lines[n + 1 :]]


def is_bound(row):
    return row["ticket"] != 0 and row["leaseSeconds"] > 0


def edited_leased(lines, **members):
    return edited_where(lines, "stack", is_bound, **members)


def edited_live(lines, **members):
    return edited_where(lines, "request", lambda row: row["state"] == "live", **members)


def freed(lines):
    """By an admin with an editor, who thought of the counts too."""
    at = next(n for n, line in enumerate(lines) if '"row":"stack"' in line and is_bound(json.loads(line)))
    name = json.loads(lines[at])["project"]
    count = next(json.loads(line)["leasedCount"] for line in lines if f'"row":"project","project":"{name}"' in line)
    lines = edited_where(lines, "project", lambda row: row["project"] == name, leasedCount=count - 1)
    return edited_where(lines, "stack", is_bound, state="available", ticket=0, generation=0, leaseSeconds=0)


def without_live_request(lines):
    """And with the count of what is left."""
    at = next(n for n, line in enumerate(lines) if '"row":"request"' in line and json.loads(line)["state"] == "live")
    requests = json.loads(lines[-1])["requests"]
    return [*lines[:at], *lines[at + 1 : -1], edited(lines[-1], requests=requests - 1)]


WRONG = {
    "empty": (lambda x: [], "line 1: the file is empty"),
    "something else": (lambda x: ['{"a":1}\n'], "line 1: this is no export of stack-coordinator"),
    "no JSON": (lambda x: ["SQLite format 3\0\n"], "line 1:"),
    "a newer version": (lambda x: [edited(x[0], version=2), *x[1:]], "version 2 of the format, written by stack-coord"),
    "cut between lines": (lambda x: x[:-1], "the last line is missing: the file was cut off"),
    "cut within a line": (lambda x: [*x[:-3], x[-3][:40]], f"line {{{-2}}}:"),
    "a line less": (lambda x: [*x[:-2], x[-1]], "lines are missing"),
    "a line more": (lambda x: [*x, x[-1]], "something follows the last line"),
    "a line twice": (lambda x: [*x[:2], x[1], *x[2:]], "line 3: the row is there twice, or not in its place"),
    "an order of its own": (lambda x: swapped(x, "stack"), "the row is there twice, or not in its place"),
    "a member nobody knows": (lambda x: replaced(x, "stack", colour="red"), "colour is not a known field"),
    "a wrong type": (lambda x: replaced(x, "key", createdMs="today"), "createdMs must be a whole number"),
    "no such state": (lambda x: replaced(x, "stack", state="gone"), "state must be one of: available, leased,"),
    "no such row": (lambda x: replaced(x, "stack", row="stock"), "row must be one of: project, key,"),
    "half a hash": (lambda x: replaced(x, "key", hash="00"), "hash must be 64 hexadecimal digits"),
    "a holder that is no object": (lambda x: replaced(x, "stack", holder="[]"), "holder must be a JSON object"),
    "a name that is none": (lambda x: replaced(x, "project", project="Shop"), "project must be 1 to 63 of a-z"),
    "a stack of nobody's": (lambda x: replaced(x, "stack", -1, project="zoo"), "there is no project zoo"),
    "a stack of another number": (lambda x: replaced(x, "stack", stackName="test-9"), "does not end in the stack's"),
    "a generation to come": (lambda x: replaced(x, "stack", generation=2**53 - 1), "is past the project's lastGen"),
    "a ticket to come": (lambda x: replaced(x, "request", -1, ticket=10**6), "is past the project's lastTicket"),
    "an event to come": (lambda x: replaced(x, "event", -1, id=10**6), "is past the project's lastEvent"),
    "fewer stacks": (lambda x: replaced(x, "project", -1, stackCount=1), "its stackCount is 1, and there are 6"),
    "more of them leased": (lambda x: replaced(x, "project", -1, leasedCount=5), "leasedCount is 5, and there are 4"),
    "fewer that wait": (lambda x: replaced(x, "project", -1, queuedCount=1), "its queuedCount is 1, and there are 3"),
    "a lease cut out of its stack": (lambda x: edited_leased(x, state="available"), "state available does not go with"),
    "a stack freed under its lease": (freed, "the request is live, and no stack has its ticket"),
    "a lease without its request": (without_live_request, "and no request has it"),
    "a request of another stack": (lambda x: edited_live(x, stackNumber=99), "the request's stack is 99"),
    "a request over, its stack leased": (lambda x: edited_live(x, state="over"), "the request is over, and stack"),
    "numbers that would be passed over": (lambda x: replaced(x, "project", -1, firstUnused=50), "firstUnused is 50"),
    "a long line": (lambda x: replaced(x, "stack", note="x" * 300000), "it is longer than any row is"),
    "a key of two projects": (
        lambda x: replaced(x, "key", -1, id=json.loads(x[find(x, "key")])["id"]),
        "nothing was imported",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_file_is_refused_with_its_line_and_nothing_is_done(tmp_path, place, exported, case):
    change, words = WRONG[case]
    wrong = tmp_path / "wrong"
    lines = change(exported)
    wrong.write_text("".join(lines))
    if words.startswith("line {"):
        words = f"line {len(lines)}:"
    for engine in ENGINES:
        there = place(engine)
        said = there.take(wrong, status=66 if case == "a key of two projects" else 64)
        assert words in said and "nothing was imported" in said, said
        there.take(tmp_path / "exported")  # it is empty still
        there.export(tmp_path / f"{engine}.again")
        assert (tmp_path / f"{engine}.again").read_text() == "".join(exported)


def test_a_store_that_is_in_use_or_has_something_takes_nothing(tmp_path, place, serve, exported, engine):
    there = place(engine)
    coordinator = serve(there)
    said = there.take(tmp_path / "exported", status=66)
    assert "stack-coordinator" in said and "stop it" in said and "no daemon uses" in said
    coordinator.project("mine")
    coordinator.hang_up()
    assert coordinator.stop() == 0
    before = there.lines(tmp_path / "before")
    assert "is not empty" in there.take(tmp_path / "exported", status=66)
    assert there.lines(tmp_path / "after") == before


def test_an_import_that_is_killed_leaves_nothing(tmp_path, place, exported, engine):
    there = place(engine)
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    importing = subprocess.Popen([COORDINATOR, "--data", there.data, "import", pipe, *there.options])
    with open(pipe, "w", encoding="utf-8") as file:
        many = exported[-2]
        event = json.loads(many)
        head = [edited(line, lastEvent=10**6) if '"row":"project"' in line else line for line in exported[:-1]]
        file.writelines(head)
        # More than a pipe and all buffers hold: so these are on their way into the store.
        file.writelines(edited(many, id=event["id"] + n) for n in range(1, 2000))
        file.flush()
        importing.send_signal(signal.SIGKILL)
        importing.wait()
    there.take(tmp_path / "exported")
    assert there.lines(tmp_path / "again") == "".join(exported).splitlines()


@pytest.fixture
def open_folder():
    """That others may pass through; pytest closes its own."""
    with tempfile.TemporaryDirectory() as folder:
        pathlib.Path(folder).chmod(0o711)
        yield pathlib.Path(folder)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be another user's")
@pytest.mark.parametrize("is_running", [False, True])
def test_root_is_the_daemons_user_in_the_daemons_folder(open_folder, is_running):
    """As under systemd: the folder is the service's, the backup's is root's."""
    served, taken, kept = open_folder / "served", open_folder / "taken", open_folder / "kept"
    # The leak sanitizer cannot look into a process that has changed its user.
    env = os.environ | {"ASAN_OPTIONS": f"{os.environ.get('ASAN_OPTIONS', '')}:detect_leaks=0"}
    for folder in (served, taken):
        folder.mkdir(0o750)
        os.chown(folder, NOBODY, NOBODY)
    kept.mkdir(0o700)
    as_nobody = {"user": NOBODY, "group": NOBODY, "extra_groups": []}
    coordinator = Coordinator(served, **as_nobody).start()
    coordinator.project("shop")
    (served / "export-killed").mkdir(0o700)  # of an export that was killed
    (served / "export-killed" / "stacks.db").touch()
    os.chown(served / "export-killed", NOBODY, NOBODY)
    if not is_running:
        coordinator.stop()
    run(served, "export", kept / "one.jsonl", env=env)
    if is_running:
        assert list(served.glob("export-*")) == []
        coordinator.stop()
    run(taken, "import", kept / "one.jsonl", env=env)
    assert {path.stat().st_uid for folder in (served, taken) for path in folder.iterdir()} == {NOBODY}
    assert (kept / "one.jsonl").stat().st_uid == 0
    again = Coordinator(taken, **as_nobody).start()
    assert "shop" in again.admin("project", "list").stdout
    assert again.stop() == 0


def test_files_are_neither_overwritten_nor_made_up(tmp_path, place, exported):
    there = place("sqlite")
    there.take(tmp_path / "exported")
    assert "File exists" in there.export(tmp_path / "exported", status=66)
    assert "No such file" in place("sqlite").take(tmp_path / "nothing", status=66)
    nowhere = place("sqlite")
    assert "there is no" in nowhere.export(tmp_path / "x", status=66)
    assert not nowhere.data.exists() and not (tmp_path / "x").exists()
    assert "--rename goes with --from-original" in nowhere.take(tmp_path / "exported", "--rename", "a=b", status=64)


def test_beside_a_daemon_on_postgres_the_data_folder_has_no_rows(tmp_path, serve, place):
    there = place("postgres")
    serve(there)
    assert "say with --data where it is, or with --store" in run(there.data, "export", tmp_path / "x", status=66)


# ---- the original's table ----

KEYS = {"web": "a1b2c3d4-key", "web-long": "a1b2c3d4-key-of-another", "Mobile App": "5ome 0ther".replace(" ", "-")}


def project(name, **more):
    return {"PK": "Project", "SK": KEYS[name], "projectName": name, "_et": "Project", **more}


def stack(name, stack_name, is_available, branch, modified, **more):
    return {
        "PK": "Stack",
        "SK": f"{KEYS[name]}#{stack_name}",
        "projectKey": KEYS[name],
        "stackName": stack_name,
        "isAvailable": is_available,
        "branch": branch,
        "_ct": "2022-03-04T14:19:54.448Z",
        "_md": modified,
        "_et": "Stack",
        **more,
    }


TABLE = [
    stack("web", "test-10", True, "feat/new", "2023-01-01T00:00:00.000Z", lastDeployedCommit="abc"),
    project("web"),
    stack("web", "test-2", True, "main", "2023-01-03T00:00:00.000Z"),
    stack("web", "test-1", False, "feat/busy", "2023-01-02T00:00:00.000Z"),
    project("web-long", prefix="e2e-", initialCommit="f1r57", _ct="2021-12-31T23:59:59Z"),
    stack("web-long", "e2e-1", True, "main", "2023-01-04T00:00:00.500Z"),
    project("Mobile App"),
]


def typed(item):
    return {name: {"BOOL": value} if isinstance(value, bool) else {"S": value} for name, value in item.items()}


def plain(item):
    """As the original answers it: its own names."""
    names = {"_ct": "created", "_md": "modified", "_et": "entity"}
    renamed = {names.get(name, name): value for name, value in item.items() if name not in ("PK", "SK")}
    return renamed | ({"projectKey": item["SK"]} if item["_et"] == "Project" else {})


def keyed(item):
    """By the table's own keys alone."""
    return {name: value for name, value in item.items() if name not in ("projectKey", "stackName", "_et")}


FORMS = {
    "scan": lambda items: json.dumps(
        {"Items": [typed(i) for i in items], "Count": len(items), "ScannedCount": len(items), "ConsumedCapacity": None},
        indent=4,
    ),
    "S3": lambda items: "".join(json.dumps({"Item": typed(i)}) + "\n" for i in items),
    "plain lines": lambda items: "".join(json.dumps(plain(i)) + "\n" for i in items),
    "plain list": lambda items: json.dumps([keyed(i) for i in items]),
}


@pytest.mark.parametrize("form", FORMS)
def test_the_originals_table_comes_along(tmp_path, place, serve, engine, form):
    table = tmp_path / "table"
    table.write_text(FORMS[form](TABLE))
    there = place(engine)
    assert "imported: 3 projects, 3 keys, 4 stacks" in there.take(
        table, "--from-original", "--rename", "Mobile App=mobile"
    )
    coordinator = serve(there)
    client = coordinator.http(KEYS["web"])
    stacks = client.call("listStacks").body["stacks"]
    assert [(s["stackName"], s["isAvailable"], s["branch"]) for s in stacks] == [
        ("test-1", False, "feat/busy"),
        ("test-2", True, "main"),
        ("test-10", True, "feat/new"),
    ]
    assert stacks[2]["lastDeployedCommit"] == "abc" and "lastDeployedCommit" not in stacks[1]
    assert (stacks[0]["created"], stacks[0]["modified"]) == ("2022-03-04T14:19:54.448Z", "2023-01-02T00:00:00.000Z")
    # Nobody's key opens another's project, though one begins with the other; and each finds its own.
    other = coordinator.http(KEYS["web-long"])
    assert [s["stackName"] for s in other.call("listStacks").body["stacks"]] == ["e2e-1"]
    assert other.call("requestStack", {"branch": "b"}).body == {
        "stackName": "e2e-1", "lastDeployedCommit": "f1r57", "reused": False
    }  # fmt: skip
    assert coordinator.http(KEYS["Mobile App"]).call("listStacks").body == {"stacks": []}
    # The busy one is its job's until somebody with the key releases it; the oldest of the others comes first.
    assert client.call("requestStack", {"branch": "feat/other"}).body["stackName"] == "test-10"
    assert client.call("requestStack", {"branch": "feat/more"}).body["stackName"] == "test-2"
    assert client.call("requestStack", {"branch": "feat/third"}).body["stackName"] == "test-3"
    assert client.call("releaseStack", {"stackName": "test-1"}).body == {"message": "Stack test-1 released"}
    got = held(client, "feat/busy")[1]
    assert (got["stackName"], got["reused"]) == ("test-1", True)
    assert "brought along" in coordinator.admin("history", "mobile").stdout
    coordinator.hang_up()
    assert coordinator.stop() == 0
    there.export(tmp_path / "export")
    kept = [tmp_path / "export", *[p for p in there.data.iterdir() if p.is_file()]]
    for key in KEYS.values():
        assert not any(key.encode() in path.read_bytes() for path in kept)
    place("sqlite").take(tmp_path / "export")


def without(item, *names):
    return {name: value for name, value in item.items() if name not in names}


WRONG_TABLES = {
    "cut": ('{"Items": [\n{"SK"', "line 1:"),
    "compressed": (gzip.compress(b"{}"), "gunzip it first"),
    "the first page": (json.dumps({"Items": [], "NextToken": "x"}), "first part of the table only"),
    "an item of no kind": ([{"a": 1}], "item 1 is neither a Project nor a Stack"),
    "no object": ("[1]", "item 1 is no JSON object"),
    "a name that is none": ([project("Mobile App")], '--rename "Mobile App=NEW"'),
    "a name twice": ([project("web"), {**project("web-long"), "projectName": "web"}], "two projects would be called"),
    "a project without a name": ([without(project("web"), "projectName")], "item 1, a project, has no projectName"),
    "a prefix that is none": ([project("web", prefix="1-")], "prefix must be a letter"),
    "a short key": ([{**project("web"), "SK": "short"}], "secret must be 8 to 200 bytes"),
    "a key like ours": ([{**project("web"), "SK": "sok_web_0_1"}], "is none of ours"),
    "a stack of no number": ([project("web"), stack("web", "test-x", True, "b", "2023-01-01T00:00:00.000Z")],
                             "does not end in a number"),
    "a number twice": ([project("web"), stack("web", "test-1", True, "b", "2023-01-01T00:00:00.000Z"),
                        stack("web", "old-1", True, "b", "2023-01-01T00:00:00.000Z")], "have the same number"),
    "a time that is none": ([project("web"), stack("web", "test-1", True, "b", "yesterday")], "is no time"),
    "a commit that is none": ([project("web"), stack("web", "test-1", True, "b", "2023-01-01T00:00:00.000Z",
                                                     lastDeployedCommit="a b")], "commit must be printable"),
    "neither here nor there": ([project("web"), stack("web", "test-1", "yes", "b", "2023-01-01T00:00:00.000Z")],
                               "isAvailable is neither true nor false"),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG_TABLES)
def test_a_wrong_table_is_refused_and_nothing_is_done(tmp_path, place, case):
    table, words = WRONG_TABLES[case]
    wrong = tmp_path / "wrong"
    if isinstance(table, bytes):
        wrong.write_bytes(table)
    else:
        wrong.write_text(table if isinstance(table, str) else json.dumps(table))
    there = place("sqlite")
    said = there.take(wrong, "--from-original", status=64)
    assert words in said and "nothing was imported" in said, said
    assert not any(key in said for key in KEYS.values())
    wrong.write_text(json.dumps([project("web")]))
    assert "imported: 1 project, 1 key, 0 stacks" in there.take(wrong, "--from-original")


def test_renames_are_looked_at(tmp_path, place):
    table = tmp_path / "table"
    table.write_text(json.dumps([project("web")]))
    there = place("sqlite")
    assert "must be OLD=NEW" in there.take(table, "--from-original", "--rename", "web", status=64)
    said = there.take(table, "--from-original", "--rename", "wep=web", status=64)
    assert "there is no such project in the file" in said
    there.take(table, "--from-original", "--rename", "web=shop")
    assert '"project":"shop"' in there.lines(tmp_path / "export")[1]


def test_stacks_of_projects_that_are_gone_are_left_out_and_told(tmp_path, place):
    table = tmp_path / "table"
    table.write_text(json.dumps([project("web"), *[i for i in TABLE if i["_et"] == "Stack"]]))
    there = place("sqlite")
    done = subprocess.run(
        [COORDINATOR, "--data", there.data, "import", table, "--from-original", "--json"],
        capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    assert json.loads(done.stdout) == {"projects": 1, "keys": 1, "stacks": 3, "requests": 0, "events": 1}
    assert "left out: 1 stacks of keys that no project has" in done.stderr
