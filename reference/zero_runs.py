# SPDX-License-Identifier: GPL-2.0-only
"""Runs of zero entries, which the software walk passes at once where nobody looks at them.

Most entries of a table are zero, and most walker callbacks only look for what is there. Each version declares which
of its callbacks do nothing with an entry that is zero (`reference.pgtable.Pgtable.PASSES_ZEROES`); a walk with one of
them goes on behind a run of zeroes, and so does mapping below an anchor. All counts are as if each were visited.
"""

from typing import Final

from .machine.sparse import SparseWords

# What decides, beside a callback, on what happens to an entry: who visits it, and what it is taken for.
VISITS: Final = (
    "__kvm_pgtable_visit__",
    "kvm_pgtable_visitor_cb",
    "kvm_pte_valid",
    "kvm_pte_table",
    "stage2_pte_is_counted",
)
# The callback that calls another one for leaves: a class that overrides the first has the second called as it likes.
CALLED_BY: Final = {"stage2_map_walk_leaf": "stage2_map_walker"}
# Name of the declaration.
DECLARATION: Final = "PASSES_ZEROES"

_known: dict[type, tuple[bool, frozenset[str]]] = {}


def zeroes_from(words: SparseWords, start: int, most: int) -> int:
    """Return how many words in a row, from index *start* on, are zero: *most* at most."""
    return words.first_used(start, start + most) - start


def passed_by(version: type[object]) -> tuple[bool, frozenset[str]]:
    """Return which runs of zeroes the walks of a version pass, as far as its declaration holds.

    A declaration of no callback means that nothing is passed. A class derived from the one that declares, which
    overrides a callback or one of `VISITS`, has to declare anew: if it knows nothing of this, each entry is visited.

    :returns: whether walks pass them that call nobody for a leaf; and the callbacks for leaves that do
    """
    known = _known.get(version)
    if known is None:
        # What classes derived from the one that declares have; it speaks for its own.
        later: set[str] = set()
        declared: tuple[str, ...] | None = None
        for each in version.__mro__:
            declared = vars(each).get(DECLARATION)
            if declared is not None:
                break
            later.update(vars(each))
        if not declared or any(name in later for name in VISITS):
            known = (False, frozenset())
        else:
            passing = [name for name in declared if name not in later and CALLED_BY.get(name) not in later]
            known = (True, frozenset(passing))
        _known[version] = known
    return known
