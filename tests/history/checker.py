"""Judges what concurrent clients saw: a list of operations, each with when it was sent and answered, and the events
that the coordinator wrote down. Each rule is a function that yields sentences; none says that the history is right.

The order of generations is the order of grants, so no search for a linearization is needed: every check is a sweep. An
operation without an answer may have happened or not, at any time from its sending on (Herlihy and Wing,
"Linearizability", 1990, on pending operations); rules count only on what was acknowledged."""

import dataclasses

NS = 1_000_000_000
NEVER = 1 << 62
LIVE_SECONDS, COLLECT_SECONDS = 60, 20  # base/limits.h


@dataclasses.dataclass
class Op:
    """One operation of one client. Times are CLOCK_MONOTONIC in ns; `status` None: no answer came."""

    name: str  # request, renew, deploy, release, cancel
    id: str  # the requestId whose lease it is about
    begin: int
    end: int
    status: int | None = None
    body: dict = dataclasses.field(default_factory=dict)
    sent: dict = dataclasses.field(default_factory=dict)

    @property
    def is_done(self):
        return self.status == 200

    @property
    def is_lost(self):
        return self.status == 410


@dataclasses.dataclass
class Lease:
    """What the clients know of one requestId."""

    id: str
    ops: list
    speed: int

    def of(self, *names):
        return [op for op in self.ops if op.name in names]

    def __post_init__(self):
        self.ops.sort(key=lambda op: op.begin)
        requests = self.of("request")
        self.asked = min((op.begin for op in requests), default=NEVER)
        self.grants = [op for op in requests if op.is_done]
        self.is_granted = bool(self.grants)
        self.queued = min((op.end for op in requests if op.status == 202), default=NEVER)
        if self.is_granted:
            first = min(self.grants, key=lambda op: op.end)
            self.acked, self.stack = first.end, first.body["stackName"]
            self.generation = first.body["lease"]["generation"]
        self.collected = min((op.end for op in self.of("renew", "deploy") if op.is_done), default=NEVER)
        self.ending = min((op.begin for op in self.of("release", "cancel")), default=NEVER)
        self.told = min((op.end for op in self.ops if op.is_lost), default=NEVER)
        self.is_forced = False  # an operator ended it

    def promised(self, op):
        """Until when at least an answer promised the lease, by the clock of the one who asked."""
        left = op.body.get("lease", op.body).get("expiresInSeconds")
        return op.begin + left * NS // self.speed if op.is_done and left is not None else 0

    @property
    def held_until(self):
        """When its holder stops by himself: told, or because he gave it back, or because nothing promises him more."""
        until = max((self.promised(op) for op in self.ops), default=0)
        return min(until, self.ending, self.told, self.may_be_told)

    @property
    def may_be_told(self):
        """A stack taken by an operator rests from when its holder was told, even if that answer got lost."""
        return min((op.begin for op in self.ops if self.is_forced and op.status is None), default=NEVER)

    @property
    def is_silent(self):
        """Nobody tried to end it."""
        return self.ending == NEVER

    def __str__(self):
        return f"{self.stack}#{self.generation} ({self.id[:6]})" if self.is_granted else self.id[:6]


class History:
    """`speed`: the coordinator's seconds in one of the clients'. `grace`: its expiryGraceSeconds."""

    def __init__(self, ops, events=(), speed=1, grace=0):
        self.ops, self.events, self.speed, self.grace = list(ops), list(events), speed, grace
        by_id = {}
        for op in self.ops:
            by_id.setdefault(op.id, []).append(op)
        self.requests = [Lease(name, some, speed) for name, some in by_id.items()]
        self.leases = sorted((r for r in self.requests if r.is_granted), key=lambda r: r.generation)
        forced = {e.get("generation") for e in self.events if e["kind"] in ("forced", "quarantined")}
        for lease in self.leases:
            lease.is_forced = lease.generation in forced

    def by_stack(self):
        stacks = {}
        for lease in self.leases:
            stacks.setdefault(lease.stack, []).append(lease)
        return stacks


def one_lease_for_each_request(h):
    for r in h.requests:
        told = {(op.body["stackName"], op.body["lease"]["generation"], op.body["lease"]["secret"]) for op in r.grants}
        if len(told) > 1:
            yield f"request {r} was given more than one lease: {sorted(told)}"


