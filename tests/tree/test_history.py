# SPDX-License-Identifier: GPL-2.0-only
"""Bugs of later kernels, planted again in a tree that does not have them: random programs find each.

Bugs of functions that the ports have are in `candidate.bugs`.
"""

from pathlib import Path
from typing import Final, NamedTuple

import pytest

import candidate
from candidate.tree.building.source import MMU, PGTABLE
from fuzz.generation.capabilities import Offers
from fuzz.generation.generator import Generator
from fuzz.judging.differential import REGRESSION, Differential
from fuzz.language.program import KIB

from .trees import edited, version

SEED: Final = 1
PROGRAMS: Final = 400
_RETRY: Final = "\tif (mmu_invalidate_retry(kvm, s2vi->mmu_seq))"
_POST: Final = "\tmm_ops->put_page(ctx->ptep);\n\tmm_ops->put_page(childp);\n\tkvm_clear_pte(ctx->ptep);\n"


class PlantedAgain(NamedTuple):
    """A bug: tree, file, texts with their replacements, and the signature of the finding.

    *par*: whether only several actors show it
    """

    tree: str
    file: str
    changes: tuple[tuple[str, str], ...]
    signature: str
    par: bool = False


HISTORY: Final = {
    # Tables are destroyed range by range (fix 156f70afcfec, v6.19): a table is freed after its last entry is cleared,
    # and the entry that points to it is cleared too.
    "a table put while entries remain": PlantedAgain(
        "7.3",
        PGTABLE,
        (("\tif (mm_ops->page_count(childp) != 1)\n\t\treturn 0;\n\n\t/*\n\t * Drop", "\t/*\n\t * Drop"),),
        "leak: kvm_free_stage2_pgd: table pages left",
    ),
    "the entry of a freed table left": PlantedAgain(
        "7.3",
        PGTABLE,
        ((_POST, _POST.replace("\tkvm_clear_pte(ctx->ptep);\n", "")),),
        "lifetime: stage2_free_walker: walk of a freed table",
    ),
    # Fix 157dbc4a321f (v6.15): an execute fault on a block of a logged slot splits the block without a top-up.
    "the memory cache set only by a top-up": PlantedAgain(
        "6.12",
        MMU,
        (
            ("*memcache = &vcpu->arch.mmu_page_cache;\n\tstruct vm_area", "*memcache = NULL;\n\tstruct vm_area"),
            (
                "\t\tret = kvm_mmu_topup_memory_cache(memcache,",
                "\t\tmemcache = &vcpu->arch.mmu_page_cache;\n\t\tret = kvm_mmu_topup_memory_cache(memcache,",
            ),
        ),
        "contract: kvm_handle_guest_abort: error -12",
    ),
    # A return that does not release the page; fix 5f9466b50c1b (v6.18) cures another one.
    "a return with the frame pinned": PlantedAgain(
        "7.3",
        MMU,
        (
            (
                _RETRY + "\n\t\tgoto out_unlock;\n\n\tperm_fault_granule",
                _RETRY + " {\n\t\tkvm_fault_unlock(kvm);\n\t\treturn 0;\n\t}\n\n\tperm_fault_granule",
            ),
        ),
        "page-reference: kvm_handle_guest_abort: frame still pinned after a translation fault",
        par=True,
    ),
}


@pytest.mark.parametrize("bug", HISTORY)
def test_found(bug: str, tmp_path: Path) -> None:
    planted = HISTORY[bug]
    copy = edited(planted.tree, tmp_path / "tree", planted.file, planted.changes)
    differential = Differential(candidate.get(version(planted.tree)), candidate.get(copy))
    generator = Generator(SEED, 4 * KIB, Offers(par=planted.par))
    for _ in range(PROGRAMS):
        found = [each.signature for each in differential.run(generator.next()).findings if each.kind == REGRESSION]
        if planted.signature in found:
            return
    pytest.fail(f"not found in {PROGRAMS} programs")
