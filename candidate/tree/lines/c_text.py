# SPDX-License-Identifier: GPL-2.0-only
"""The text of C files in the kernel's style: comments, macros, kinds and depths of lines, the functions around them."""

import re
from collections.abc import Sequence
from typing import Final

_COMMENT: Final = re.compile(r"/\*.*?\*/|//[^\n]*|\"(?:\\.|[^\"\\])*\"|'(?:\\.|[^'\\])*'", re.DOTALL)
_CASE: Final = re.compile(r"\s*(?:case\b.*|default\s*):\s*$")
_DEFINE: Final = re.compile(r"\s*#\s*define\s+(\w+)")
# The name before the first parenthesis of a function's head.
_FUNCTION: Final = re.compile(r"\b(\w+)\s*\(")
# Words, of which the last one is not a macro, and parameters.
_PROTOTYPE: Final = re.compile(r"\w[\w\s*]*[\s*](?![A-Z\d_]+\s*\()\w+\s*\([^={}]*\)[^={}]*;\s*")
_TAB: Final = 8


def depth_of(line: str) -> int:
    """Return the column in which the text of a line begins."""
    line = line.expandtabs(_TAB)
    return len(line) - len(line.lstrip())


def function_around(lines: Sequence[str], line: int) -> str:
    """Return the name of the function whose head or body contains a line; "" if there is none.

    :param lines: of a file in the kernel's style, without comments: braces in the first column enclose functions
    :param line: its number, from 1
    """
    at = line - 1
    while at > 0 and not lines[at].startswith(("{", "}", "#")):
        at -= 1
    if not lines[at].startswith("{"):
        # Not within a body. A head ends at the next brace in the first column.
        at = line - 1
        while at < len(lines) and not lines[at].startswith("{"):
            if lines[at].startswith(("}", "#")) or lines[at].endswith(";"):
                return ""
            at += 1
    first = at
    # A prototype may stand right above the head.
    while first > 0 and (above := lines[first - 1].rstrip()) and not above.startswith(("}", "#")) and above[-1] != ";":
        first -= 1
    found = _FUNCTION.search(" ".join(lines[first:at]))
    return found[1] if found else ""


def is_case(line: str) -> bool:
    """Return whether a line is a label of a ``switch``."""
    return bool(_CASE.match(line))


def is_code(line: str) -> bool:
    """Return whether a line is neither empty nor for the preprocessor."""
    return bool(line.strip()) and not line.startswith("#")


def is_prototype(lines: Sequence[str], line: int) -> bool:
    """Return whether a line outside of all bodies belongs to the prototype of a function.

    :param lines: of the file, without comments
    :param line: its number, from 1
    """
    first = last = line - 1
    while first > 0 and is_code(lines[first - 1]) and lines[first - 1].rstrip()[-1] not in ";{}":
        first -= 1
    while last < len(lines) - 1 and is_code(lines[last]) and lines[last].rstrip()[-1] not in ";{}":
        last += 1
    return bool(_PROTOTYPE.fullmatch("\n".join(lines[first : last + 1])))


def macro_name(line: str) -> str:
    """Return the name of the macro that a line defines; "" if it defines none."""
    found = _DEFINE.match(line)
    return found[1] if found else ""


def without_comments(text: str) -> str:
    """Return C code with its comments blanked out; the number of lines stays the same."""

    def blank(match: re.Match[str]) -> str:
        found = match[0]
        return found if found[0] in "\"'" else "\n" * found.count("\n") or " "

    return _COMMENT.sub(blank, text)
