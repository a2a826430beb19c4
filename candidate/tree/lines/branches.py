# SPDX-License-Identifier: GPL-2.0-only
"""The branches of conditions that gcc merges with code that follows: a return of a constant, a jump.

Such a statement has no block of its own, only an arc: from the block of its condition to the code that it jumps to.
The count of the arc is the count of the statement. The arc is known because the other branch of the condition leads to
the next line. Without such an arc, because gcc computes the value without a jump, the count is not known.
"""

import re
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Final

from .c_text import depth_of, is_code, without_comments
from .code import CodeFunction, CodeLines, Lines, code_lines

# Statements that may have no block of their own. The indentation of kernel code tells the condition of each.
_JUMP: Final = re.compile(r"\s*(?:return\b[^;]*|goto\s+\w+|break|continue)\s*;\s*$")
_RETURN: Final = re.compile(r"\s*return\b")
_CONDITION: Final = re.compile(r"\s*(?:\}\s*)?(?:else\s+)?(?:if|while|for)\b")
# The end of a statement or a label, or the beginning of a block.
_ENDS: Final = re.compile(r"[;{}:]\s*$")
_EXIT: Final = 1


def conditions_of(text: Sequence[str], line: int) -> range:
    """Return the lines of the condition of a jump that is the first statement of its branch; empty if there is none.

    :param text: the lines of the file, without comments
    :param line: the line of the jump, from 1
    """
    if not _JUMP.match(text[line - 1]):
        return range(0)
    last = _code_before(text, line)
    first = last
    while first and (before := _code_before(text, first)) and not _ENDS.search(text[before - 1]):
        first = before
    if not first or not _CONDITION.match(text[first - 1]) or depth_of(text[first - 1]) >= depth_of(text[line - 1]):
        return range(0)
    return range(first, last + 1)


def _code_before(text: Sequence[str], line: int) -> int:
    """Return the line with code before another; 0 if there is none."""
    return next((number for number in range(line - 1, 0, -1) if is_code(text[number - 1])), 0)


def is_conditional_return(text: Sequence[str], line: int) -> bool:
    """Return whether a line returns and is the first statement under a condition; parameters as `conditions_of`."""
    return bool(_RETURN.match(text[line - 1])) and bool(conditions_of(text, line))


class Branches:
    """The merged branches of a library's functions.

    :param compiled: the lines of the library
    :param texts: the lines without comments of the files to look at
    *lines*: file -> lines of merged branches whose count is known
    """

    def __init__(self, compiled: CodeLines, texts: dict[str, Sequence[str]]) -> None:
        self.lines: Lines = {}
        # A function, and for lines of merged branches the numbers of the arcs on which each runs.
        self._arcs: list[tuple[CodeFunction, dict[tuple[str, int], list[int]]]] = []
        by_file: dict[str, list[CodeFunction]] = {}
        for function in compiled.functions:
            for file in {file for _, file, _ in function.lines}:
                by_file.setdefault(file, []).append(function)
        for file, text in texts.items():
            known = compiled.lines.get(file, set())
            jumps = {
                line: conditions
                for line in range(1, len(text) + 1)
                if line not in known and (conditions := conditions_of(text, line))
            }
            found = [(each, _arcs_of(each, file, text, jumps)) for each in by_file.get(file, [])]
            # If one copy of the code lacks the arc, the count is not known.
            lacking = {line for _, arcs in found for line, mine in arcs.items() if not mine}
            for function, arcs in found:
                measured = {(file, line): mine for line, mine in arcs.items() if line not in lacking}
                if measured:
                    self._arcs.append((function, measured))
                    self.lines.setdefault(file, set()).update(line for _, line in measured)

    def ran(self, counters: bytes) -> Lines:
        """Return the merged branches that ran: file -> numbers.

        :param counters: the counters of the library, 64 bits each
        """
        values = memoryview(counters).cast("Q").tolist()
        found: Lines = {}
        for function, arcs in self._arcs:
            mine = values[function.first : function.first + function.counted] if function.first >= 0 else []
            if any(mine):
                counted = function.arcs_executed(mine)
                for (file, line), numbers in arcs.items():
                    if any(counted[number] for number in numbers):
                        found.setdefault(file, set()).add(line)
        return found


def _arcs_of(function: CodeFunction, file: str, text: Sequence[str], jumps: dict[int, range]) -> dict[int, list[int]]:
    """Return the arcs of each merged branch whose condition has blocks in a function; [] if they are not known.

    :param jumps: the lines of jumps, each with those of its condition
    """
    by_block: dict[int, set[int]] = {}
    for block, other, number in function.lines:
        if other == file:
            by_block.setdefault(block, set()).add(number)
    found: dict[int, list[int]] = {}
    for line, conditions in jumps.items():
        if group := {block for block, numbers in by_block.items() if not numbers.isdisjoint(conditions)}:
            found[line] = merged_arcs(function, by_block, group, line, bool(_RETURN.match(text[line - 1])))
    return found


def merged_arcs(
    function: CodeFunction, by_block: dict[int, set[int]], group: set[int], line: int, returns: bool
) -> list[int]:
    """Return the arcs on which a merged branch runs; empty if none is known.

    :param by_block: the lines of each block that belong to the file of the branch
    :param group: the blocks of the condition
    :param line: the line of the branch
    :param returns: the branch is a return
    """
    after: dict[int, list[int]] = {}
    for source, destination, _ in function.arcs:
        after.setdefault(source, []).append(destination)

    def reached(block: int) -> set[int]:
        """Return the lines at which the code continues from a block: those of the first blocks that have any."""
        seen: set[int] = set()
        left, lines = [block], set[int]()
        while left:
            each = left.pop()
            if each in seen or each == _EXIT:
                continue
            seen.add(each)
            if each in by_block:
                lines |= by_block[each]
            else:
                left += after.get(each, [])
        return lines

    conditions = set[int]().union(*(by_block[block] for block in group))
    # Functions that are inlined in the condition have blocks without lines of this file.
    inside, left = set(group), list(group)
    while left:
        for block in after.get(left.pop(), []):
            if block not in by_block and block not in inside and reached(block) & conditions:
                inside.add(block)
                left.append(block)
    leaving = {
        number: reached(destination)
        for number, (source, destination, _) in enumerate(function.arcs)
        if source in inside and destination not in inside and destination != _EXIT
    }
    following = min((number for lines in by_block.values() for number in lines if number > line), default=0)
    others = [arc for arc, lines in leaving.items() if following in lines]
    if not others and returns:
        # The next line belongs to another branch, or the condition to a loop: only a return leads to no line.
        others = [arc for arc, lines in leaving.items() if lines]
    mine = [arc for arc in leaving if arc not in others] if others else []
    # gcc may let a condition whose outcome is known skip the next line.
    return [arc for arc in mine if returns and not leaving[arc]] or mine


@cache
def branches(library: str, root: Path, files: tuple[str, ...]) -> Branches:
    """Return the merged branches of a library in some files of its tree; they are looked for once.

    :param root: the top folder of the tree
    :param files: paths below it
    :raises OSError, ValueError: as for `candidate.tree.lines.code.CodeLines`
    """
    texts: dict[str, Sequence[str]] = {}
    for file in files:
        path = root / file
        if path.is_file():
            texts[file] = without_comments(path.read_text(encoding="utf-8", errors="replace")).split("\n")
    return Branches(code_lines(library), texts)
