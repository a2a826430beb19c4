# SPDX-License-Identifier: GPL-2.0-only
"""The lines that name an error and ran."""

from pathlib import Path
from typing import Final

from candidate.tree.lines.c_text import without_comments
from candidate.tree.lines.error_lines import ErrorLines

from .test_code import Library

SOURCE: Final = """\
#define EIO 5
#define EFAULT 14

int g(int x)
{
	return x - 4;
}

static int made(int x)
{
	if (x == 1)
		return -EIO;	/* first */
	return g(x);
}

int f(int x)
{
	int ret = made(x);

	if (ret == -EIO || ret < -EFAULT)
		return ret;
	if (x == 2) {
		ret = - EIO;	/* second */
		g(ret);
	}
	switch (x) {
	case -EFAULT:
		g(x);
		return -EFAULT;	/* third */
	}
	return ret;
}
"""
TEXT: Final = SOURCE.split("\n")
FILE: Final = "code.c"


def places(*texts: str) -> list[str]:
    """Return the places of the lines of `SOURCE` with these texts, each after its function."""
    lines = [number for number, line in enumerate(TEXT, 1) if any(text in line for text in texts)]
    return [f"{'made' if 'first' in TEXT[line - 1] else 'f'} ({FILE}:{line})" for line in lines]


def test_lines_that_made_an_error(tmp_path: Path) -> None:
    library = Library(tmp_path, SOURCE, "-O1", "-fno-inline")
    lines = ErrorLines(library.lines, {FILE: without_comments(SOURCE).split("\n")})

    def ran(name: str) -> list[str]:
        return [each.place for each in lines.ran(name, library.counters())]

    assert [each.place for each in lines.naming("EIO")] == places("first", "second")
    assert [each.place for each in lines.naming("EFAULT")] == places("third")
    seen: list[str] = []
    for value, result, name, new in (
        (9, 5, "EIO", ""),
        (1, -5, "EIO", "first"),
        (2, -5, "EIO", "second"),
        (-14, -18, "EFAULT", ""),
    ):
        assert library.code.f(value) == result
        seen += places(new) if new else []
        assert ran(name) == (seen if name == "EIO" else [])
