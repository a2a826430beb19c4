# SPDX-License-Identifier: GPL-2.0-only
"""Fixes that upstream made, taken back by hand in copies of trees: each is found by a fixed program (docs/upstream-fixes.md)."""

from pathlib import Path
from typing import Final, NamedTuple

import pytest

import candidate
from candidate.tree.building.source import MMU, PGTABLE
from fuzz.judging.differential import REGRESSION, Differential
from fuzz.language.text import parse

from .trees import planted, version

EMULATE: Final = "arch/arm64/include/asm/kvm_emulate.h"
ONE_PAGE: Final = "slot a size=4K backing=anon"


class Reverted(NamedTuple):
    """A fix: the tree that has it, the text of it, what stands there without it, a program, and the regression that is first.

    *program*: its lines behind the version of the format
    """

    tree: str
    file: str
    text: str
    instead: str
    program: str
    signature: str


FIXES: Final = {
    "13ec9308a857": Reverted(
        "6.12",
        MMU,
        "\tmmu_seq = vcpu->kvm->mmu_invalidate_seq;\n\tmmap_read_unlock(current->mm);\n",
        "\tmmap_read_unlock(current->mm);\n\tmmu_seq = vcpu->kvm->mmu_invalidate_seq;\n\tsmp_rmb();\n",
        f"vm\n{ONE_PAGE}\ncpu0 read a+0",
        "fault-order: kvm_handle_guest_abort: notifier sequence sampled after the mmap lock was dropped after a "
        "translation fault",
    ),
    "a9f0e3d5a089": Reverted(
        "6.12",
        PGTABLE,
        "KVM_PGTABLE_WALK_TABLE_PRE);\n\t\treload = true;\n",
        "KVM_PGTABLE_WALK_TABLE_PRE);\n",
        "vm\nslot a size=2M backing=thp\ntable map a+4K 4K r\ntable map a+0 2M r",
        "lifetime: stage2_map_walker: walk of a table that was handed to RCU, outside of rcu_read_lock",
    ),
    "7d29a2407df6": Reverted(
        "6.12",
        PGTABLE,
        "\t\treturn !(walker->flags & KVM_PGTABLE_WALK_HANDLE_FAULT);",
        "\t\treturn false;",
        "vm\nslot a size=8K backing=anon\ncpu0 read a+4K\nlog a on",
        "translation: stage2_attr_walker: writable and not in the dirty log L3",
    ),
    "36e008323926": Reverted(
        "6.12",
        PGTABLE,
        "mmu, ctx->addr,\n\t\t\t\t     TLBI_TTL_UNKNOWN);",
        "mmu, ctx->addr,\n\t\t\t\t     ctx->level);",
        f"vm ttl=on\n{ONE_PAGE}\ncpu0 read a+0\nhost discard a+0 4K",
        "lifetime: stage2_unmap_walker: freed before the flush",
    ),
    "f62d4c3eb687": Reverted(
        "6.12",
        PGTABLE,
        "\t\tif (kvm_pte_table(ctx->old, ctx->level)) {\n\t\t\tkvm_call_hyp(__kvm_tlb_flush_vmid_ipa, mmu, ctx->addr,",
        "\t\tif (stage2_unmap_defer_tlb_flush(pgt)) {\n\t\t} else if (kvm_pte_table(ctx->old, ctx->level)) {\n"
        "\t\t\tkvm_call_hyp(__kvm_tlb_flush_vmid_ipa, mmu, ctx->addr,",
        f"vm fwb=on range=on\n{ONE_PAGE}\ncpu0 read a+0\nhost discard a+0 4K",
        "lifetime: stage2_unmap_walker: freed before the flush",
    ),
    "406504c7b040": Reverted(
        "6.12",
        EMULATE,
        "\t\treturn kvm_vcpu_trap_is_permission_fault(vcpu);\n\t}\n\n\tif (kvm_vcpu_trap_is_iabt",
        "\t\treturn true;\n\t}\n\n\tif (kvm_vcpu_trap_is_iabt",
        f"vm\n{ONE_PAGE} ro=on\ncpu0 walk a+0",
        "contract: kvm_handle_guest_abort: walk of memory answered with an abort",
    ),
    "df6556adf27b": Reverted(
        "6.12",
        MMU,
        "\t\t\t\t\t\t   size, true);",
        "\t\t\t\t\t\t   1, true);",
        "vm\nslot a size=2M backing=thp log=on\ncpu0 read a+4K\nhost age a+0 2M",
        "ageing: kvm_mmu_notifier_clear_flush_young: still young after clearing, behind the first leaf of a huge page L3",
    ),
}


@pytest.mark.parametrize("fix", FIXES)
def test_a_fix_that_is_taken_back_is_found(fix: str, tmp_path: Path) -> None:
    it = FIXES[fix]
    without = planted(it.tree, tmp_path / "tree", it.file, it.text, it.instead)
    program = parse(f"s2fuzz 1\n{it.program}\n")
    findings = Differential(candidate.get(version(it.tree)), candidate.get(without)).run(program).findings
    assert [each.signature for each in findings if each.kind == REGRESSION][:1] == [it.signature]