def generations_are_unique(h):
    for one, other in zip(h.leases, h.leases[1:], strict=False):
        if one.generation == other.generation:
            yield f"{one} and {other} have the same generation"


def generations_grow_with_time(h):
    acked = sorted(h.leases, key=lambda lease: lease.acked)
    highest, at = None, 0
    for lease in sorted(h.leases, key=lambda lease: lease.asked):
        while at < len(acked) and acked[at].acked < lease.asked:
            highest = max(highest or acked[at], acked[at], key=lambda one: one.generation)
            at += 1
        if highest is not None and highest.generation >= lease.generation:
            yield f"{lease} was asked for after {highest} was acknowledged"


def a_stack_has_one_holder(h):
    """From the acknowledged grant until its holder stops by himself nobody else is told the stack's name."""
    for leases in h.by_stack().values():
        last = None
        for lease in leases:
            if last is not None and lease.acked < last.held_until:
                early = (last.held_until - lease.acked) / 1e6
                yield f"two holders: {lease} was granted {early:.1f} ms before the holder of {last} stops"
            if lease.collected != NEVER and (last is None or lease.held_until > last.held_until):
                last = lease


def a_lost_stack_rests(h):
    """After a loss nobody gets the stack for the grace, from the last promise on, or from when the holder was told."""
    for leases in h.by_stack().values():
        for before, after in zip(leases, leases[1:], strict=False):
            if before.collected == NEVER or not before.is_silent:
                continue
            promises = [before.promised(op) for op in before.ops]
            length = max(op.sent.get("leaseSeconds", 0) for op in before.of("request"))
            rest = min(h.grace, length) * NS // h.speed
            told = min((op.begin for op in before.ops if op.is_lost), default=NEVER)
            if after.acked < min(max(promises), told, before.may_be_told) + rest:
                yield f"{after} was granted before {before}, lost, had rested"


def no_lease_is_lost_early(h):
    for lease in h.leases:
        for op in lease.ops:
            if not (op.is_lost and op.body.get("why") == "expired"):
                continue
            promises = [lease.promised(r) for r in lease.of("renew") if r.end <= op.begin]
            if max(promises, default=0) > op.end:
                yield f"{lease} was lost {(max(promises) - op.end) / 1e6:.1f} ms before its time"


def repeats_a_release(lease, op):
    """An earlier one took effect or may have: the first counts, the others hear the same."""
    return op.name == "release" and any(
        first.begin < op.begin and first.status in (200, None) for first in lease.of("release")
    )


def what_is_over_stays_over(h):
    """After the first word that a lease is over nothing succeeds with it."""
    for lease in h.requests:
        released = min((op.end for op in lease.of("release", "cancel") if op.is_done), default=NEVER)
        over = min(released, lease.told)
        for op in lease.ops:
            if op.is_done and op.begin > over and op.name != "cancel" and not repeats_a_release(lease, op):
                yield f"{op.name} succeeded on {lease}, which was over"


def old_leases_are_fenced(h):
    """Once somebody else was acknowledged on the stack, nothing succeeds with an older lease."""
    for leases in h.by_stack().values():
        for at, lease in enumerate(leases):
            newer = min((other.acked for other in leases[at + 1 :]), default=NEVER)
            for op in lease.of("renew", "deploy", "release"):
                if op.is_done and op.begin > newer and not repeats_a_release(lease, op):
                    yield f"{op.name} succeeded with {lease} after the stack was somebody else's"


def is_live_until(h, request, until):
    """Whether it polled without a gap and without a fault from its first place in the queue to `until`. A gap may be
    half of what makes a request unheard of or a grant uncollected; a client that was stopped read its answer late."""
    window = min(LIVE_SECONDS, COLLECT_SECONDS) * NS // h.speed // 2
    at = request.queued
    for op in request.of("request"):
        if op.end <= request.queued:
            continue
        if op.begin >= until:
            break
        longest = op.sent.get("waitSeconds", 0) * NS // h.speed + window
        if op.status is None or op.begin - at > window or op.end - op.begin > longest:
            return False
        if op.status in (200, 202):
            at = op.end
    return until - at <= window


