"""The checker finds what it is for: for each rule histories that break it, and some that almost do."""

import pytest
from checker import NS, RULES, History, Op, violations

SECOND = NS


def at(seconds):
    return int(seconds * SECOND)


class Story:
    """Histories told in seconds; leases are 10 seconds long unless said otherwise."""

    def __init__(self):
        self.ops, self.events = [], []

    def op(self, name, who, begin, end, status=200, body=None, **sent):
        self.ops.append(Op(name, who, at(begin), at(end), status, body or {}, sent))
        return self

    def grant(self, who, begin, end, stack="test-1", generation=1, commit=None, left=10):
        lease = {"generation": generation, "secret": f"s{generation}", "expiresInSeconds": left}
        body = {"stackName": stack, "lease": lease} | ({"lastDeployedCommit": commit} if commit else {})
        self.events.append({"kind": "granted", "generation": generation, "stackName": stack})
        return self.op("request", who, begin, end, 200, body, leaseSeconds=10)

    def queued(self, who, begin, end):
        return self.op("request", who, begin, end, 202, {}, leaseSeconds=10)

    def renew(self, who, begin, end, left=10):
        return self.op("renew", who, begin, end, 200, {"expiresInSeconds": left})

    def lost(self, name, who, begin, end, why="expired"):
        return self.op(name, who, begin, end, 410, {"why": why})

    def deploy(self, who, begin, end, commit, generation=1, stack="test-1"):
        self.events.append({"kind": "deployed", "generation": generation, "stackName": stack})
        return self.op("deploy", who, begin, end, 200, {}, lastDeployedCommit=commit)

    def release(self, who, begin, end, generation=1, stack="test-1", outcome="ok"):
        self.events.append({"kind": "released", "generation": generation, "stackName": stack})
        return self.op("release", who, begin, end, 200, {}, outcome=outcome)

    def forget(self, kind, generation):
        self.events = [e for e in self.events if (e["kind"], e["generation"]) != (kind, generation)]
        return self

    def expired(self, generation, stack="test-1"):
        self.events.append({"kind": "expired", "generation": generation, "stackName": stack})
        return self

    def broken_rules(self):
        return {sentence.split(":")[0] for sentence in violations(History(self.ops, self.events, grace=5))}


def good():
    return (
        Story()
        .grant("a", 0, 1)
        .renew("a", 1, 1.5)
        .queued("b", 2, 3)
        .deploy("a", 4, 5, "c1")
        .release("a", 6, 7)
        .grant("b", 3, 7.5, generation=2, commit="c1")
        .renew("b", 8, 9)
    )


def test_a_good_history_breaks_no_rule():
    assert good().broken_rules() == set()


BAD = {
    "one_lease_for_each_request": [good().grant("b", 9, 10, "test-2", 3)],
    "generations_are_unique": [good().grant("c", 3, 8, "test-2", 2).forget("granted", 2)],
    "generations_grow_with_time": [Story().grant("b", 3, 4, "test-2", 1).grant("a", 0, 1, "test-1", 2)],
    "a_stack_has_one_holder": [
        Story().grant("a", 0, 1).renew("a", 1, 2).expired(1).grant("b", 2, 10.5, generation=2),
        Story().grant("a", 0, 1).renew("a", 1, 2).release("a", 6, 9).grant("b", 2, 5.9, generation=2),
    ],
    "a_lost_stack_rests": [Story().grant("a", 0, 1).renew("a", 1, 2).expired(1).grant("b", 2, 15.9, generation=2)],
    "no_lease_is_lost_early": [Story().grant("a", 0, 1).renew("a", 1, 2).expired(1).lost("renew", "a", 9, 10.9)],
    "what_is_over_stays_over": [
        good().renew("a", 7.5, 8),
        Story().grant("a", 0, 1).expired(1).lost("renew", "a", 20, 21).op("deploy", "a", 22, 23),
        Story().grant("a", 0, 1).expired(1).lost("release", "a", 20, 21).op("release", "a", 22, 23),
    ],
    "old_leases_are_fenced": [
        Story().grant("a", 0, 1).expired(1).grant("b", 20, 21, generation=2).op("deploy", "a", 22, 23),
    ],
    "who_waits_longest_is_served_first": [
        Story().queued("a", 0, 1).grant("b", 2, 3, generation=1).grant("a", 1, 4, "test-2", 2),
        Story().queued("a", 0, 1).grant("b", 2, 3, generation=1).queued("a", 4, 5),
    ],
    "every_acknowledged_effect_is_written_down": [
        good().forget("granted", 1),
        good().forget("released", 1),
        good().forget("deployed", 1),
    ],
    "what_is_written_down_makes_sense": [
        Story().grant("a", 0, 1).grant("b", 20, 21, generation=2),
        Story().grant("a", 3, 3.5, generation=2).grant("b", 3, 4, "test-2", 1),
    ],
    "a_grant_says_what_is_deployed": [
        Story().grant("a", 0, 1).deploy("a", 2, 3, "c1").release("a", 4, 5).grant("b", 6, 7, generation=2),
        Story().grant("a", 0, 1).release("a", 4, 5, outcome="dirty").grant("b", 6, 7, generation=2, commit="c0"),
    ],
}


def test_every_rule_is_tried():
    assert set(BAD) == {rule.__name__ for rule in RULES}


@pytest.mark.parametrize(("rule", "n"), [(rule, n) for rule, stories in BAD.items() for n in range(len(stories))])
def test_a_history_that_breaks_a_rule_is_found_out(rule, n):
    found = BAD[rule][n].broken_rules()
    assert rule in found, found


FINE = [
    # The holder of a lost lease stopped in time, and the stack rested.
    Story().grant("a", 0, 1).renew("a", 1, 2).expired(1).grant("b", 2, 16.5, generation=2),
    # Nobody knows whether the second request happened.
    Story().grant("a", 0, 1).op("request", "b", 2, 3, None, leaseSeconds=10).grant("b", 4, 5, "test-2", 2),
    # To release again, and to be told so.
    good().lost("renew", "a", 8, 8.5, "released").op("release", "a", 9, 10),
    # Whoever was not heard of for long is passed over.
    Story().queued("a", 0, 1).grant("b", 50, 51, generation=1).queued("a", 60, 61),
    # Whoever hung up is passed over too.
    Story().queued("a", 0, 1).op("request", "a", 1, 2, None).grant("b", 2, 3, generation=1).queued("a", 4, 5),
    # Lost by force before its time: the operator may.
    Story().grant("a", 0, 1).renew("a", 1, 2).lost("renew", "a", 3, 4, "forced"),
    # … and once its holder was told, the stack rests from then on.
    Story()
    .grant("a", 0, 1)
    .renew("a", 1, 2)
    .lost("renew", "a", 3, 4, "forced")
    .expired(1)
    .grant("b", 2, 8.5, generation=2),
]


@pytest.mark.parametrize("n", range(len(FINE)))
def test_what_is_allowed_is_not_found_fault_with(n):
    assert FINE[n].broken_rules() == set()
