"""`stack-agent changed`: what differs from what is on the stack, in clones as CI systems make them."""

import http.server
import json
import subprocess
import threading

import pytest
from jobs import Job, head
from programs import AGENT, git


@pytest.fixture
def origin(tmp_path):
    """web/ and docs/, three commits on main; any commit may be fetched, as on the great forges."""
    folder = tmp_path / "upstream"
    git("init", "-q", "-b", "main", folder)
    git("config", "uploadpack.allowAnySHA1InWant", "true", cwd=folder)
    for number in range(3):
        for name in ("web/page", "docs/text"):
            (folder / name).parent.mkdir(exist_ok=True)
        (folder / "web/page").write_text(f"{number}\n")
        (folder / "docs/text").write_text("the same\n" if number < 2 else "another\n")
        git("add", ".", cwd=folder)
        git("commit", "-q", "-m", str(number), cwd=folder)
    return folder


def cloned(origin, folder, *words):
    git("clone", "-q", *words, f"file://{origin}", folder)
    return folder


def on_stack(job, commit):
    """A lease whose stack has that commit."""
    job.succeeds("request")
    job.succeeds("deployed", "--commit", commit)


def asked(job, *words, **env):
    done = job("changed", "--json", *words, **env)
    return done.returncode, json.loads(done.stdout)


def test_head_is_on_the_stack(job):
    on_stack(job, head(job.worktree))
    assert job("changed").returncode == 1
    status, said = asked(job)
    assert status == 1 and said["changed"] is False and said["files"] == []


def test_what_differs_is_named_and_limited_to_paths(project, tmp_path, origin):
    clone = cloned(origin, tmp_path / "clone")
    job = Job(project, tmp_path, clone)
    on_stack(job, git("rev-parse", "HEAD~1", cwd=clone))
    status, said = asked(job)
    assert status == 0 and said["files"] == ["docs/text", "web/page"] and said["fileCount"] == 2
    assert asked(job, "--paths", "docs")[1]["files"] == ["docs/text"]
    assert asked(job, "--paths", "**", "--paths", "!docs")[1]["files"] == ["web/page"]
    assert asked(job, STACK_AGENT_PATHS="src web/**")[1]["files"] == ["web/page"]
    assert asked(job, "--paths", "src")[0] == 1
    assert job("changed", "--paths", "x" * 2000).returncode == 64
    refused = job("changed", "--paths", "src/{a,b}")
    assert refused.returncode == 64 and "one pattern a line" in refused.stderr


@pytest.mark.parametrize("paths", ["lib/**", "lib/src/*.c", "lib", "."])
def test_a_submodule_and_a_link_stand_for_what_is_behind_them(project, tmp_path, origin, paths):
    for number, make in enumerate((submodule, link)):
        clone = cloned(origin, tmp_path / f"clone{number}")
        job = Job(project, tmp_path / f"job{number}", clone)
        make(clone, 1)
        on_stack(job, head(clone))
        make(clone, 2)
        assert asked(job, "--paths", paths)[1]["files"] == ["lib"]
        assert asked(job, "--paths", "web/**")[0] == 1
        job.succeeds("release")


def submodule(clone, number):
    git("update-index", "--add", "--cacheinfo", f"160000,{number:040},lib", cwd=clone)
    git("commit", "-q", "-m", "submodule", cwd=clone)


def link(clone, number):
    (clone / "lib").unlink(missing_ok=True)
    (clone / "lib").symlink_to(f"lib-{number}")
    git("add", "lib", cwd=clone)
    git("commit", "-q", "-m", "link", cwd=clone)


def test_only_trees_count(project, tmp_path, origin):
    """A rebased branch, an empty commit: another commit, the same content."""
    clone = cloned(origin, tmp_path / "clone")
    job = Job(project, tmp_path, clone)
    on_stack(job, head(clone))
    git("commit", "-q", "--allow-empty", "--amend", "-m", "other words", cwd=clone)
    assert asked(job)[0] == 1


@pytest.mark.parametrize("depth", [["--depth=1"], ["--depth=1", "--filter=blob:none"], []], ids=str)
def test_a_commit_that_the_clone_lacks_is_fetched(project, tmp_path, origin, depth):
    clone = cloned(origin, tmp_path / "clone", *depth)
    job = Job(project, tmp_path, clone)
    first = git("rev-parse", "HEAD~2", cwd=origin)
    if not depth:  # a complete clone lacks only what is on no branch of it
        git("checkout", "-q", "--detach", first, cwd=origin)
        first = commit_file(origin, "web/page", "a dropped one\n")
        git("checkout", "-q", "main", cwd=origin)
    on_stack(job, first)
    status, said = asked(job)
    assert status == 0 and "web/page" in said["files"], said
    shallow = git("rev-parse", "--is-shallow-repository", cwd=clone)
    assert shallow == ("true" if depth else "false"), "a complete clone stays complete"
    assert head(clone) == head(origin) and git("status", "--porcelain", cwd=clone) == ""


