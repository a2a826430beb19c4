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

from .c_text import depth_of, is_case, is_code

# Statements after which the next line of the block does not run.
_JUMP: Final = re.compile(r"\s*(?:return|goto|break|continue)\b")
_SWITCH: Final = re.compile(r"\s*switch\b")
_LABEL: Final = re.compile(r"\s*\w+\s*:\s*$")


def enclosing_line(text: Sequence[str], code: Collection[int], line: int) -> int:
    """Return the line with a count that contains a statement or runs in the same block; 0 if there is none.

    :param text: the lines of the file, without comments
    :param code: the lines that have a count
    :param line: the first line of the statement, from 1
    """
    return _after(text, code, line) or _before(text, code, line)


def around_case(text: Sequence[str], line: int) -> tuple[int, int]:
    """Return the first line of the statement after a label of a ``switch``, and the line of the ``switch``.

    :param text: the lines of the file, without comments
    :param line: the line of the label, from 1
    :returns: 0 for a line that is not there
    """
    depth = depth_of(text[line - 1])
    after, before = line + 1, line - 1
    while after <= len(text) and (is_case(text[after - 1]) or not is_code(text[after - 1])):
        after += 1
    while before > 0 and (not is_code(text[before - 1]) or not _SWITCH.match(text[before - 1])):
        if is_code(text[before - 1]) and depth_of(text[before - 1]) < depth:
            before = 0
        before -= 1
    return after if after <= len(text) and depth_of(text[after - 1]) > depth else 0, max(before, 0)


def shares_code(text: Sequence[str], line: int) -> bool:
    """Return whether code comes to the statement after a label of a ``switch`` on another way, too.

    Then that statement may run although no value led to the label. The other way is a second label of the same
    statement, or a statement before the label that falls through.

    :param text: the lines of the file, without comments
    :param line: the line of the label, from 1
    """
    depth = depth_of(text[line - 1])
    above, below = _code_above(text, line), line + 1
    while below < len(text) and not is_code(text[below - 1]):
        below += 1
    if any(is_case(text[number - 1]) for number in (above, below) if 0 < number <= len(text)):
        return True
    if above and text[above - 1].strip() == "}" and depth_of(text[above - 1]) == depth:
        # The end of a block that is the code of the label before.
        above = _code_above(text, above)
    if not above or _SWITCH.match(text[above - 1]):
        return False
    while (before := _code_above(text, above)) and text[before - 1].rstrip()[-1] not in ";{}:":
        if _SWITCH.match(text[before - 1]):
            return False
        above = before
    return not _JUMP.match(text[above - 1])


def _code_above(text: Sequence[str], line: int) -> int:
    """Return the last line with code above another; 0 if there is none."""
    return next((number for number in range(line - 1, 0, -1) if is_code(text[number - 1])), 0)


def _after(text: Sequence[str], code: Collection[int], line: int) -> int:
    """Return the next statement of the same block that has a count; 0 if there is none."""
    depth = depth_of(text[line - 1])
    if _JUMP.match(text[line - 1]):
        return 0
    for number in range(line + 1, len(text) + 1):
        each = text[number - 1]
        if not is_code(each) or depth_of(each) > depth:
            continue
        if depth_of(each) < depth or is_case(each) or _LABEL.match(each):
            return 0
        if number in code:
            return number
        if _JUMP.match(each):
            return 0
    return 0


def _before(text: Sequence[str], code: Collection[int], line: int) -> int:
    """Return the previous statement of the same block, or the condition of the block, that has a count."""
    depth = depth_of(text[line - 1])
    for number in range(line - 1, 0, -1):
        each = text[number - 1]
        if not is_code(each) or depth_of(each) > depth:
            continue
        if number in code:
            return number
        # The end of another function, or a place that other code jumps to.
        if each.startswith("}") or (_LABEL.match(each) and not is_case(each)):
            return 0
        depth = depth_of(each)
    return 0
