# SPDX-License-Identifier: GPL-2.0-only
"""Physical addresses of 52 bits on kernel trees: FEAT_LPA with 64K pages, FEAT_LPA2 with 4K and 16K."""

from pathlib import Path
from typing import Final

import pytest

import candidate
from candidate.tree.building.source import ARM, MMU, PGTABLE
from fuzz.execution.executor import Executor
from fuzz.judging.differential import REGRESSION, Differential
from fuzz.language.text import load, parse
from reference.machine.arena import HIGH
from reference.machine.descriptor import address_bits

from ..good_bad.case import violations
from .trees import planted, real_trees, version

SEEDS: Final = Path(__file__).parents[2] / "corpus" / "seeds"
TREES: Final = real_trees() or ["6.12"]
GRANULES: Final = ("4K", "16K", "64K")
HEADER: Final = f"{ARM}/include/asm/kvm_pgtable.h"
PAGES: Final = "vm{} cpus=1 pa=52\nslot a size=1M backing=anon\n"


@pytest.mark.parametrize("tree", TREES)
@pytest.mark.parametrize("granule", GRANULES)
def test_seed(granule: str, tree: str) -> None:
    """With these addresses, a tree shows only its known bugs."""
    both = candidate.get(version(tree))
    verdict = Differential(both, both).run(load(SEEDS / f"addresses-52-{granule}.s2"))
    if granule != "64K" and not both.main.HAS_LPA2:
        assert verdict.refused.endswith(f"which {both.name} does not have")
        return
    assert verdict.refused == ""
    assert [each.signature for each in verdict.findings if not each.known] == []


@pytest.mark.parametrize("granule", GRANULES)
def test_entries_hold_the_whole_address(granule: str) -> None:
    both = candidate.get(version("6.12"))
    assert both.main.HAS_LPA2
    program = parse(f"s2fuzz 1\n{PAGES.format(f' granule={granule}')}cpu0 write a+64K\n")
    executor = Executor(both, program)
    executor.create()
    executor.step(0)
    shadow, side = executor.checkers.shadows[0], executor.side
    level, entry = shadow.lookup(program.slots[0].ipa + (64 << 10))
    frame = side.host.frame_of(side.by_name["a"].hva + (64 << 10))
    assert (level, address_bits(entry, side.granule)) == (3, frame << side.granule.page_shift)
    assert address_bits(entry, side.granule) >= HIGH
    assert side.kernel.base >= HIGH
    executor.destroy()
    executor.dismantle()


# File, text, replacement, and the beginning of a signature.
PLANTED: Final = {
    "upper bits dropped": (
        HEADER,
        "\t\tpte |= FIELD_PREP(KVM_PTE_ADDR_51_50_LPA2, pa >> 50);\n",
        "",
        "lifetime: stage2_map_walker: non-table page entered",
    ),
    "upper bits of leaves dropped": (
        PGTABLE,
        "kvm_pte_t pte = kvm_phys_to_pte(pa);\n\tu64 type",
        "kvm_pte_t pte = kvm_phys_to_pte(pa & GENMASK(47, 0));\n\tu64 type",
        "isolation: stage2_map_walker: access to a frame not owned",
    ),
    "shareability over address bits": (
        PGTABLE,
        "\tif (!kvm_lpa2_is_enabled())\n\t\tattr |= FIELD_PREP(KVM_PTE_LEAF_ATTR_LO_S2_SH, sh);",
        "\tattr |= FIELD_PREP(KVM_PTE_LEAF_ATTR_LO_S2_SH, sh);",
        "isolation: stage2_map_walker: access to a frame not owned",
    ),
    "VTCR_EL2.DS forgotten": (PGTABLE, "\t\tvtcr |= VTCR_EL2_DS;", "\t\t;", "progress: "),
}


@pytest.mark.parametrize("mistake", PLANTED)
def test_planted(mistake: str, tmp_path: Path) -> None:
    file, text, instead, signature = PLANTED[mistake]
    copy = planted("6.12", tmp_path / "tree", file, text, instead)
    differential = Differential(candidate.get(version()), candidate.get(copy))
    narrow = parse(f"s2fuzz 1\n{PAGES.format('').replace(' pa=52', '')}cpu0 write a+64K\n")
    assert differential.run(narrow).findings == []
    wide = parse(f"s2fuzz 1\n{PAGES.format('')}cpu0 write a+64K\n")
    found = [each.signature for each in differential.run(wide).findings if each.kind == REGRESSION]
    assert [each for each in found if each.startswith(signature)], found


# A walk of the user page tables by the functions of the host, beside that of KVM.
LEAF: Final = "\tret = kvm_pgtable_get_leaf(&pgt, addr, &pte, &level);\n"
WALK: Final = """
	{
		pgd_t *pgdp = pgd_offset(kvm->mm, addr);
		p4d_t *p4dp = p4d_offset_lockless(pgdp, READ_ONCE(*pgdp), addr);
		pud_t *pudp = pud_offset_lockless(p4dp, READ_ONCE(*p4dp), addr);
		pud_t pud = READ_ONCE(*pudp);
		pmd_t *pmdp = pmd_offset_lockless(pudp, pud, addr), pmd = READ_ONCE(*pmdp);
		bool block = pmd_leaf(pmd);
		unsigned long pfn = block ? pmd_pfn(pmd) : pte_pfn(READ_ONCE(*pte_offset_kernel(pmdp, addr)));

		WARN_ON(level != (block ? 2 : 3));
		WARN_ON(pfn != kvm_pte_to_phys(pte) >> PAGE_SHIFT);
	}
"""


THP: Final = "vm granule={} cpus=1{}\nslot a size={} backing=thp\ncpu0 write a+64K\n"
SIZES: Final = (("4K", "2M"), ("16K", "32M"))


@pytest.mark.parametrize(("granule", "size"), SIZES)
def test_walks_of_user_tables_by_the_host(granule: str, size: str, tmp_path: Path) -> None:
    """Functions such as pgd_offset() and pte_pfn() understand the layout of the user page tables."""
    tree = candidate.get(planted("7.3", tmp_path / "tree", MMU, LEAF, LEAF + WALK))
    more = f"host split a+0\ncpu0 read a+128K\nhost discard a+0 {granule}\ncpu0 read a+0\n"
    for width in ("", " pa=52"):
        assert violations(tree, THP.format(granule, width, size) + more) == []


@pytest.mark.parametrize(("granule", "size"), SIZES)
def test_a_wrong_frame_in_such_a_walk_is_noticed(granule: str, size: str, tmp_path: Path) -> None:
    tree = candidate.get(planted("7.3", tmp_path / "tree", MMU, LEAF, LEAF + WALK.replace("pfn != ", "pfn + 1 != ")))
    found = violations(tree, THP.format(granule, " pa=52", size))
    assert [each.what for each in found][:1] == ["WARN"]
