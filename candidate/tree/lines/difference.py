# SPDX-License-Identifier: GPL-2.0-only
"""The lines in which the code of two trees differs, and how many of them ran.

Lines are compared without comments and spaces. A change counts by those of its lines that have code: the candidate's,
and also the reference's if there are more of them (removed code). A line in the middle of a statement counts as the
line where the statement begins. A changed macro counts as the lines that use it. A line of a function that calls
something but has no code is reported: the compiler left it out, for example because a configuration option is off.
A statement that has instructions but no counter counts as its block does (`candidate.tree.lines.enclosing`). A return
under a condition counts only if that return has a count (`candidate.tree.lines.branches`). A label of a ``switch``
counts as the statement after it or, if that has no code, as the ``switch``. If the ``switch``
ran, or a statement that code also reaches on another way, it is not known whether a value led to the label.

Some changes have no counter at all: a constant in an initialiser, an enumerator, a configuration option. Such a change
ran if a function ran whose machine code it changes.
"""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import SequenceMatcher
from pathlib import Path
from typing import Final

from .branches import is_conditional_return
from .c_text import function_around, is_case, is_prototype, macro_name, without_comments
from .code import Lines
from .enclosing import around_case, enclosing_line, shares_code

REFERENCE: Final = 0
CANDIDATE: Final = 1

# A line: side, file, number.
Place = tuple[int, str, int]
# File -> names of functions.
Functions = Mapping[str, Collection[str]]
_SPACE: Final = re.compile(r"\s+")
_WORD: Final = re.compile(r"\w+")
# A call. Other statements may run without code of their own: a return of a constant or an error, a jump.
_CALL: Final = re.compile(
    r"\b(?!(?:if|while|for|switch|return|sizeof|(?:un)?likely|ERR_PTR|PTR_ERR|ERR_CAST)\b)\w+\s*\("
)
# A line without its spaces.
_CONDITION: Final = re.compile(r"\}?(?:else)?(?:(?:if|while|for)\(.*\)|else)")
# Depth to which macros that use macros are followed.
_DEEP: Final = 3


@dataclass(frozen=True)
class Exercise:
    """The part of a difference that ran.

    :param lines: number of lines with code in which the two differ
    :param ran: how many of these lines ran
    :param missing: the lines that did not run, as ``arch/arm64/kvm/mmu.c:12``; lines of the reference end in
        `` (removed)``
    :param codeless: places of changes that have no code of their own in this build, as ``arch/arm64/kvm/mmu.c:12-15``
    :param unknown: why the difference is not known; "" if it is known
    :param uncompiled: files of KVM that differ and that no build here compiles
    :param unjudged: those of *missing* that programs without a verdict ran
    :param uncalled: functions with places in *missing* or *codeless* that no operation can call
    :param functions: functions that ran and whose machine code differs because of a change without a counter
    """

    lines: int
    ran: int
    missing: list[str]
    codeless: list[str]
    unknown: str = ""
    uncompiled: list[str] = field(default_factory=list)
    unjudged: list[str] = field(default_factory=list)
    uncalled: list[str] = field(default_factory=list)
    functions: list[str] = field(default_factory=list)

    @property
    def differs(self) -> bool:
        """True if the two trees differ in more than comments, or if that is not known."""
        return bool(self.lines or self.codeless or self.unknown or self.uncompiled)

    @property
    def exercised(self) -> bool:
        """False if there is a difference and no program with a verdict ran any of it."""
        return bool(self.ran or self.functions or self.unknown) or not self.differs


