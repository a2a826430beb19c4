# SPDX-License-Identifier: GPL-2.0-only
"""Planted bugs: known ones brought back, and plausible slips, each on top of a version that does not have it.

The benchmark ranks engines by them (`fuzz.benchmark.finding`): some show in every tenth
random program, some in one of tens of thousands. Nobody submits them as patches,
so `candidate.names` leaves them out.
"""

from typing import Final, NamedTuple

from reference.mmu import Mmu
from reference.pgtable import Pgtable

from . import exec_clean, huge_end, hyp_again, last_page, nested_put, relax_hint, reset_hole, walk_align


class Bug(NamedTuple):
    """A planted bug.

    :param name: as on the command line
    :param base: name of the version that it is planted in, and is to be judged against
    :param signature: of the regression that is its own
    :param origin: one line: what is wrong and where that comes from
    """

    name: str
    pgtable: type[Pgtable]
    mmu: type[Mmu]
    base: str
    signature: str
    origin: str


# In the order of depth: programs that the random engine needs.
BUGS: Final[tuple[Bug, ...]] = (
    Bug(
        "bug-walk-align",
        walk_align.PgtableWalkAlign,
        walk_align.MmuWalkAlign,
        "v5.14",
        "translation: stage2_unmap_walker: still mapped after invalidation L3",
        "upstream fix 357ad203d45c (v5.12) is lost: a walk that starts inside of an entry ends early",
    ),
    Bug(
        "bug-exec-clean",
        exec_clean.PgtableExecClean,
        exec_clean.MmuExecClean,
        "rfc-v1-fixed",
        "dcache: stage2_map_walker: table->block after a translation fault, not cleaned L2",
        "the clean that the review of RFC v1 asked for is left out where the block may be executed",
    ),
    Bug(
        "bug-huge-end",
        huge_end.PgtableHugeEnd,
        huge_end.MmuHugeEnd,
        "v5.14",
        "translation: stage2_map_walker: leaf outside of any slot L2",
        "off by one: a block may stick out of its slot by a page",
    ),
    Bug(
        "bug-reset-hole",
        reset_hole.PgtableResetHole,
        reset_hole.MmuResetHole,
        "v5.14",
        "translation: kvm_pgtable_stage2_unmap: still mapped after unmapping L3",
        "a vCPU's reset unmaps a slot up to the first hole in the host's memory only",
    ),
    Bug(
        "bug-nested-put",
        nested_put.PgtableNestedPut,
        nested_put.MmuNestedPut,
        "rfc-v1-fixed",
        "leak: kvm_free_stage2_pgd: table pages left",
        "the put_page() that the review of RFC v1 asked for is missing, below a 1G block only",
    ),
    Bug(
        "bug-relax-hint",
        relax_hint.PgtableRelaxHint,
        relax_hint.MmuRelaxHint,
        "v5.14",
        "progress: kvm_handle_guest_abort: access does not complete",
        "a 1G block that gets more rights is flushed with the level hint of a 2M block",
    ),
    Bug(
        "bug-last-page",
        last_page.PgtableLastPage,
        last_page.MmuLastPage,
        "original",
        "contract: kvm_set_memory_region: error -14",
        "mmu.c blob 77cb2d28f2a4 (v5.12-rc2): no slot may hold the last page of the guest's address space",
    ),
    Bug(
        "bug-hyp-again",
        hyp_again.PgtableHypAgain,
        hyp_again.MmuHypAgain,
        "original",
        "contract: hyp_map_walker_try_leaf: WARN",
        "hyp tables do not tolerate the very same mapping a second time",
    ),
)
