# SPDX-License-Identifier: GPL-2.0-only
"""``s2fuzz convert``: both directions, standard input and output, one line for each refused input."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from fuzz.command_line import cli
from fuzz.language.binary import decode, encode
from fuzz.language.forms import FORMS
from fuzz.language.text import MAX_FILE_SIZE, parse, print_program

from ..console import refused
from .calls import Call, write

ROOT = Path(__file__).parents[3]
TEXT = b"# why\n\ns2fuzz 1 # one\nvm cpus=2\nslot a size=4M backing=thp\ncpu0 read a+0x1000\n"
CANONICAL = b"s2fuzz 1\nvm\nslot a ipa=1G size=4M backing=thp\ncpu0 read a+4K\n"
BINARY = encode(parse(TEXT))


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def convert(capsysbinary: pytest.CaptureFixture[bytes], data: bytes, *arguments: str) -> tuple[int, bytes, str]:
    """Convert a file with this content; return exit code, stdout, stderr."""
    Path("x").write_bytes(data)
    code = cli.main(["convert", "x", *arguments])
    captured = capsysbinary.readouterr()
    return code, captured.out, captured.err.decode()


@pytest.mark.parametrize(
    ("data", "arguments", "answer"),
    [
        (TEXT, (), BINARY),
        (TEXT, ("--to", "binary"), BINARY),
        (TEXT, ("--to", "text"), CANONICAL),
        (BINARY, (), CANONICAL),
        (BINARY, ("--to", "text"), CANONICAL),
        (b"", (), print_program(decode(b"")).encode()),
        (b"s2fuzzy", (), print_program(decode(b"s2fuzzy")).encode()),
        (b"\xff" * 999, (), print_program(decode(b"\xff" * 999)).encode()),
    ],
)
def test_both_ways(
    capsysbinary: pytest.CaptureFixture[bytes], data: bytes, arguments: tuple[str, ...], answer: bytes
) -> None:
    assert convert(capsysbinary, data, *arguments) == (0, answer, "")


def test_output_to_another_file_and_to_the_same_one(capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    assert convert(capsysbinary, TEXT, "-o", "y") == (0, b"", "")
    assert Path("y").read_bytes() == BINARY
    assert convert(capsysbinary, BINARY, "--output", "x") == (0, b"", "")
    assert Path("x").read_bytes() == CANONICAL


@pytest.mark.parametrize(
    ("data", "arguments", "error"),
    [
        (b"s2fuzz 1\nvm\nslot a size=4M backing=ram\n", (), "x:3: backing='ram'; allowed: anon, thp, "),
        (b"#\ns2fuzz 2\n", ("--to", "text"), "x:2: unknown version '2'; allowed: 1"),
        (b"s2fuz 1\nvm\n", ("--to", "binary"), "x:1: the first line is 's2fuz'; allowed: s2fuzz 1"),
        (BINARY, ("--to", "binary"), "x:1: character "),
        (b"s2fuzz 1\n\xff", (), "x: byte 0xff at offset 9 is not UTF-8; allowed: UTF-8 text"),
        (bytes(MAX_FILE_SIZE + 1), (), "x: the file is too long; allowed: at most 1M"),
        (TEXT, ("-o", "none/y"), "-o none/y: No such file or directory; name a file that can be written, "),
        (TEXT, ("-o", "."), "-o .: Is a directory; name a file that can be written, "),
        (TEXT, ("-o", "a\0b"), "-o a\\x00b: embedded null byte; name a file that can be written, "),
    ],
)
def test_refused(
    capsysbinary: pytest.CaptureFixture[bytes], data: bytes, arguments: tuple[str, ...], error: str
) -> None:
    code, out, err = convert(capsysbinary, data, *arguments)
    assert (code, out) == (2, b"")
    assert err.startswith(f"s2fuzz: {error}")
    assert err.count("\n") == 1


def test_no_such_file(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["convert", "none"]) == 2
    assert capsys.readouterr().err == "s2fuzz: none: No such file or directory; name a file that can be read\n"


@pytest.mark.parametrize("usage", [[], ["x", "y"], ["x", "--to", "json"], ["x", "-o"]])
def test_bad_usage(capsys: pytest.CaptureFixture[str], usage: list[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        cli.main(["convert", *usage])
    assert caught.value.code == 2
    assert capsys.readouterr().err.count("\n") == 1


def pipe(data: bytes | None, *arguments: str) -> tuple[int, bytes, bytes]:
    """Run the command in a process of its own that reads *data*; None means that its standard input is closed."""
    command = [sys.executable, "-m", "fuzz", "convert", *arguments]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    if data is None:
        command = ["sh", "-c", 'exec "$@" <&-', "sh", *command]
    result = subprocess.run(command, input=data, capture_output=True, env=environment, check=False)
    return result.returncode, result.stdout, result.stderr


def test_pipes() -> None:
    assert pipe(TEXT, "-") == (0, BINARY, b"")
    assert pipe(BINARY, "-", "-o", "-") == (0, CANONICAL, b"")
    assert pipe(b"s2fuzz 1\n", "-") == (
        2, b"", b"s2fuzz: <stdin>:1: no vm line after s2fuzz 1; allowed: " + FORMS[0][1].encode() + b"\n"
    )  # fmt: skip
    assert pipe(None, "-") == (2, b"", b"s2fuzz: <stdin>: cannot be read; pipe a program into s2fuzz\n")


@pytest.mark.parametrize("command", [("run",), ("report",), ("minimize",), ("explore", "--candidate", "rfc-v1")])
def test_commands_that_need_text_suggest_convert_for_binary_records(call: Call, command: tuple[str, ...]) -> None:
    for data, wrong in (
        (
            b"\x00\x01\xf4",
            "x: byte 0xf4 at offset 2 is not UTF-8; allowed: UTF-8 text, or `s2fuzz convert`, for binary",
        ),
        (
            b"\x00\x01",
            "x:1: character '\\x00'; allowed: printable ASCII, tabs, comments, or `s2fuzz convert`, for binary",
        ),
    ):
        refused(call(*command, write(data, "x")), wrong)
    # A text with one invalid byte is refused, too.
    refused(call(*command, write(b"s2fuzz 1\n\xff", "x")), "not UTF-8; allowed: UTF-8 text\n")
