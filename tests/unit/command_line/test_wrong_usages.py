# SPDX-License-Identifier: GPL-2.0-only
"""The wrong usages of ``tests/data/wrong_usages.txt``: exit code, one line on stderr, nothing on stdout."""

import os
import re
import shlex
import socket
import stat
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import pytest

from fuzz.command_line import cli
from fuzz.command_line.parser import Parser
from fuzz.command_line.registry import make_parser

from ..console import HEAD, MISSING_CLEAN, ROOT

TABLE = ROOT / "tests" / "data" / "wrong_usages.txt"


class Usage(NamedTuple):
    """A row of the table."""

    typed: str
    code: int
    line: str

    def arguments(self) -> list[str]:
        """Return the arguments of the command."""
        name, *words = [word.encode().decode("unicode_escape") for word in shlex.split(self.typed)]
        assert name == "s2fuzz"
        return words

    def told(self, err: str) -> bool:
        """Return whether stderr is this line and nothing else."""
        parts = [re.escape(part) for part in f"{self.line}\n".split("...")]
        return re.fullmatch(r"[^\n]*".join(parts), err) is not None


def usages() -> Iterator[Usage]:
    """Yield the rows of the table."""
    lines = [line for line in TABLE.read_text().splitlines() if line and not line.startswith("#")]
    for typed, told in zip(lines[::2], lines[1::2], strict=True):
        assert typed.startswith("$ "), typed
        code, _, line = told.partition(" ")
        yield Usage(typed.removeprefix("$ "), int(code), line)


USAGES = list(usages())


@pytest.fixture
def furnished(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Make a directory with one entry of each kind."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("S2FUZZ_DEBUG", raising=False)
    texts = {
        "p.s2": MISSING_CLEAN,
        "clean.s2": HEAD,
        "empty.s2": "",
        "bad.s2": HEAD + "cpu0 fly a+0\n",
        "file": "x\n",
        "folder/other": "x\n",
        "known.toml": "[[finding]]\n",
        "broken.toml": "= =\n",
        "x.tables": "nonsense\n",
        "programs/s2fuzz-corpus": "1\n",
    }
    for name, text in texts.items():
        Path(name).parent.mkdir(exist_ok=True)
        Path(name).write_text(text)
    Path("binary").write_bytes(b"\x7fELF\xff")
    os.mkfifo("fifo")
    os.mkdir("logged")
    os.mkfifo("logged/log")
    links = {"loop": "loop", "to-folder": "folder", "to-nowhere": "none/x", "to-fifo": "fifo", "to-full": "/dev/full"}
    for name, target in links.items():
        Path(name).symlink_to(target)
    with closing(socket.socket(socket.AF_UNIX)) as made:
        made.bind("socket")
        yield tmp_path


def entries(folder: Path) -> dict[str, tuple[int, int]]:
    """Return the inode and mode of each entry of a directory."""
    found = {name: os.lstat(folder / name) for name in os.listdir(folder)}
    return {name: (info.st_ino, info.st_mode) for name, info in found.items()}


@pytest.mark.parametrize("usage", USAGES, ids=lambda usage: usage.typed.removeprefix("s2fuzz ").replace("/", "|"))
def test_wrong_usage(usage: Usage, furnished: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = entries(furnished)
    code: object = None
    try:
        code = cli.main(usage.arguments())
    except SystemExit as end:
        code = end.code
    out, err = capsys.readouterr()
    assert (code, out) == (usage.code, "")
    assert usage.told(err), err
    # Nothing was replaced, and nothing was left behind.
    assert before == entries(furnished)
    assert stat.S_ISCHR(os.stat("/dev/full").st_mode)


def typed_commands() -> Iterator[str]:
    """Yield the words of each command and subcommand: ``run``, ``corpus add``."""
    for name, below in parts(make_parser()):
        inner = [f"{name} {part}" for part, _ in parts(below)]
        yield from inner
        if not inner or below.others:
            yield name


def parts(parser: Parser) -> Iterator[tuple[str, Parser]]:
    """Yield the subparsers of a parser, with their names."""
    yield from parser.below().items()


def test_every_command_is_in_the_table() -> None:
    assert len(USAGES) >= 80
    assert len({usage.typed for usage in USAGES}) == len(USAGES)
    typed = [f"{usage.typed} " for usage in USAGES]
    for command in typed_commands():
        assert any(each.startswith(f"s2fuzz {command} ") for each in typed), command


def test_the_whole_line_must_match() -> None:
    usage = Usage("s2fuzz", 2, "s2fuzz: a...c")
    assert usage.told("s2fuzz: abbc\n")
    assert not any(map(usage.told, ("s2fuzz: ab\n", "s2fuzz: abc", "s2fuzz: a\nc\n", "s2fuzz: ac\nmore\n", "")))
