# SPDX-License-Identifier: GPL-2.0-only
"""Runs of zero entries, which the software walk skips at once if no callback acts on them.

Most entries of a table are zero, and most walker callbacks ignore them. Each version declares which
of its callbacks do nothing with an entry that is zero (`reference.pgtable.Pgtable.PASSES_ZEROES`). A walk with one of
them continues after a run of zeroes, and so does mapping below an anchor. All counts are as if each entry were visited.
"""

from typing import Final

from .machine.sparse import SparseWords

# The functions, besides callbacks, that decide how an entry is treated: the code that visits it, and tests of its kind.
VISITS: Final = (
    "__kvm_pgtable_visit__",
    "kvm_pgtable_visitor_cb",
    "kvm_pte_valid",
    "kvm_pte_table",
    "stage2_pte_is_counted",
)
# A callback that calls another one for leaves: a class that overrides the caller may call the callee differently.
CALLED_BY: Final = {"stage2_map_walk_leaf": "stage2_map_walker"}
# Name of the declaration.
DECLARATION: Final = "PASSES_ZEROES"

_known: dict[type, tuple[bool, frozenset[str]]] = {}


def zeroes_from(words: SparseWords, start: int, most: int) -> int:
    """Return the number of consecutive words from index *start* on that are zero, at most *most*."""
    return words.first_used(start, start + most) - start


def skippable_runs(version: type[object]) -> tuple[bool, frozenset[str]]:
    """Return which runs of zeroes the walks of a version skip, as far as its declaration is valid.

    A declaration without callbacks means that nothing is skipped. A class derived from the declaring class that
    overrides a callback or one of `VISITS` must declare anew; without a new declaration each entry is visited.

    :returns: whether walks without a leaf callback skip zeroes; and the leaf callbacks whose walks do
    """
    known = _known.get(version)
    if known is None:
        # Attributes of classes derived from the declaring class; the declaration covers its own class only.
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
            skipping = [name for name in declared if name not in later and CALLED_BY.get(name) not in later]
            known = (True, frozenset(skipping))
        _known[version] = known
    return known
