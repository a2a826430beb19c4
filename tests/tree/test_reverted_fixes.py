# SPDX-License-Identifier: GPL-2.0-only
"""Upstream fixes, reverted in copies of trees: a fixed program finds each bug (docs/upstream-fixes.md)."""

from pathlib import Path
from typing import Final, NamedTuple

import pytest

import candidate
from candidate.tree.building.source import KVM_MAIN, MMU, PGTABLE, TLB
from fuzz.judging.differential import REGRESSION, Differential
from fuzz.language.text import parse

from .trees import edited, version

FLUSHES: Final = "arch/arm64/include/asm/tlbflush.h"
READERS: Final = "arch/arm64/include/asm/kvm_pgtable.h"
EMULATE: Final = "arch/arm64/include/asm/kvm_emulate.h"
ONE_PAGE: Final = "slot a size=4K backing=anon"


class Reverted(NamedTuple):
    """A fix: a tree that has it, its texts in a file, and their replacements without the fix.

    *program*: its lines after the format version; *signature*: signature of the first regression
    """

    tree: str
    file: str
    edits: tuple[tuple[str, str], ...]
    program: str
    signature: str


FIXES: Final = {
    "13ec9308a857": Reverted(
        "6.12",
        MMU,
        (
            (
                "\tmmu_seq = vcpu->kvm->mmu_invalidate_seq;\n\tmmap_read_unlock(current->mm);\n",
                "\tmmap_read_unlock(current->mm);\n\tmmu_seq = vcpu->kvm->mmu_invalidate_seq;\n\tsmp_rmb();\n",
            ),
        ),
        f"vm\n{ONE_PAGE}\ncpu0 read a+0",
        "fault-order: kvm_handle_guest_abort: notifier sequence sampled after the mmap lock was dropped after a "
        "translation fault",
    ),
    "f587661f21eb": Reverted(
        "6.1",
        MMU,
        (
            (
                "fault_status == FSC_PERM && write_fault &&\n\t\t\t\t fault_granule == PAGE_SIZE);",
                "fault_status == FSC_PERM && write_fault);",
            ),
            ('\t\tWARN_ONCE(use_read_lock, "Attempted stage-2 map outside of write lock\\n");\n', ""),
        ),
        "vm\nslot a size=2M backing=thp\ncpu0 write a+0\nlog a on\ncpu0 write a+0",
        "locking: stage2_map_walker: entry written without a compare-exchange under mmu_lock for reading L2",
    ),
    "8c2e8ac8ad4b": Reverted(
        "6.12",
        MMU,
        (("\tvma = NULL;\n", ""), ("\t\tif (mte_allowed) {\n", "\t\tif (kvm_vma_mte_allowed(vma)) {\n")),
        f"vm mte=on\n{ONE_PAGE}\ncpu0 read a+0",
        "locking: kvm_handle_guest_abort: VMA read after the mmap lock was dropped",
    ),
    "a9f0e3d5a089": Reverted(
        "6.12",
        PGTABLE,
        (("KVM_PGTABLE_WALK_TABLE_PRE);\n\t\treload = true;\n", "KVM_PGTABLE_WALK_TABLE_PRE);\n"),),
        "vm\nslot a size=2M backing=thp\ntable map a+4K 4K r\ntable map a+0 2M r",
        "lifetime: stage2_map_walker: walk of a table that was handed to RCU, outside of rcu_read_lock",
    ),
    "7d29a2407df6": Reverted(
        "6.12",
        PGTABLE,
        (("\t\treturn !(walker->flags & KVM_PGTABLE_WALK_HANDLE_FAULT);", "\t\treturn false;"),),
        "vm\nslot a size=8K backing=anon\ncpu0 read a+4K\nlog a on",
        "translation: stage2_attr_walker: writable and not in the dirty log L3",
    ),
    "36e008323926": Reverted(
        "6.12",
        PGTABLE,
        (("mmu, ctx->addr,\n\t\t\t\t     TLBI_TTL_UNKNOWN);", "mmu, ctx->addr,\n\t\t\t\t     ctx->level);"),),
        f"vm ttl=on\n{ONE_PAGE}\ncpu0 read a+0\nhost discard a+0 4K",
        "lifetime: stage2_unmap_walker: freed before the flush",
    ),
    "f62d4c3eb687": Reverted(
        "6.12",
        PGTABLE,
        (
            (
                "\t\tif (kvm_pte_table(ctx->old, ctx->level)) {\n\t\t\tkvm_call_hyp(__kvm_tlb_flush_vmid_ipa, mmu,",
                (
                    "\t\tif (kvm_pte_table(ctx->old, ctx->level) && !stage2_unmap_defer_tlb_flush(pgt)) {\n"
                    "\t\t\tkvm_call_hyp(__kvm_tlb_flush_vmid_ipa, mmu,"
                ),
            ),
        ),
        f"vm fwb=on range=on\n{ONE_PAGE}\ncpu0 read a+0\nhost discard a+0 4K",
        "lifetime: stage2_unmap_walker: freed before the flush",
    ),
    "52ac8b358b0c": Reverted(
        "6.12",
        KVM_MAIN,
        (("\twhile (kvm->mn_active_invalidate_count) {", "\twhile (0) {"),),
        f"vm\n{ONE_PAGE}\ncpu0 read a+0\npar\nhost0 discard a+0 4K\nuser0 slot a delete\n"
        "switch host0 to user0 before change 1\nend",
        "fault-order: kvm_mmu_notifier_invalidate_range_end: invalidation left in progress",
    ),
    "b7833bf202e3": Reverted(
        "6.12",
        READERS,
        (
            ("\tif (walker->flags & KVM_PGTABLE_WALK_SHARED)\n\t\trcu_read_lock();", "\trcu_read_lock();"),
            ("\tif (walker->flags & KVM_PGTABLE_WALK_SHARED)\n\t\trcu_read_unlock();", "\trcu_read_unlock();"),
        ),
        f"vm\n{ONE_PAGE}\nhyp map 1G 1G 4K rw",
        "locking: kvm_pgtable_hyp_map: sleeping call under rcu_read_lock",
    ),
    "b5331379bc62": Reverted(
        "6.12",
        MMU,
        (("kvm_pgtable_stage2_unmap,\n\t\t\t\t   may_block));", "kvm_pgtable_stage2_unmap,\n\t\t\t\t   true));"),),
        "vm\nslot a ipa=1022M size=4M backing=anon\nhost reap a+0 4M",
        "locking: cond_resched_lock: rescheduling in a notifier that must not block",
    ),
    "85ea6b1ec915": Reverted(
        "6.12",
        MMU,
        (("\tif (esr_fsc_is_translation_fault(esr)) {\n\t\t/* Beyond", "\tif (0) {\n\t\t/* Beyond"),),
        f"vm ipa=36\n{ONE_PAGE}\ncpu0 outside read 64G",
        "contract: kvm_handle_guest_abort: I/O exit beyond the guest's address space",
    ),
    "406504c7b040": Reverted(
        "6.12",
        EMULATE,
        (
            (
                "\t\treturn kvm_vcpu_trap_is_permission_fault(vcpu);\n\t}\n\n\tif (kvm_vcpu_trap_is_iabt",
                "\t\treturn true;\n\t}\n\n\tif (kvm_vcpu_trap_is_iabt",
            ),
        ),
        f"vm\n{ONE_PAGE} ro=on\ncpu0 walk a+0",
        "contract: kvm_handle_guest_abort: walk of memory answered with an abort",
    ),
    "df6556adf27b": Reverted(
        "6.12",
        MMU,
        (("\t\t\t\t\t\t   size, true);", "\t\t\t\t\t\t   1, true);"),),
        "vm\nslot a size=2M backing=thp log=on\ncpu0 read a+4K\nhost age a+0 2M",
        "ageing: kvm_mmu_notifier_clear_flush_young: still young after clearing, "
        "beyond the first leaf of a huge page L3",
    ),
    "85c7869e30b7": Reverted(
        "7.3",
        MMU,
        (
            (
                "s2vi->page, !!ret, writable);\n\tkvm_fault_unlock(kvm);\n",
                "s2vi->page, !!ret, writable);\n",
            ),
            (
                "\tkvm_release_faultin_page(kvm, s2vi->page, !!ret, writable);\n",
                "\tkvm_fault_unlock(kvm);\n\tkvm_release_faultin_page(kvm, s2vi->page, !!ret, writable);\n",
            ),
        ),
        f"vm\n{ONE_PAGE}\ncpu0 read a+0",
        "contract: kvm_s2_fault_map: WARN",
    ),
    "e3ba51ab24fd": Reverted(
        "6.12",
        FLUSHES,
        (
            (
                "\t\t(__pages >> (5 * (scale) + 1)) - 1;\t\t\t\\\n",
                "\t\t(((pages) >> (5 * (scale) + 1)) & 31) - 1 + 0 * __pages;\t\\\n",
            ),
        ),
        "vm range=on\nslot a size=16G backing=anon\ntable map a+12G 4K rw\nlog a on",
        "tlb: stage2_attr_walker: leaf not flushed L3",
    ),
    "0f0ff097bf77": Reverted(
        "6.12",
        TLB,
        (("start, pages, stride,\n\t\t\t\tTLBI_TTL_UNKNOWN);", "start, pages, stride, 0);"),),
        # The neighbouring page keeps the table; a flush for the table would cover the page.
        "vm cpus=1 ttl=on range=on fwb=on\nslot a size=8K backing=anon\ncpu0 read a+0\ncpu0 read a+4K\n"
        "host discard a+4K 4K",
        "tlb: stage2_unmap_walker: leaf not flushed L3",
    ),
    "9be19df816de": Reverted(
        "7.3",
        MMU,
        (("\tif (perm_fault) {\n\t\t/*\n\t\t * Drop the SW", "\tif (0) {\n\t\t/*\n\t\t * Drop the SW"),),
        "vm dic=off\nslot a size=4K backing=memfd\ncpu0 read a+0\ncpu0 fetch a+0",
        "progress: kvm_handle_guest_abort: access does not complete",
    ),
    "d77e59a8fccd": Reverted(
        "7.3",
        MMU,
        (("\t\tif (try_page_mte_tagging(page)) {", "\t\tif (!page_mte_tagged(page)) {"),),
        f"vm mte=on\n{ONE_PAGE}\npar\ncpu0 read a+0\ncpu1 read a+0\nswitch cpu0 to cpu1 before tags 1\nend",
        "tags: kvm_handle_guest_abort: tags cleared again after a translation fault",
    ),
}


# Parts of some reasons: the place of the mistake, or the text of a warning.
SAYS: Final = {
    "13ec9308a857": ("; at user_mem_abort (mmu.c:", " it is sampled, and at ", " the leaf is stored"),
    "85c7869e30b7": ("kvm_s2_fault_map warns (lockdep_assert_once lockdep_is_held(&kvm->mmu_lock) || unused)",),
}


@pytest.mark.parametrize("fix", FIXES)
def test_a_reverted_fix_is_found(fix: str, tmp_path: Path) -> None:
    it = FIXES[fix]
    without = edited(it.tree, tmp_path / "tree", it.file, it.edits)
    program = parse(f"s2fuzz 1\n{it.program}\n")
    findings = Differential(candidate.get(version(it.tree)), candidate.get(without)).run(program).findings
    assert [each.signature for each in findings if each.kind == REGRESSION][:1] == [it.signature]
    reason = next(each.reason for each in findings if each.signature == it.signature)
    assert all(part in reason for part in SAYS.get(fix, ()))
