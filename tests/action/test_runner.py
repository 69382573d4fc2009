"""The emulation itself: the runner's grammar of files and commands, as its sources have it."""

import pytest
from worker import FileError, read_command, read_entries, read_path

FILES = [
    ("", {}),
    ("a=b\n", {"a": "b"}),
    ("a=b", {"a": "b"}),
    ("a=\n", {"a": ""}),
    (" a = b \n", {" a ": " b "}),
    ("a=b=c<<d\n", {"a": "b=c<<d"}),
    ("\n\na=b\n\n", {"a": "b"}),
    ("a=1\na=2\n", {"a": "2"}),
    ("a<<E\nx\ny\nE\n", {"a": "x\ny"}),
    ("a<<E\nE\n", {"a": ""}),
    ("a<<E\n\nE\n", {"a": ""}),
    ("a<<E\n\n\nE\n", {"a": "\n"}),
    ("a<<E\nx\nE", {"a": "x"}),
    ("a<<E\nb=c\nE\nd=e\n", {"a": "b=c", "d": "e"}),
    ("a<<E\nx E\nE \nE\n", {"a": "x E\nE "}),
    ("a<<E\nx\r\nE\n", {"a": "x\r"}),
    ("a<<b=c\nx\nb=c\n", {"a": "x"}),
]
BROKEN = ["a", "=b\n", "<<E\nx\nE\n", "a<<\nx\n\n", "a<<E\nx\n", "a<<E\nx"]
COMMANDS = [
    ("plain", None),
    ("::error::x", ("error", {}, "x")),
    ("   ::error::x", ("error", {}, "x")),
    ("a ::error::x", None),
    ("::nothing::x", None),
    ("::error x", None),
    ("::error title=a%3Ab%2Cc,line=1::x%0Ay%25", ("error", {"title": "a:b,c", "line": "1"}, "x\ny%")),
    ("a ##[error]x", ("error", {}, "x")),
    ("##[add-mask]x", ("add-mask", {}, "x")),
    ("##[nothing]x", None),
    ("##\\x5berror]x", None),
]


@pytest.mark.parametrize(("text", "entries"), FILES)
def test_files(text, entries):
    assert read_entries(text) == entries


@pytest.mark.parametrize("text", BROKEN)
def test_files_that_fail_the_step(text):
    with pytest.raises(FileError):
        read_entries(text)


def test_the_path():
    assert read_path("/a b\n\n/c\u2028d\r\n/e") == ["/a b", "/c\u2028d", "/e"]


@pytest.mark.parametrize(("line", "command"), COMMANDS)
def test_commands(line, command):
    assert read_command(line) == command
