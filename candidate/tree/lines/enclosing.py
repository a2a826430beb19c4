# SPDX-License-Identifier: GPL-2.0-only
"""The line whose count applies to a statement that has instructions but no block of gcc's graph.

gcc turns a statement such as ``else flags |= BIT;`` into a value that depends on the condition. The statement is left
with instructions of its own, but no block, so no counter covers it. Its count is that of the block that contains it: of
another statement of the same block, or else of the condition that leads to it. Kernel code is indented by depth, so
the indentation tells which lines these are.
"""

import re
from collections.abc import Collection, Sequence
from typing import Final

_TAB: Final = 8
# Statements after which the next line of the block does not run.
_JUMP: Final = re.compile(r"\s*(?:return|goto|break|continue)\b")
_CASE: Final = re.compile(r"\s*(?:case\b.*|default\s*):\s*$")
_LABEL: Final = re.compile(r"\s*\w+\s*:\s*$")


def enclosing_line(text: Sequence[str], code: Collection[int], line: int) -> int:
    """Return the line with a count that contains a statement or runs in the same block; 0 if there is none.

    :param text: the lines of the file, without comments
    :param code: the lines that have a count
    :param line: the first line of the statement, from 1
    """
    return _after(text, code, line) or _before(text, code, line)


def _after(text: Sequence[str], code: Collection[int], line: int) -> int:
    """Return the next statement of the same block that has a count; 0 if there is none."""
    depth = _depth(text[line - 1])
    if _JUMP.match(text[line - 1]):
        return 0
    for number in range(line + 1, len(text) + 1):
        each = text[number - 1]
        if not _is_code(each) or _depth(each) > depth:
            continue
        if _depth(each) < depth or _CASE.match(each) or _LABEL.match(each):
            return 0
        if number in code:
            return number
        if _JUMP.match(each):
            return 0
    return 0


def _before(text: Sequence[str], code: Collection[int], line: int) -> int:
    """Return the previous statement of the same block, or the condition of the block, that has a count."""
    depth = _depth(text[line - 1])
    for number in range(line - 1, 0, -1):
        each = text[number - 1]
        if not _is_code(each) or _depth(each) > depth:
            continue
        if number in code:
            return number
        # The end of another function, or a place that other code jumps to.
        if each.startswith("}") or (_LABEL.match(each) and not _CASE.match(each)):
            return 0
        depth = _depth(each)
    return 0


def _is_code(line: str) -> bool:
    """Return whether a line is neither empty nor for the preprocessor."""
    return bool(line.strip()) and not line.startswith("#")


def _depth(line: str) -> int:
    """Return the column in which the text of a line begins."""
    line = line.expandtabs(_TAB)
    return len(line) - len(line.lstrip())
