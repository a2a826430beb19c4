# SPDX-License-Identifier: GPL-2.0-only
"""A patch may change the parameters of a function that native/ calls: no call passes others than the tree declares."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

import pytest

import candidate
from candidate.tree import PREFIX
from candidate.tree.building import probes
from candidate.tree.building.source import ARM, MMU, PGTABLE, TLB, TreeSource
from fuzz.judging.differential import Differential
from fuzz.judging.verdict import Verdict
from fuzz.language.text import parse

from .trees import changed, real_tree, real_trees, version

HEADER: Final = f"{ARM}/include/asm/kvm_pgtable.h"
ASM_HEADER: Final = f"{ARM}/include/asm/kvm_asm.h"
VM: Final = "s2fuzz 1\nvm cpus=1 range=on\nslot a size=64K backing=anon log=off\ncpu0 write a+0\n"
# Replacements in files of 7.3: kvm_pgtable_stage2_wrprotect() gets its flags from the caller.
PROTECTED: Final = "int kvm_pgtable_stage2_wrprotect(struct kvm_pgtable *pgt, u64 addr, u64 size"
FLAGS: Final = "enum kvm_pgtable_walk_flags flags"
WRPROTECT: Final = {
    HEADER: ((f"{PROTECTED})", f"{PROTECTED}, {FLAGS})"),),
    PGTABLE: (
        (f"{PROTECTED})", f"{PROTECTED}, {FLAGS})"),
        (
            "S2AP_W,\n\t\t\t\t\tNULL, NULL,\n\t\t\t\t\tKVM_PGTABLE_WALK_IGNORE_EAGAIN);",
            "S2AP_W,\n\t\t\t\t\tNULL, NULL, flags);",
        ),
    ),
    MMU: (
        ("KVM_PGT_FN(kvm_pgtable_stage2_wrprotect)", "protect"),
        (
            "void kvm_stage2_wp_range(",
            (
                "static int protect(struct kvm_pgtable *pgt, u64 addr, u64 size)\n{\n"
                "\treturn kvm_pgtable_stage2_wrprotect(pgt, addr, size, KVM_PGTABLE_WALK_IGNORE_EAGAIN);\n}\n"
                "void kvm_stage2_wp_range("
            ),
        ),
    ),
}
# __kvm_tlb_flush_vmid_range() gets a level.
PAGES: Final = "phys_addr_t start, unsigned long pages)"
RANGE: Final = {
    ASM_HEADER: ((PAGES, PAGES.replace(")", ", int level)")),),
    TLB: ((PAGES, PAGES.replace(")", ", int level)")), ("stride,\n\t\t\t\tTLBI_TTL_UNKNOWN", "stride, level")),
    PGTABLE: (("mmu, addr, inval_pages)", "mmu, addr, inval_pages, TLBI_TTL_UNKNOWN)"),),
}


def judged(folder: Path, edits: Mapping[str, tuple[tuple[str, str], ...]], operation: str) -> Verdict:
    """Return the verdict on a program of one access and one operation, for a tree with edits against the tree."""
    original, files = real_tree("7.3"), {}
    for path, replacements in edits.items():
        text = (original / path).read_text()
        for old, new in replacements:
            assert old in text, old
            text = text.replace(old, new)
        files[path] = text
    tree = f"{PREFIX}{changed(original, folder / 'tree', files)}"
    return Differential(candidate.get(version("7.3")), candidate.get(tree)).run(parse(f"{VM}{operation}\n"))


@pytest.mark.parametrize(
    ("operation", "refused"),
    [
        ("table wrprotect a+4K 4K", "kvm_pgtable_stage2_wrprotect() with other arguments"),
        ("table unmap a+0 4K", ""),
        ("log a on", ""),
    ],
)
def test_a_function_of_direct_calls(operation: str, refused: str, tmp_path: Path) -> None:
    verdict = judged(tmp_path, WRPROTECT, operation)
    assert (verdict.findings, verdict.refused) == ([], refused)


@pytest.mark.parametrize(
    ("operation", "refused"),
    [("log a on", "__kvm_tlb_flush_vmid_range() with other arguments"), ("table unmap a+0 4K", "")],
)
def test_a_function_of_tlb_c(operation: str, refused: str, tmp_path: Path) -> None:
    verdict = judged(tmp_path, RANGE, operation)
    assert (verdict.findings, verdict.refused) == ([], refused)


@pytest.mark.parametrize("name", real_trees())
def test_the_parameters_of_real_trees_are_known(name: str) -> None:
    """A tree ages by one function or by two, and older ones flush neither ranges nor the TLB of one CPU."""
    known = {probe for probe in probes.found(TreeSource(real_tree(name))) if probe.startswith("KNOWS_")}
    every = {probe.name for probe in probes.PROBES if probe.name.startswith("KNOWS_")}
    ageing = {f"KNOWS_kvm_pgtable_stage2_{each}" for each in ("mkold", "is_young", "test_clear_young")}
    flushes = {f"KNOWS___kvm_tlb_flush_vmid_{each}" for each in ("ipa_nsh", "range")}
    assert known >= every - ageing - flushes
    assert known & ageing in ({f"KNOWS_kvm_pgtable_stage2_{each}" for each in ("mkold", "is_young")}, {max(ageing)})
    assert known & flushes in (set(), flushes)
