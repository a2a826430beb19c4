# SPDX-License-Identifier: GPL-2.0-only
"""VTCR_EL2 and VTTBR_EL2 as a tree composes them."""

from pathlib import Path

import candidate
from candidate.tree.building.source import MMU, PGTABLE
from fuzz.judging.differential import DIVERGENCE, REGRESSION, Differential, Verdict
from fuzz.language.program import Program
from fuzz.language.text import parse

from .trees import planted, version

PROGRAM = parse("s2fuzz 1\nvm cpus=1\nslot a size=4K backing=anon\ncpu0 read a+0\n")


def verdict_on(folder: Path, path: str, text: str, instead: str, program: Program = PROGRAM) -> Verdict:
    """Judge a copy of a tree with a text replaced."""
    copy = planted("6.12", folder / "tree", path, text, instead)
    return Differential(candidate.get(version()), candidate.get(copy)).run(program)


def found_on(folder: Path, path: str, text: str, instead: str, program: Program = PROGRAM) -> list[tuple[str, str]]:
    """Return class and signature of the findings on a copy of a tree with a text replaced."""
    return [(each.kind, each.signature) for each in verdict_on(folder, path, text, instead, program).findings]


def test_tables_above_what_vtcr_allows(tmp_path: Path) -> None:
    # PS stays 0, which means 32 bits: every walk ends at the root, whatever the fault has mapped.
    text = "\tvtcr |= kvm_get_parange(mmfr0) << VTCR_EL2_PS_SHIFT;\n"
    assert found_on(tmp_path, PGTABLE, text, "") == [
        (REGRESSION, "progress: kvm_handle_guest_abort: access does not complete"),
        (DIVERGENCE, "VTCR_EL2"),
    ]


def test_a_buffer_of_dirty_pages_has_no_verdict(tmp_path: Path) -> None:
    verdict = verdict_on(tmp_path, PGTABLE, "vtcr |= VTCR_EL2_HA;", "vtcr |= VTCR_EL2_HA | VTCR_EL2_HD | BIT(45);")
    assert verdict.refused == "the hardware's buffer of dirty pages (VTCR_EL2.HDBSS)"


def test_dirty_state_of_the_hardware_is_no_difference(tmp_path: Path) -> None:
    """Without DBM in a leaf, VTCR_EL2.HD has no effect."""
    assert found_on(tmp_path, PGTABLE, "vtcr |= VTCR_EL2_HA;", "vtcr |= VTCR_EL2_HA | VTCR_EL2_HD;") == []


def test_base_of_the_root(tmp_path: Path) -> None:
    text = "\tmmu->pgd_phys = __pa(pgt->pgd);\n"
    assert found_on(tmp_path, MMU, text, text.replace(");", ") + PAGE_SIZE;")) == [
        (REGRESSION, "lifetime: kvm_init_stage2_mmu: root at another address than VTTBR_EL2 has")
    ]


def test_walks_that_are_not_shareable(tmp_path: Path) -> None:
    assert found_on(tmp_path, PGTABLE, "vtcr |= VTCR_EL2_HA;", "vtcr &= ~(3UL << 12);") == [
        (REGRESSION, "lifetime: kvm_init_stage2_mmu: VTCR_EL2 makes walks incoherent")
    ]


def test_field_without_a_rule(tmp_path: Path) -> None:
    text = "VTCR_EL2_VS_16BIT :"
    assert (DIVERGENCE, "VTCR_EL2") in found_on(tmp_path, PGTABLE, text, "0 :")


def test_root_at_another_level(tmp_path: Path) -> None:
    """One root page at level 0 does for 40 bits what two at level 1 do, and breaks no rule."""
    text = "\tlvls = stage2_pgtable_levels(phys_shift);\n"
    program = parse("s2fuzz 1\nvm cpus=1 ipa=40\nslot a size=2M backing=anon\ncpu0 write a+0\n")
    found = found_on(tmp_path, PGTABLE, text, "\tlvls = ARM64_HW_PGTABLE_LEVELS(phys_shift);\n", program)
    assert found == [(DIVERGENCE, "VTCR_EL2")]
