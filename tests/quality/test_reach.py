# SPDX-License-Identifier: GPL-2.0-only
"""The corpus and a few random programs reach every line of the ports, except those listed in unreached.toml."""

import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Final

import pytest

from .reach import ROOT, Block, blocks

LIST: Final = Path(__file__).with_name("unreached.toml")
LISTED: Final = tomllib.loads(LIST.read_text())["block"]


@pytest.fixture(scope="module")
def unreached() -> list[Block]:
    """Return the lines that no program reaches in the interpreted form, determined in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.quality.reach"],
        cwd=ROOT,
        env={**os.environ, "S2FUZZ_PURE": "1"},
        stdout=subprocess.PIPE,
        check=True,
    )
    return [Block(**block) for block in json.loads(done.stdout)]


def differences(listed: list[Block], found: list[Block]) -> list[str]:
    """Describe blocks that are not reached and not listed, and listed blocks that are reached or gone."""
    wrong = [f"not reached: {block}" for block in found if block not in listed]
    return wrong + [f"listed, but reached or gone: {block}" for block in listed if block not in found]


def test_the_list_matches_the_lines_not_reached(unreached: list[Block]) -> None:
    listed = [Block(block["file"], block["function"], block["under"], block["lines"]) for block in LISTED]
    assert differences(listed, unreached) == []


@pytest.mark.parametrize("block", LISTED, ids=lambda block: f"{block['function']}: {block['under']}")
def test_a_listed_block_has_a_reason_and_one_place(block: dict[str, object]) -> None:
    assert set(block) == {"file", "function", "under", "lines", "reason"}
    assert len(str(block["reason"]).split()) >= 5
    places = [(other["function"], other["under"]) for other in LISTED]
    assert places.count((block["function"], block["under"])) == 1


SOURCE: Final = """\
class A:
    def f(self, x):
        if x:
            return 1
        elif not x:
            a = (1 +
                 2)
            return 2
        else:
            return 3

    def g(self):
        for _ in range(3):
            break
        return 4
"""


def test_blocks_are_named_by_function_and_header(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.quality.reach.ROOT", tmp_path)
    path = tmp_path / "a.py"
    path.write_text(SOURCE)
    assert blocks(path, [4, 6, 8, 10, 14, 15]) == [
        Block("a.py", "A.f", "if x:", ["return 1"]),
        Block("a.py", "A.f", "elif not x:", ["a = (1 +", "return 2"]),
        Block("a.py", "A.f", "else of elif not x:", ["return 3"]),
        Block("a.py", "A.g", "for _ in range(3):", ["break"]),
        Block("a.py", "A.g", "def g(self):", ["return 4"]),
    ]


def test_both_kinds_of_difference_show() -> None:
    a, b = Block("f", "g", "if x:", ["y"]), Block("f", "g", "if z:", ["y"])
    assert differences([a], [a]) == []
    assert [text.partition(":")[0] for text in differences([a], [b])] == ["not reached", "listed, but reached or gone"]
