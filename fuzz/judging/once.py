# SPDX-License-Identifier: GPL-2.0-only
"""Two kernel trees that do the same are judged once.

Most programs do not reach the lines by which a patch changes a tree. Then the records of both are the same, and so is
all that checkers see. The reference is judged; the candidate runs beside it, and digests of all that it does are
compared. At the first difference, or if there is anything to report, the program is judged again in full.
"""

from typing import Final

from candidate import Candidate
from candidate.tree.lines.code import code_lines
from candidate.tree.runtime.errors import TwinDiffers
from candidate.tree.runtime.versions import TreePgtable

from ..execution.executor import Executor
from ..features.features import Features
from ..language.program import Program
from .cost import Comparison, Cost
from .notes import notes_of
from .verdict import Verdict

# Of an executor before anything runs: the creation of the VMs.
_CREATION: Final = -1


def alike(reference: Candidate, candidate: Candidate) -> bool:
    """Return whether both are trees of which checkers require the same."""
    if not (reference.is_tree and candidate.is_tree):
        return False
    return all(
        declared(ours) == declared(theirs)
        for ours, theirs in (
            (reference.pgtable, candidate.pgtable),
            (reference.mmu, candidate.mmu),
            (reference.main, candidate.main),
        )
    )


def declared(version: type[object]) -> dict[str, object]:
    """Return what a tree was found to declare, by name."""
    return {name: getattr(version, name) for name in dir(version) if name.isupper()}


def judge_once(
    reference: Candidate, candidate: Candidate, program: Program, measure: bool, features: bool
) -> Verdict | None:
    """The verdict on a program on which two trees do the same, and nothing is to be reported; else None.

    :param measure: as of `fuzz.judging.differential.Differential`
    :param features: likewise
    """
    left = Executor(reference, program)
    pgtable = left.side.pgtable
    assert isinstance(pgtable, TreePgtable)
    assert issubclass(candidate.pgtable, TreePgtable)
    pgtable.tree.twin_library = candidate.pgtable.library
    costs = Cost(left) if measure else None
    seen = Features(left, left) if features else None
    same = False
    notes: list[str] = []
    try:
        if followed(left, seen, notes):
            pgtable.tree.settle()
            same = True
    except TwinDiffers:
        pass
    finally:
        left.checkers.dismantle()
        left.side.dismantle()
    if not same:
        pgtable.tree.withdraw()
        return None
    verdict = Verdict(notes=notes)
    if costs is not None:
        verdict.costs = Comparison(costs.totals(), costs.totals(), True)
    # What a tree's code counted is known once its program is over.
    ran = ((pgtable.tree.counted, pgtable.tree.counters), (pgtable.tree.twin_counted, pgtable.tree.twin_counters))
    for library, counters in ran:
        verdict.counts.add(library, counters)
    if seen is not None:
        ours, theirs = (ways(*each) for each in ran)
        verdict.features = seen.total((ours, theirs))
    return verdict


def ways(library: str, counters: bytes) -> set[int]:
    """The features of the code of a tree that ran: each way through it that was counted."""
    return set(code_lines(library).features(counters)) if library else set()


def followed(left: Executor, seen: Features | None, notes: list[str]) -> bool:
    """Run a program on the reference, with the candidate beside it; return whether there is nothing to report.

    :param notes: takes the lines of `fuzz.judging.notes`
    :raises TwinDiffers: the candidate does something else
    """
    found = left.create()
    operations = left.program.operations
    for at in range(_CREATION, len(operations)):
        if at > _CREATION:
            outcome, found = left.step(at)
            notes += notes_of(at, outcome, outcome)
            if seen is not None:
                seen.compare(operations[at], (outcome, outcome), ([], []))
        elif seen is not None:
            seen.compare(None, None, ([], []))
        if found or left.dead:
            return False
    if left.destroy() or left.dead:
        return False
    if seen is not None:
        seen.compare(None, None, ([], []))
    return True
