"""The real agent's jobs under faults, judged by agents.py."""

import concurrent.futures

import pytest
from agents import COMMANDS_MIN, AgentRun, judge, meetings
from test_history import SEED

# Every start of a coordinator begins the leases of the dead anew: it has to live for a while.
QUIET = ("look",) * 5
MIXES = {
    "kills": ("kill", "kill_agent", "force", *QUIET),
    "pauses": ("pause", "stop_agent", "force", *QUIET),
    "cuts": ("cut", "cut", "stop_agent", *QUIET),
    "everything": ("kill", "drain", "pause", "step", "cut", "kill_agent", "stop_agent", "force", *QUIET),
}


@pytest.fixture(scope="module")
def histories(tmp_path_factory):
    """All at once: they mostly wait."""
    folders = {mix: tmp_path_factory.mktemp(mix) for mix in MIXES}

    def make(mix):
        run = AgentRun(folders[mix], f"{SEED}/agents/{mix}", MIXES[mix])
        return run, *judge(run)

    with concurrent.futures.ThreadPoolExecutor(len(MIXES)) as pool:
        yield {mix: pool.submit(make, mix) for mix in MIXES}


@pytest.mark.parametrize("mix", MIXES)
def test_two_commands_never_work_on_one_stack(histories, mix):
    run, found, commands = histories[mix].result()
    ends = sorted(status for job in run.actors for status, _ in job.said)
    print(f"{mix}: {len(commands)} commands, ends of agents: {ends}")
    assert not found, f"HISTORY_SEED={SEED}: {found}"
    assert len(commands) >= COMMANDS_MIN


def test_the_judge_sees_what_must_not_be():
    first, second = ("test-1", 5, 100, 200), ("test-1", 6, 201, 300)
    granted = {first[:2], second[:2]}
    assert meetings([second, first, ("test-2", 5, 150, 250)], granted | {("test-2", 5)}) == []
    assert meetings([first, ("test-1", 6, 200, 300)], granted)
    assert meetings([first, ("test-1", 5, 300, 400)], granted)
    assert meetings([first, second], {first[:2]})