def commit_file(folder, name, text):
    (folder / name).write_text(text)
    git("commit", "-q", "-a", "-m", text.strip(), cwd=folder)
    return head(folder)


def test_the_fetch_uses_what_the_checkout_left_and_not_our_key(project, tmp_path, origin):
    """Git's own configuration decides how to reach the remote; here a command that tells what it was given."""
    clone = cloned(origin, tmp_path / "clone", "--depth=1")
    seen = tmp_path / "seen"
    ssh = tmp_path / "ssh"
    ssh.write_text(f'#!/bin/sh\nenv >"{seen}"\nshift\nexec sh -c "$*"\n')
    ssh.chmod(0o755)
    git("config", "core.sshCommand", str(ssh), cwd=clone)
    git("remote", "set-url", "origin", f"ssh://somewhere{origin}", cwd=clone)
    job = Job(project, tmp_path, clone)
    on_stack(job, git("rev-parse", "HEAD~2", cwd=origin))
    assert asked(job)[0] == 0
    assert seen.exists() and project.key not in seen.read_text()


class Locked(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(401)
        self.send_header("WWW-Authenticate", 'Basic realm="git"')
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *words):
        pass


def test_a_token_in_a_remotes_url_is_not_repeated(project, tmp_path, origin):
    clone = cloned(origin, tmp_path / "clone")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Locked) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        place = f"127.0.0.1:{server.server_address[1]}/x.git"
        git("remote", "set-url", "origin", f"http://t0ken@{place}", cwd=clone)
        job = Job(project, tmp_path, clone)
        on_stack(job, "a" * 40)
        done = job("changed", "--json")
        server.shutdown()
    assert done.returncode == 0 and place.split("/", maxsplit=1)[0] in done.stderr, done.stderr
    assert "t0ken" not in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("what", "reason"),
    [
        ("a" * 40, "cannot be fetched"),
        ("abcdef0", "too short to be fetched"),
        ("v1.2", "not both hashes"),
        ("--upload-pack=x", "not both hashes"),
    ],
)
def test_what_cannot_be_found_counts_as_changed(project, tmp_path, origin, what, reason):
    job = Job(project, tmp_path, cloned(origin, tmp_path / "clone", "--depth=1"))
    job.succeeds("request")
    job.succeeds("deployed", f"--commit={what}")
    status, said = asked(job)
    assert status == 0 and said["changed"] is True and reason in said["reason"]
    assert "cannot be read" not in said["reason"], "one reason, and the right one"


def test_no_remote_no_git_no_checkout(project, tmp_path, origin):
    clone = cloned(origin, tmp_path / "clone", "--depth=1")
    job = Job(project, tmp_path, clone)
    on_stack(job, git("rev-parse", "HEAD~2", cwd=origin))
    assert "git is not installed" in asked(job, PATH="/nowhere")[1]["reason"]
    git("remote", "remove", "origin", cwd=clone)
    assert "no remote" in asked(job)[1]["reason"]
    empty = tmp_path / "empty"
    empty.mkdir()
    elsewhere = subprocess.run(  # noqa: PLW1510
        [AGENT, "changed", "--worktree", str(empty)], env=job.env, cwd=empty, capture_output=True, text=True, timeout=60
    )
    assert elsewhere.returncode == 0 and "no checkout" in elsewhere.stderr


def test_a_stack_whose_content_is_not_known(job):
    job.succeeds("request")
    status, said = asked(job)
    assert status == 0 and "not known" in said["reason"]


def test_without_a_stack_it_is_changed_and_with_two_a_name_is_wanted(job):
    assert "no stack" in job.succeeds("changed").stderr
    job.succeeds("request")
    job.succeeds("deployed")
    job.succeeds("request")
    assert job("changed").returncode == 64
    assert job("changed", "test-1").returncode == 1
    assert job("changed", "test-2").returncode == 0


def test_names_of_files_stay_one_line_each(project, tmp_path, origin):
    clone = cloned(origin, tmp_path / "clone")
    job = Job(project, tmp_path, clone)
    on_stack(job, head(clone))
    names = [b"a\nb", b"::error::x", b"\xff", b'q"q', "\u202eevil".encode(), b"##[group]", "é".encode(), b"-x"]
    for name in names:
        (clone / name.decode(errors="surrogateescape")).write_text("x")
    git("add", ".", cwd=clone)
    git("commit", "-q", "-m", "names", cwd=clone)
    done = job("changed", "--json")
    said = json.loads(done.stdout)
    assert done.returncode == 0 and said["fileCount"] == len(names)
    assert set(said["files"]) == {
        '"a\\nb"'.replace("\\n", "\\012"), "::error::x", '"\\377"', '"q\\"q"', '"\\342\\200\\256evil"', "##[group]",
        "é", "-x",
    }  # fmt: skip
    assert len(done.stderr.splitlines()) == 1 and "##[" not in done.stderr
