# SPDX-License-Identifier: GPL-2.0-only
"""Determine which versions have a known bug.

A Python version has a bug if its functions are those of a version known to have it. A kernel tree has no classes to
compare, so s2fuzz runs the bug's program on the tree alone, under the checkers. The tree has the bug if the program
shows it and the condition holds. Version numbers play no role.
"""

from collections.abc import Iterator
from functools import cache
from typing import NamedTuple

import candidate
from candidate import Candidate

from ..execution.executor import Executor, missing
from ..language.text import load
from .conditions import Conditions
from .finding import Finding
from .known import FOLLOWS, UNMET, KnownBug, definitions, fitting, known_bugs, program_of


class BugRun(NamedTuple):
    """The result of running a known bug's program on a version.

    :param signature: signature of the first violation that the bug explains; "": the version does not have the bug
    :param refused: a feature that the program needs and that is not modelled, so the result is unknown; "" otherwise
    """

    signature: str
    refused: str


@cache
def bug_run(version: Candidate, bug: str) -> BugRun:
    """Run the program of a known bug on a version, on its own.

    :param bug: its id
    :raises candidate.tree.TreeError: a process of the tree does not start
    :raises TreeNotStartedError: the system cannot start a process now; nothing is remembered of this run
    """
    program = load(program_of(bug))
    executor = Executor(version, program)
    if missing(executor.side, program):
        # The bug is in a feature that the version does not have.
        executor.dismantle()
        return BugRun("", "")
    conditions = Conditions(executor)
    found = executor.create()
    conditions.explain(found)
    for at in range(len(program.operations)):
        if executor.dead:
            break
        _, more = executor.step(at)
        conditions.explain(more)
        found += more
    executor.dismantle()
    if executor.tree is not None:
        # This run compares no two versions.
        executor.tree.withdraw()
    if executor.not_started is not None:
        raise executor.not_started
    if executor.refused:
        return BugRun("", executor.refused)
    entries = known_bugs()
    shown = [each.signature for each in found if any(entries[number].id == bug for number in each.known)]
    return BugRun(shown[0] if shown else "", "")


@cache
def has_bug(version: Candidate, bug: KnownBug) -> bool:
    """Return whether a version has a bug: by its entry's versions, by equal functions, or by running its program.

    :raises TreeNotStartedError: as `bug_run`
    """
    if version.is_tree:
        return bug_run(version, bug.id).signature != ""
    declared = [candidate.declared(name) for name in bug.versions]
    return version in declared or any(_alike(version, each, bug.functions) for each in declared)


def _alike(one: Candidate, other: Candidate, functions: tuple[str, ...]) -> bool:
    """Return whether two versions take these functions from the same classes."""
    return all(definitions(one, name) == definitions(other, name) for name in functions)


def known_bug(signature: str, version: Candidate | None = None) -> KnownBug | None:
    """Return the known bug with this signature that *version* (default: the original) has, if any.

    A matching signature explains nothing yet: `fuzz.judging.conditions` determines whether the condition held.
    """
    return next(bugs_like(signature, version or candidate.get(candidate.names()[0])), None)


def bugs_like(signature: str, version: Candidate) -> Iterator[KnownBug]:
    """Return the known bugs of a version that match this signature, as in `known_bug`."""
    return (bug for _, bug in fitting(signature) if has_bug(version, bug))


def explanation(finding: Finding, version: Candidate) -> KnownBug | None:
    """Return the known bug of *version* that explains a finding of both sides or of the reference.

    Several bugs may match the signature. The bug that the finding names takes precedence. If the reason names a cause,
    the cause's signature is matched.
    """
    if UNMET in finding.reason:
        return None
    _, _, cause = finding.reason.partition(FOLLOWS)
    bugs = [bug for _, bug in fitting(cause or finding.signature) if has_bug(version, bug)]
    return next((bug for bug in bugs if bug.id == finding.known), bugs[0] if bugs else None)
