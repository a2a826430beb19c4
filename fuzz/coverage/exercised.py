# SPDX-License-Identifier: GPL-2.0-only
"""The lines by which two kernel trees differ, and those that programs ran."""

from functools import cache
from pathlib import Path

import candidate
from candidate.tree import PREFIX
from candidate.tree.build import make
from candidate.tree.building import cache as built_trees
from candidate.tree.building.errors import TreeError
from candidate.tree.building.source import TreeSource
from candidate.tree.lines.code import Lines, code_lines
from candidate.tree.lines.counts import CodeCounts
from candidate.tree.lines.difference import Exercise, TreeDifference
from candidate.tree.opening import settings_of


def exercise(reference: str, patched: str, counts: CodeCounts) -> Exercise | None:
    """Return the part of the difference of two trees that ran; None where one is none, is gone, or has changed.

    :param reference: name of the version that counts as the original
    :param patched: that of the candidate
    :param counts: of the programs
    """
    if not (reference.startswith(PREFIX) and patched.startswith(PREFIX)):
        return None
    versions = candidate.get(reference), candidate.get(patched)
    granules = {12} | {int(Path(library).parent.name.partition("-")[0]) for library in counts.by_library}
    ran: tuple[Lines, Lines] = ({}, {})
    try:
        for granule in sorted(granules):
            for version, lines in zip(versions, ran, strict=True):
                library = str(_library(version.name, version.content, granule))
                counters = counts.by_library.get(library)
                if counters is not None:
                    _add(lines, code_lines(library).ran(counters))
        return _difference(versions[0].name, versions[1].name, tuple(sorted(granules))).exercise(ran)
    except (TreeError, OSError, ValueError, LookupError):
        return None


@cache
def _library(name: str, content: str, granule: int) -> Path:
    """The library of a tree, by its name and by the content that it had; a change of it is another one."""
    return make(TreeSource(_root(name)), settings_of(granule)).library


def _root(name: str) -> Path:
    return Path(name.removeprefix(PREFIX))


@cache
def _difference(reference: str, patched: str, granules: tuple[int, ...]) -> TreeDifference:
    """The difference of two trees.

    :raises TreeError, OSError, ValueError: one is gone
    """
    names = reference, patched
    code: tuple[Lines, Lines] = ({}, {})
    digests: list[dict[str, str]] = []
    for name, lines in zip(names, code, strict=True):
        digests.append({})
        for granule in granules:
            library = _library(name, candidate.get(name).content, granule)
            _add(lines, code_lines(str(library)).lines)
            digests[-1].update(built_trees.read(library.parent)["files"])
    one, other = digests
    files = sorted(path for path in one | other if path.endswith((".c", ".h")) and one.get(path) != other.get(path))
    return TreeDifference((_root(reference), _root(patched)), files, code)


def _add(lines: Lines, more: Lines) -> None:
    for file, numbers in more.items():
        lines.setdefault(file, set()).update(numbers)