class TreeDifference:
    """The difference of two trees.

    :param roots: their top folders, the reference's first
    :param files: paths below them that may differ
    :param lines: the lines with code of each tree
    :param uncompiled: files in which they differ and that are not compiled
    :param instructions: further lines of each tree, which have instructions but no counter
    :param dropped: file -> functions of each tree that no operation can call (`candidate.tree.building.callgraph`)
    *places*: the lines with code in which they differ; *codeless*: places of changes without code; *uncalled*: the
    dropped functions that contain any of these places
    """

    def __init__(
        self,
        roots: tuple[Path, Path],
        files: Sequence[str],
        lines: tuple[Lines, Lines],
        uncompiled: Sequence[str] = (),
        instructions: tuple[Lines, Lines] = ({}, {}),
        dropped: tuple[Functions, Functions] = ({}, {}),
    ) -> None:
        self.roots = roots
        self.files = list(files)
        self.lines = lines
        self.instructions = instructions
        self.uncompiled = list(uncompiled)
        self.dropped = dropped
        self.places: set[Place] = set()
        self.codeless: list[str] = []
        # Changed prototypes, named only if nothing else differs.
        self._prototypes: list[str] = []
        self.uncalled: list[str] = []
        # Functions with changes that have no counter.
        self._silent: set[str] = set()
        # Functions with a changed return under a condition: that it ran is not known.
        self._unknown: set[str] = set()
        # The functions around *places*.
        self._around: dict[Place, str] = {}
        # Labels, each with the line with a count that it leads to or that leads to it.
        self._reached: dict[Place, int] = {}
        # Those of them that do not tell that they were reached: the line has other ways to it.
        self._shared: set[Place] = set()
        self._texts: dict[tuple[int, str], list[str]] = {}
        self._bodies_of: dict[tuple[int, str], set[int]] = {}
        self._lines_of: dict[tuple[int, str], list[str]] = {}
        self._words_of: dict[tuple[int, str], dict[str, list[tuple[str, int]]]] = {}
        self._uses_of: dict[tuple[int, str, str], set[Place]] = {}
        for file in files:
            self._compare(file)
        if not self.places and not self.codeless:
            self.codeless = self._prototypes
        for side, file, line in sorted(self.places):
            self._add_uncalled(side, file, line)
            self._around[side, file, line] = function_around(self._raw(side, file), line)

    def exercise(
        self,
        ran: tuple[Lines, Lines],
        unjudged: tuple[Lines, Lines] = ({}, {}),
        functions: Collection[str] = (),
    ) -> Exercise:
        """Count the lines of the difference that ran.

        :param ran: the lines that judged programs ran on each side
        :param unjudged: the lines that programs without a verdict ran on each side
        :param functions: the functions that judged programs ran and whose machine code differs
        """
        executed = {place for place in self.places if self._is_among(ran, *place)}
        unclear = executed & self._shared
        places = self.places - unclear
        missing = sorted(places - executed, key=_by_file)
        without = [_name(place) for place in missing if self._is_among(unjudged, *place)]
        measured = self._unknown | {self._around[place] for place in places}
        silent = self._silent | {self._around[place] for place in unclear}
        return Exercise(
            len(places),
            len(places) - len(missing),
            [_name(place) for place in missing],
            self.codeless + [_name(place) for place in sorted(unclear, key=_by_file)],
            uncompiled=self.uncompiled,
            unjudged=without,
            uncalled=self.uncalled,
            # The code of a function may also change because an enumerator or an inlined function does.
            functions=sorted(each for each in functions if not measured or each in silent - measured),
        )

    def _is_among(self, ran: tuple[Lines, Lines], side: int, file: str, line: int) -> bool:
        """Return whether a line ran, or the line that leads to it."""
        return self._reached.get((side, file, line), line) in ran[side].get(file, ())

    def text(self, side: int, file: str) -> list[str]:
        """Return the lines of a file without comments and spaces; none if there is no such file."""
        key = side, file
        if key not in self._texts:
            self._texts[key] = [_SPACE.sub("", line) for line in self._raw(side, file)]
        return self._texts[key]

    def _compare(self, file: str) -> None:
        old, new = self.text(REFERENCE, file), self.text(CANDIDATE, file)
        if old == new:
            return
        # Skip empty lines, and let autojunk ignore frequent lines such as "}": both would take quadratic time.
        before, after = ([number for number, line in enumerate(lines) if line] + [len(lines)] for lines in (old, new))
        matcher = SequenceMatcher(None, [old[i] for i in before[:-1]], [new[i] for i in after[:-1]])
        for what, a, b, c, d in matcher.get_opcodes():
            if what != "equal":
                self._change(file, ((before[a], before[b]), (after[c], after[d])))

    def _change(self, file: str, ranges: tuple[tuple[int, int], tuple[int, int]]) -> None:
        """Record a change, given by the range of lines on each side, from 0, end excluded."""
        changed = [
            [number + 1 for number in range(*ranges[side]) if self.text(side, file)[number]]
            for side in (REFERENCE, CANDIDATE)
        ]
        if not changed[REFERENCE] and not changed[CANDIDATE]:
            return
        side = CANDIDATE if changed[CANDIDATE] else REFERENCE
        for resolve in (self._statement, self._label, self._uses):
            old, new = (
                {place for line in changed[side] for place in resolve(side, file, line)}
                for side in (REFERENCE, CANDIDATE)
            )
            if old or new:
                # New code that is shorter than the replaced code does not represent all of it.
                self.places |= new | old if len(old) > len(new) else new
                self._add_codeless(side, file, self._left_out(side, file, changed[side]))
                return
        told = [number for number in changed[side] if self.text(side, file)[number - 1] not in ("{", "}")]
        left_out = self._left_out(side, file, told)
        raw, bodies = self._raw(side, file), self._bodies(side, file)
        if told and all(line not in bodies and is_prototype(raw, line) for line in told):
            # A prototype has no code. If it matters, its function and the calls differ, too.
            self._prototypes.append(f"{file}:{told[0]}{' (removed)' if side == REFERENCE else ''}")
        else:
            self._add_codeless(side, file, left_out or [told[:1]])

    def _add_codeless(self, side: int, file: str, left_out: list[list[int]]) -> None:
        """Record runs of lines without code, each by its first and last line."""
        for run in left_out:
            if run:
                last = f"-{run[-1]}" if len(run) > 1 else ""
                self.codeless.append(f"{file}:{run[0]}{last}{' (removed)' if side == REFERENCE else ''}")
                self._add_uncalled(side, file, run[0])
                self._add_silent(side, file, run)

    def _add_silent(self, side: int, file: str, run: list[int]) -> None:
        """Record the function around changed lines without code."""
        raw = self._raw(side, file)
        unknown = any(is_conditional_return(raw, line) for line in run)
        (self._unknown if unknown else self._silent).add(function_around(raw, run[0]))

    def _add_uncalled(self, side: int, file: str, line: int) -> None:
        """Record the function around a changed line if no operation can call it."""
        name = function_around(self._raw(side, file), line)
        if name in self.dropped[side].get(file, ()) and name not in self.uncalled:
            self.uncalled.append(name)

    def _left_out(self, side: int, file: str, lines: list[int]) -> list[list[int]]:
        """Return the runs of lines in functions that have no code, each reduced to its lines with calls."""
        raw, text, bodies = self._raw(side, file), self.text(side, file), self._bodies(side, file)
        runs: list[list[int]] = [[]]
        for line in lines:
            if text[line - 1] in ("{", "}") or text[line - 1][0] == "#":
                continue
            if line not in bodies or self._has_code(side, file, line) or self._uses(side, file, line):
                runs.append([])
            elif (_CALL.search(raw[line - 1]) and not is_case(raw[line - 1])) or is_conditional_return(raw, line):
                runs[-1].append(line)
        return [run for run in runs if run]

    def _has_code(self, side: int, file: str, line: int) -> bool:
        """Return whether the statement of a line has code; a statement under a condition needs code of its own."""
        if line in self.lines[side].get(file, ()):
            return True
        if is_conditional_return(self._raw(side, file), line):
            return False
        if line in self.instructions[side].get(file, ()):
            return True
        alone = line > 1 and _CONDITION.fullmatch(self.text(side, file)[line - 2])
        return not alone and bool(self._statement(side, file, line))

    def _bodies(self, side: int, file: str) -> set[int]:
        """Return the lines inside functions, which begin and end with a brace in the first column."""
        key = side, file
        if key not in self._bodies_of:
            bodies = self._bodies_of[key] = set[int]()
            within = False
            for number, line in enumerate(self._raw(side, file), 1):
                within = line.startswith("{") or (within and not line.startswith("}"))
                if within:
                    bodies.add(number)
        return self._bodies_of[key]

    def _statement(self, side: int, file: str, line: int) -> set[Place]:
        """Return the line with code of the statement that contains a line; empty if there is none."""
        code, instructions = self.lines[side].get(file, set()), self.instructions[side].get(file, set())
        text, first = self.text(side, file), line
        if line not in code and is_conditional_return(self._raw(side, file), line):
            return set()
        while line not in code:
            before = text[line - 2] if line > 1 else ""
            if text[line - 1] in ("{", "}") or not before or before.endswith((";", "{", "}", ":")) or before[0] == "#":
                has_instructions = any(number in instructions for number in range(line, first + 1))
                found = enclosing_line(self._raw(side, file), code, first) if has_instructions else 0
                return {(side, file, found)} if found else set()
            line -= 1
        return {(side, file, line)}

    def _label(self, side: int, file: str, line: int) -> set[Place]:
        """Return the line if it is a label of a ``switch`` that code with a count leads to, or that leads to it."""
        raw = self._raw(side, file)
        for number in around_case(raw, line) if is_case(raw[line - 1]) else ():
            for _, _, found in self._statement(side, file, number) if number else ():
                self._reached[side, file, line] = found
                if number < line or shares_code(raw, line):
                    self._shared.add((side, file, line))
                return {(side, file, line)}
        return set()

    def _uses(self, side: int, file: str, line: int) -> set[Place]:
        """Return the lines with code that use the macro whose definition contains a line."""
        raw = self._raw(side, file)
        while line > 1 and raw[line - 2].endswith("\\"):
            line -= 1
        name = macro_name(raw[line - 1])
        if not name:
            return set()
        if (side, file, name) not in self._uses_of:
            self._uses_of[side, file, name] = self._macro_uses(side, file, name)
        return self._uses_of[side, file, name]

    def _macro_uses(self, side: int, file: str, name: str) -> set[Place]:
        """Return the lines with code that use a macro, directly or through other macros."""
        names, found = {name}, set[Place]()
        words = [self._words(side)] + ([] if file in self.lines[side] else [self._words(side, file)])
        for _ in range(_DEEP):
            more: set[str] = set()
            for path, number in {place for each in names for index in words for place in index.get(each, ())}:
                self._user(side, path, number, found, more)
            if more <= names:
                break
            names |= more
        return found

    def _user(self, side: int, path: str, number: int, found: set[Place], more: set[str]) -> None:
        """Add the statement at a line that uses a name to *found*; if a macro uses the name, add it to *more*."""
        raw = self._raw(side, path)
        start = number
        while start > 1 and raw[start - 2].endswith("\\"):
            start -= 1
        if name := macro_name(raw[start - 1]):
            more.add(name)
        else:
            found |= self._statement(side, path, number)

    def _words(self, side: int, file: str = "") -> dict[str, list[tuple[str, int]]]:
        """Return an index of the words in a file, or in all files with code: word -> file and line from 1."""
        key = side, file
        if key not in self._words_of:
            words = self._words_of[key] = dict[str, list[tuple[str, int]]]()
            for path in [file] if file else self.lines[side]:
                for number, line in enumerate(self._raw(side, path), 1):
                    for word in _WORD.findall(line):
                        words.setdefault(word, []).append((path, number))
        return self._words_of[key]

    def _raw(self, side: int, file: str) -> list[str]:
        """Return the lines of a file without comments."""
        key = side, file
        if key not in self._lines_of:
            try:
                text = (self.roots[side] / file).read_text(encoding="utf-8", errors="replace")
            except OSError:
                text = ""
            self._lines_of[key] = without_comments(text).split("\n")
        return self._lines_of[key]


def _name(place: Place) -> str:
    """Return the name of a place in reports."""
    side, file, line = place
    return f"{file}:{line}{' (removed)' if side == REFERENCE else ''}"


def _by_file(place: Place) -> tuple[str, int, int]:
    """Return the key by which places are sorted."""
    side, file, line = place
    return file, line, side
