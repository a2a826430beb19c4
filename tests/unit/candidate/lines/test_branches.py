# SPDX-License-Identifier: GPL-2.0-only
"""The branches that gcc merges with code that follows: they count if their arc ran."""

from pathlib import Path
from typing import Final

import pytest

from candidate.tree.lines.branches import Branches, conditions_of, is_conditional_return
from candidate.tree.lines.c_text import without_comments

from .test_code import Library

SOURCE: Final = """\
int g(int x);

int f(int x)
{
	if (g(x) == 3 ||
		x == 99)
		return -14;

	while (x > 3) {
		if (g(x) == 5)
			return -11;
		x--;
	}
	if (x == 2) {
		goto out;
	}
	g(x);
	if (!x)
		return -5;	/* a comment */
	x = g(x + 4);
out:
	g(1);
	return x;
}

int g(int x)
{
	return x - 4;
}
"""
TEXT: Final = without_comments(SOURCE).split("\n")
FILE: Final = "code.c"


def line_of(text: str) -> int:
    """Return the number of the only line of `SOURCE` that contains a text."""
    (found,) = [number for number, line in enumerate(TEXT, 1) if text in line]
    return found


def test_branches_that_ran(tmp_path: Path) -> None:
    library = Library(tmp_path, SOURCE, "-O1", "-fno-inline")
    branches = Branches(library.lines, {FILE: TEXT})
    texts = ("-14", "-11", "goto out", "-5")
    all_of_them = {line_of(text) for text in texts}

    def ran() -> set[int]:
        found = branches.ran(library.counters()).get(FILE, set()) | library.lines.ran(library.counters())[FILE]
        return found & all_of_them

    # Some versions of gcc have a block for a jump.
    assert branches.lines[FILE] == all_of_them - library.lines.lines[FILE]
    assert line_of("-14") in branches.lines[FILE]
    assert branches.ran(library.counters()) == {}
    seen: set[int] = set()
    for value, result, new in ((1, 1, ""), (7, -14, "-14"), (12, -11, "-11"), (2, 2, "goto out"), (0, -5, "-5")):
        assert library.code.f(value) == result
        seen |= {line_of(new)} if new else set()
        assert ran() == seen


@pytest.mark.parametrize(
    ("text", "conditions", "returns"),
    [
        ("-14", "g(x) == 3 ||\n x == 99", True),
        ("goto out", "x == 2", False),
        ("return x;", "", False),
        ("x--", "", False),
    ],
)
def test_the_condition_of_a_jump(text: str, conditions: str, returns: bool) -> None:
    found = conditions_of(TEXT, line_of(text))
    assert list(found) == [line_of(each.strip()) for each in conditions.split("\n") if each]
    assert is_conditional_return(TEXT, line_of(text)) == returns