def who_waits_longest_is_served_first(h):
    waiting = sorted((r for r in h.requests if r.queued != NEVER), key=lambda r: r.queued)
    for younger in h.leases:
        for elder in waiting:
            if elder.queued >= younger.asked:
                break
            if elder.id == younger.id:
                continue
            last_wait = max(op.begin for op in elder.of("request") if op.status == 202)
            is_passed = younger.generation < elder.generation if elder.is_granted else younger.acked < last_wait
            until = elder.acked if elder.is_granted else last_wait
            if is_passed and is_live_until(h, elder, until):
                yield f"{younger}, asked for later, was served before {elder}"


ENDS = {"released", "expired", "forced", "cancelled", "uncollected"}


def every_acknowledged_effect_is_written_down(h):
    """Once, in the history that the coordinator keeps."""
    counts = {}
    for event in h.events:
        key = (event["kind"], event.get("generation"))
        counts[key] = counts.get(key, 0) + 1
    for lease in h.leases if h.events else ():
        grants = counts.get(("granted", lease.generation), 0)
        ends = sum(counts.get((kind, lease.generation), 0) for kind in ENDS)
        deploys = sum(op.is_done for op in lease.of("deploy"))
        if grants != 1:
            yield f"history has {grants} grants of {lease}"
        if ends != 1 and any(op.is_done for op in lease.of("release")):
            yield f"history has {ends} ends of {lease}, whose release was acknowledged"
        if counts.get(("deployed", lease.generation), 0) < deploys:
            yield f"history has fewer than {deploys} deploys of {lease}"


def what_is_written_down_makes_sense(h):
    """Generations grow, and of each stack grants alternate with ends."""
    holder, last = {}, 0
    for event in h.events:
        stack, generation = event.get("stackName"), event.get("generation")
        if event["kind"] == "granted":
            if generation <= last:
                yield f"history grants generation {generation} after {last}"
            if holder.get(stack) is not None:
                yield f"history grants {stack} to {generation} while {holder[stack]} has it"
            last = holder[stack] = generation
        elif event["kind"] in ENDS and generation is not None and stack is not None:
            if holder.get(stack) != generation:
                yield f"history ends {stack}#{generation} while {holder.get(stack)} has it"
            holder[stack] = None


def a_grant_says_what_is_deployed(h):
    """lastDeployedCommit is the last acknowledged deploy after a clean release, and unknown after a dirty one."""
    granted = {}
    for event in h.events:
        if event["kind"] == "granted":
            granted.setdefault(event["stackName"], []).append(event["generation"])
    for leases in h.by_stack().values():
        for before, after in zip(leases, leases[1:], strict=False):
            generations = granted.get(before.stack, [])
            are_neighbours = before.generation in generations and generations.index(before.generation) + 1 < len(
                generations
            ) and generations[generations.index(before.generation) + 1] == after.generation  # fmt: skip
            releases, deploys = before.of("release"), before.of("deploy")
            are_certain = releases and all(op.is_done for op in releases[:1] + deploys) and not before.of("cancel")
            answer = min(after.grants, key=lambda op: op.end)
            is_own = any(op.begin < answer.end for op in after.of("deploy"))
            if not are_neighbours or not are_certain or is_own:
                continue
            told = answer.body.get("lastDeployedCommit")
            if releases[0].sent["outcome"] == "dirty" and told is not None:
                yield f"{after} was told {told}, after {before} was released dirty"
            elif releases[0].sent["outcome"] == "ok" and deploys and told != deploys[-1].sent["lastDeployedCommit"]:
                yield f"{after} was told {told}, not {deploys[-1].sent['lastDeployedCommit']} as {before} deployed"


RULES = (
    one_lease_for_each_request,
    generations_are_unique,
    generations_grow_with_time,
    a_stack_has_one_holder,
    a_lost_stack_rests,
    no_lease_is_lost_early,
    what_is_over_stays_over,
    old_leases_are_fenced,
    who_waits_longest_is_served_first,
    every_acknowledged_effect_is_written_down,
    what_is_written_down_makes_sense,
    a_grant_says_what_is_deployed,
)


def violations(history):
    return [f"{rule.__name__}: {sentence}" for rule in RULES for sentence in rule(history)]
