# SPDX-License-Identifier: GPL-2.0-only
"""The lines in which two kernel trees differ, and those of them that programs ran."""

from functools import cache
from pathlib import Path

import candidate
from candidate.tree import PREFIX, SANITIZE, TreeError, root_of, source_of
from candidate.tree.library import BuiltTree, folder, look_up
from candidate.tree.lines.alike import changed
from candidate.tree.lines.branches import branches
from candidate.tree.lines.code import Lines, code_lines
from candidate.tree.lines.counts import CodeCounts
from candidate.tree.lines.difference import Exercise, TreeDifference
from candidate.tree.lines.outside import outside
from candidate.tree.opening import settings_of


def only_one_is_tree(reference: str, candidate_name: str) -> bool:
    """Return whether exactly one version is a kernel tree: the lines in which the versions differ are then unknown."""
    return reference.startswith(PREFIX) != candidate_name.startswith(PREFIX)


def exercise(
    reference: str, candidate_name: str, counts: CodeCounts, unjudged: CodeCounts | None = None
) -> Exercise | None:
    """Return the part of the difference of two trees that ran; None if a version is not a tree.

    If a tree is missing or has changed, `Exercise.unknown` gives the reason.

    :param reference: name of the version that the candidate is compared with
    :param candidate_name: name of the candidate
    :param counts: counts of the judged programs
    :param unjudged: counts of the programs without a verdict
    """
    if not (reference.startswith(PREFIX) and candidate_name.startswith(PREFIX)):
        return None
    try:
        return _exercise((reference, candidate_name), (counts, unjudged or CodeCounts()))
    except (TreeError, candidate.UnknownCandidateError) as error:
        return _unknown(str(error))
    except OSError as error:
        return _unknown(f"{error.filename}: {error.strerror}")
    except (ValueError, LookupError) as error:
        return _unknown(f"{folder()}: the built library is damaged ({error!r}); remove that folder")


def _unknown(why: str) -> Exercise:
    return Exercise(0, 0, [], [], why.partition("\n")[0])


def _exercise(names: tuple[str, str], counts: tuple[CodeCounts, CodeCounts]) -> Exercise:
    """Return the part of the difference of two trees that ran.

    :param counts: of the judged programs, and of those without a verdict
    :raises TreeError: a tree is missing or has changed
    :raises OSError, ValueError, LookupError: a build cannot be read
    """
    versions = candidate.get(names[0]), candidate.get(names[1])
    # Units of a campaign may run on machines with other cache folders, but entries have the same name everywhere.
    by_entry = [_by_entry(each) for each in counts]
    entries = {*by_entry[0], *by_entry[1]}
    granules = tuple(sorted({12} | {int(entry.partition("-")[0]) for entry in entries}))
    built = [[_built(version.name, version.content, granule) for granule in granules] for version in versions]
    if not entries <= {each.entry for side in built for each in side}:
        raise TreeError("a tree has changed since the programs ran; run them again")
    difference = _difference(names, (versions[0].content, versions[1].content), granules)
    judged, unjudged = ran = [(Lines(), Lines()) for _ in by_entry]
    for lines, counters in zip(ran, by_entry, strict=True):
        for side, root in enumerate(difference.roots):
            for each in built[side]:
                if (ran_there := counters.get(each.entry)) is not None:
                    library = str(each.library)
                    _add(lines[side], code_lines(library).ran(ran_there))
                    _add(lines[side], branches(library, root, tuple(difference.files)).ran(ran_there))
    functions: set[str] = set()
    for pair in zip(*built, strict=True):
        differing = changed(*(each.library for each in pair))
        for each in pair:
            if differing and (ran_there := by_entry[0].get(each.entry)) is not None:
                functions |= differing & code_lines(str(each.library)).called(ran_there)
    return difference.exercise(judged, unjudged, functions)


def _by_entry(counts: CodeCounts) -> dict[str, bytes]:
    """Return counters by the name of the cache entry that contains their library."""
    found = CodeCounts()
    for library, counters in counts.by_library.items():
        found.add(Path(library).parent.name, counters)
    return found.by_library


@cache
def _built(name: str, content: str, granule: int) -> BuiltTree:
    """Return the library of a tree from the cache.

    :param content: the name of its entry for 4K pages, which changes with the tree
    :raises TreeError: the tree is missing or has changed
    :raises OSError, ValueError: the record of the build cannot be read
    """
    source = source_of(name)
    built = look_up(source, settings_of(granule, name.endswith(SANITIZE)))
    if built is None or (granule == 12 and built.entry != content):
        raise TreeError(f"{source.name} has changed since it was built; run it again")
    return built


@cache
def _difference(names: tuple[str, str], contents: tuple[str, str], granules: tuple[int, ...]) -> TreeDifference:
    """Return the difference of two trees.

    :raises TreeError, OSError, ValueError, LookupError: as in `_exercise`
    """
    code: tuple[Lines, Lines] = ({}, {})
    instructions: tuple[Lines, Lines] = ({}, {})
    digests: list[dict[str, str]] = []
    uncompiled: set[str] = set()
    dropped: list[dict[str, set[str]]] = []
    for name, content, lines, more in zip(names, contents, code, instructions, strict=True):
        digests.append({})
        dropped.append({})
        for granule in granules:
            built = _built(name, content, granule)
            compiled = code_lines(str(built.library))
            _add(lines, compiled.lines)
            _add(more, compiled.instructions)
            digests[-1].update(built.record["files"])
            # The build has read these files, but not used them.
            uncompiled.update(built.record["failed"], built.record["passed"])
            # Builds for different granules drop the same functions, or nearly so.
            for path, functions in built.record["unreached"].items():
                dropped[-1].setdefault(path, set()).update(functions)
    one, other = digests
    read = {path for path in one | other if path.endswith((".c", ".h"))} - uncompiled
    files = sorted(path for path in read if one.get(path) != other.get(path))
    roots = root_of(names[0]), root_of(names[1])
    for name, content, root, lines in zip(names, contents, roots, code, strict=True):
        for granule in granules:
            library = str(_built(name, content, granule).library)
            _add(lines, branches(library, root, tuple(files)).lines)
    return TreeDifference(roots, files, code, outside(roots, read), instructions, (dropped[0], dropped[1]))


def _add(lines: Lines, more: Lines) -> None:
    for file, numbers in more.items():
        lines.setdefault(file, set()).update(numbers)
