"""The histories are worth something only if they find bugs: each of bugs/ is put into a copy of the sources, built, and
must be found out, by a rule of the checker or because somebody is not served. A patch that does not fit any more has to
be told again."""

import concurrent.futures
import dataclasses
import os
import pathlib
import shutil
import subprocess

import agents
import pytest
from run import HERE, ROOT, NotServed, Run, judge

TRIES = 6  # each longer than the one before: a busy machine shows less in the same time
TOGETHER = 3
WORK = pathlib.Path(os.environ.get("BUG_DIR", "build-bugs")).resolve()
KILLS = ("kill", "force")


@dataclasses.dataclass
class Bug:
    """What bugs/NAME.patch does shows under these deeds, in a sentence with these words."""

    deeds: tuple = ("force",)
    words: str = ""
    coordinators: int = 1  # several: on a PostgreSQL server
    target: str = "faulty-coordinator"


BUGS = {
    "answers-before-it-is-durable": Bug(KILLS),
    "does-not-sync": Bug(KILLS),
    "lets-leases-expire-without-looking-whether-they-were-renewed": Bug(words="no_lease_is_lost_early"),
    "takes-generations-from-the-clock-alone": Bug(("step", "step", "force"), "generation"),
    "does-not-serve-the-queue-on-restore": Bug(words="nobody serves"),
    "grants-again-when-it-is-asked-again": Bug(words="one_lease_for_each_request"),
    "grants-lost-stacks-at-once": Bug(words="a_lost_stack_rests"),
    "lets-old-leases-deploy": Bug(words="over"),
    "lets-old-leases-release": Bug(),
    "serves-the-youngest-first": Bug(words="who_waits_longest_is_served_first"),
    "renews-what-was-released": Bug(words="what_is_over_stays_over"),
    "forgets-who-holds-what-when-it-starts": Bug(("kill",), "nobody serves"),
    "believes-in-what-a-lost-job-left": Bug(words="a_grant_says_what_is_deployed"),
    "does-not-believe-in-renewals-elsewhere": Bug(words="no_lease_is_lost_early", coordinators=3),
    "renews-where-no-other-coordinator-sees-it": Bug(words="no_lease_is_lost_early", coordinators=3),
    "never-kills-a-command": Bug(("cut", "cut", "look"), "still worked", target="stack-agent"),
    "leaves-the-command-of-a-killed-agent": Bug(("kill_agent", "look", "look"), "still worked", target="stack-agent"),
}


def run_tool(argv):
    done = subprocess.run([str(a) for a in argv], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def build(*targets):
    run_tool(["cmake", "--build", WORK / "build", "--target", *targets])


def copy_sources():
    """With a build of their own; a bug compiles what it touches."""
    copy = WORK / "source"
    shutil.rmtree(copy, ignore_errors=True)
    ignored = shutil.ignore_patterns(".git", "build*", ".venv", ".cache", "__pycache__")
    # Younger than any object file that an interrupted run left.
    shutil.copytree(ROOT, copy, ignore=ignored, symlinks=True, copy_function=shutil.copyfile)
    run_tool(["cmake", "-B", WORK / "build", "-S", copy, "-G", "Ninja", "-DFAILPOINTS=ON"])
    build("faulty-coordinator", "stack-agent")
    return copy


def build_with(name, target, sources, program):
    patch = [
        "patch",
        "--batch",
        "--quiet",
        "--strip=1",
        "--fuzz=0",  # else it may land where it is no bug
        f"--directory={sources}",
        f"--input={HERE / 'bugs' / name}.patch",
    ]
    run_tool([*patch, "--forward", "--no-backup-if-mismatch"])
    build(target)
    shutil.copy2(WORK / "build/bin" / target, program)
    run_tool([*patch, "--reverse"])


def history(program, bug, folder, n, server):
    if bug.target == "stack-agent":
        # Long commands: most that lose their lease still work when its stack has rested.
        return agents.judge(agents.AgentRun(folder, f"bug/{n}", bug.deeds, program, lengths=(2 * agents.LONG,)))
    return judge(
        Run(
            folder,
            f"bug/{n}",
            deeds=bug.deeds,
            program=program,
            seconds=4 * (n + 1),
            coordinators=bug.coordinators,
            server=server if bug.coordinators > 1 else None,
        )
    )


def find_out(program, bug, folder, server):
    """The first sentence that tells it, and how many histories it took; or None."""
    for n in range(TRIES):
        (folder / str(n)).mkdir()
        try:
            found, _ = history(program, bug, folder / str(n), n, server)
        except NotServed as broken:
            found = [str(broken)]
        for sentence in found:
            if bug.words in sentence:
                return f"after {n + 1}: {sentence[:150]}"
    return None


@pytest.fixture(scope="module")
def findings(tmp_path_factory, server):
    """Built one after the other, tried some at once."""
    sources = copy_sources()
    futures = {}
    with concurrent.futures.ThreadPoolExecutor(TOGETHER) as pool:
        for n, (name, bug) in enumerate(BUGS.items()):
            program = WORK / f"bug-{n}"
            build_with(name, bug.target, sources, program)
            futures[name] = pool.submit(find_out, program, bug, tmp_path_factory.mktemp(f"bug-{n}"), server)
        yield futures


def test_every_patch_is_tried():
    assert {patch.stem for patch in (HERE / "bugs").iterdir()} == set(BUGS)


@pytest.mark.parametrize("bug", BUGS)
def test_a_program_is_found_out_that(findings, bug):
    finding = findings[bug].result()
    print(finding)
    assert finding is not None, f"{TRIES} histories found nothing wrong"
