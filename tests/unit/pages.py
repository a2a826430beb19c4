# SPDX-License-Identifier: GPL-2.0-only
"""The pages of the documentation, parsed: blocks of code, links, headings, names in code style."""

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Final, NamedTuple

from .console import ROOT

README: Final = ROOT / "README.md"
_FENCE: Final = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_LINK: Final = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_CODE: Final = re.compile(r"`([^`]+)`")


class Block(NamedTuple):
    """A fenced block.

    :param language: the word after the fence; "" for none
    :param line: number of its first line in the page
    """

    language: str
    text: str
    line: int


class Session(NamedTuple):
    """A command of a ``console`` block, and its documented output."""

    command: str
    output: list[str]


def pages() -> list[Path]:
    """Return all pages, the README first."""
    beside = [ROOT / name for name in ("CONTRIBUTING.md", "CHANGELOG.md", "tests/README.md")]
    return [README, *beside, *sorted((ROOT / "docs").rglob("*.md"))]


def name_of(page: Path) -> str:
    """Return the path of a page below the checkout."""
    return str(page.relative_to(ROOT))


@cache
def blocks(page: Path) -> tuple[Block, ...]:
    """Return the fenced blocks of a page."""
    text = page.read_text()
    found = _FENCE.finditer(text)
    return tuple(Block(each[1], each[2], text.count("\n", 0, each.start()) + 2) for each in found)


@cache
def prose(page: Path) -> str:
    """Return a page without its fenced blocks."""
    return _FENCE.sub("", page.read_text())


def links(page: Path) -> list[str]:
    """Return the targets of a page's links that stay in the checkout."""
    return [target for target in _LINK.findall(prose(page)) if "://" not in target]


def codes(page: Path) -> list[str]:
    """Return the texts of a page in code style, as one line each."""
    return [" ".join(code.split()) for code in _CODE.findall(prose(page))]


def anchors(page: Path) -> set[str]:
    """Return the headings of a page in the form used by links."""
    headings = re.findall(r"^#+ (.*)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def commands(page: Path) -> Iterator[str]:
    """Yield the commands of the ``sh`` and ``console`` blocks of a page, and commands that are only indented."""
    for block in blocks(page):
        if block.language == "sh":
            yield from filter(None, block.text.splitlines())
    # The first line of a program is no command.
    yield from re.findall(r"^ {4}((?:s2fuzz(?! 1$)|make|\.venv/\S*) .*)$", prose(page), re.MULTILINE)
    for session in sessions(page):
        yield session.command


def sessions(page: Path) -> list[Session]:
    """Return the commands of the ``console`` blocks of a page, each with its output."""
    found: list[Session] = []
    for block in blocks(page):
        if block.language != "console":
            continue
        for line in block.text.splitlines():
            if line.startswith("$ "):
                found.append(Session(line.removeprefix("$ "), []))
            else:
                found[-1].output.append(line.rstrip())
    return found
