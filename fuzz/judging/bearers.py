# SPDX-License-Identifier: GPL-2.0-only
"""The versions that have a known bug.

A version in Python is asked by its functions: it has a bug if they are those of a version that has it. What the
functions of a kernel tree do, no class says: the program of the bug is run on the tree, alone and under the checkers,
and the tree has the bug if it shows it and the condition holds. No version number is looked at.
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


class Asked(NamedTuple):
    """The answer of the program of a known bug on a version.

    :param signature: of the first violation that the bug explains; "" if there is none: the version does not have it
    :param refused: what of the version is not modelled, and the program needs, so that nobody knows; or ""
    """

    signature: str
    refused: str


@cache
def asked(version: Candidate, bug: str) -> Asked:
    """Run the program of a known bug on a version, with no other beside it.

    :param bug: its id
    :raises candidate.tree.TreeError: a process of the tree does not start
    """
    program = load(program_of(bug))
    executor = Executor(version, program)
    if missing(executor.side, program):
        # It is a bug of what the version does not have.
        executor.dismantle()
        return Asked("", "")
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
    if executor.refused:
        return Asked("", executor.refused)
    entries = known_bugs()
    shown = [each.signature for each in found if any(entries[number].id == bug for number in each.known)]
    return Asked(shown[0] if shown else "", "")


@cache
def has(version: Candidate, bug: KnownBug) -> bool:
    """Tell whether a version has a bug: its entry names it, or one with the same functions, or its program shows it."""
    if version.is_tree:
        return asked(version, bug.id).signature != ""
    bearers = [candidate.declared(name) for name in bug.versions]
    return version in bearers or any(_alike(version, each, bug.functions) for each in bearers)


def _alike(one: Candidate, other: Candidate, functions: tuple[str, ...]) -> bool:
    """Tell whether two versions have functions from the same places."""
    return all(definitions(one, name) == definitions(other, name) for name in functions)


def known_bug(signature: str, version: Candidate | None = None) -> KnownBug | None:
    """The known bug with this signature that *version*, by default the original, has, if any.

    A signature that fits explains nothing yet: `fuzz.judging.conditions` knows whether the condition held.
    """
    return next(bugs_like(signature, version or candidate.get(candidate.names()[0])), None)


def bugs_like(signature: str, version: Candidate) -> Iterator[KnownBug]:
    """The known bugs of a version whose signature this is, as with `known_bug`."""
    return (bug for _, bug in fitting(signature) if has(version, bug))


def explanation(finding: Finding, version: Candidate) -> KnownBug | None:
    """The known bug of *version* that explains a finding of both sides or of the reference.

    Several may have its signature: the one that it names counts, if it names one, and by its reason what it follows
    from.
    """
    if UNMET in finding.reason:
        return None
    _, _, cause = finding.reason.partition(FOLLOWS)
    bugs = [bug for _, bug in fitting(cause or finding.signature) if has(version, bug)]
    return next((bug for bug in bugs if bug.id == finding.known), bugs[0] if bugs else None)
