# SPDX-License-Identifier: GPL-2.0-only
"""Mistakes planted in copies of a tree, in the scope of locks and beyond locking; unchanged trees are clean."""

import re
from pathlib import Path
from typing import Final, NamedTuple

import pytest

import candidate
from candidate.tree import PREFIX
from candidate.tree.building.source import MMU, NESTED, PGTABLE
from fuzz.judging.differential import REGRESSION, Differential
from fuzz.language.text import parse

from ..unit.block_run import Run
from .trees import changed, real_tree, real_trees, version

TREE: Final = "6.12"


class PlantedScope(NamedTuple):
    """A mistake: texts and their replacements, a program, the signature.

    *code*: text of the line that the reason names; "": the reason names no line; *path*: file of that line;
    *edited*: file with the mistake
    """

    edits: tuple[tuple[str, str], ...]
    program: str
    signature: str
    code: str
    path: str = MMU
    edited: str = MMU


FLAGS: Final = "\tvfio_allow_any_uc = vma->vm_flags & VM_ALLOW_ANY_UNCACHED;\n"
GONE: Final = "\tvma = NULL;\n"
UNLOCK: Final = "\tmmap_read_unlock(current->mm);\n\n\tpfn = "
SAMPLE: Final = "\tmmu_seq = vcpu->kvm->mmu_invalidate_seq;\n"
# The store that makes an entry.
MAKES: Final = "smp_store_release(ctx->ptep, new)"
READ: Final = "s2fuzz 1\nvm\nslot a size=2M backing=anon\ncpu0 read a+0\ncpu0 write a+0\n"
HUGE: Final = "s2fuzz 1\nvm\nslot a size=2M backing=thp\ncpu0 read a+0\n"
BLOCKS: Final = "slot a size=4M backing=thp\ncpu0 write a+0\ncpu0 write a+2M\n"
SPLIT: Final = f"s2fuzz 1\nvm split=2M\n{BLOCKS}log a on fail=1\ncpu0 write a+4K\n"
RETRIES: Final = "\t\t\tif (ret)\n\t\t\t\tbreak;\n\t\t}\n\n\t\tpgt"
PROT: Final = "\tprot = kvm_pgtable_stage2_pte_prot(pte);"
CODE: Final = "s2fuzz 1\nvm split=2M\nslot a size=2M backing=thp\nhost write a+0 2M\ncpu0 read a+0\nlog a on\n"
CLEARED: Final = (
    f"s2fuzz 1\nvm split=2M manual=set\n{BLOCKS}log a on\nlog a get\nlog a clear 0 4M fail=1\ncpu0 write a+4K\n"
)
POISONED: Final = "s2fuzz 1\nvm\nslot a size=4M backing=hugetlb2m\ncpu0 write a+0\nhost poison a+4K\ncpu0 write a+0\n"
POISONED_PAGE: Final = "s2fuzz 1\nvm\nslot a size=4M backing=thp\ncpu0 write a+0\nhost poison a+4K\ncpu0 write a+4K\n"
VMA_READ: Final = "locking: kvm_handle_guest_abort: VMA read after the mmap lock was dropped"
PLANTED: Final = {
    "flags of a VMA": PlantedScope(
        ((FLAGS, ""), (GONE, ""), (UNLOCK, UNLOCK.replace("\n\n", "\n" + FLAGS + "\n"))),
        READ,
        VMA_READ,
        "vma->vm_flags & VM_ALLOW_ANY_UNCACHED",
    ),
    "a VMA under the lock of another look-up": PlantedScope(
        (
            (FLAGS, ""),
            (GONE, ""),
            (UNLOCK, UNLOCK.replace("\n\n", f"\n\tmmap_read_lock(current->mm);\n{FLAGS}{UNLOCK[:-7]}")),
        ),
        READ,
        VMA_READ,
        "vma->vm_flags & VM_ALLOW_ANY_UNCACHED",
    ),
    "interrupts on in a walk of user page tables": PlantedScope(
        (("\tlocal_irq_save(flags);\n", "\tflags = 0;\n"), ("\tlocal_irq_restore(flags);\n", "")),
        HUGE,
        "locking: kvm_handle_guest_abort: user page tables walked with interrupts on",
        "kvm_pgtable_walk(",
        PGTABLE,
    ),
    "interrupts left off": PlantedScope(
        (("\tlocal_irq_restore(flags);\n", ""),),
        HUGE,
        "locking: kvm_handle_guest_abort: interrupts off on return",
        "",
    ),
    "a warning where eager splitting finds no memory": PlantedScope(
        ((RETRIES, RETRIES.replace("(ret)", "(WARN_ON(ret))")),),
        SPLIT,
        "contract: kvm_mmu_split_huge_pages: WARN",
        "if (WARN_ON(ret))",
    ),
    "a block split into pages that may be executed": PlantedScope(
        ((PROT, PROT.replace(";", " | KVM_PGTABLE_PROT_X;")),),
        CODE,
        "icache: stage2_split_walker: executable, not invalidated L3",
        MAKES,
        PGTABLE,
        PGTABLE,
    ),
    "the lock not taken again where that top-up fails": PlantedScope(
        (
            (
                "\t\t\twrite_lock(&kvm->mmu_lock);\n\t\t\tif (ret)\n\t\t\t\tbreak;\n",
                "\t\t\tif (ret)\n\t\t\t\tbreak;\n\t\t\twrite_lock(&kvm->mmu_lock);\n",
            ),
        ),
        CLEARED,
        "locking: kvm_vm_ioctl_clear_dirty_log: lock not held",
        "lockdep_assert_held_write(&kvm->mmu_lock)",
        NESTED,
    ),
    "a SIGBUS of a page for a block": PlantedScope(
        (("kvm_send_hwpoison_signal(hva, vma_shift);", "kvm_send_hwpoison_signal(hva, PAGE_SHIFT);"),),
        POISONED,
        "contract: kvm_handle_guest_abort: SIGBUS of another size",
        "send_sig_mceerr(",
    ),
    "a SIGBUS of a block for a page": PlantedScope(
        (("kvm_send_hwpoison_signal(hva, vma_shift);", "kvm_send_hwpoison_signal(hva, PMD_SHIFT);"),),
        POISONED_PAGE,
        "contract: kvm_handle_guest_abort: SIGBUS of another size",
        "send_sig_mceerr(",
    ),
    "the sequence sampled late": PlantedScope(
        (
            (
                SAMPLE + UNLOCK,
                UNLOCK.replace("\n\n", f"\n{SAMPLE}\tsmp_rmb();\n"),
            ),
        ),
        READ,
        "fault-order: kvm_handle_guest_abort: notifier sequence sampled after the mmap lock was dropped after a "
        "translation fault",
        MAKES,
        PGTABLE,
    ),
}


@pytest.mark.parametrize("name", PLANTED)
def test_planted_scope(name: str, tmp_path: Path) -> None:
    planted = PLANTED[name]
    original = real_tree(TREE)
    source = (original / planted.edited).read_text()
    for text, instead in planted.edits:
        assert text in source, f"no {text!r} any more"
        source = source.replace(text, instead, 1)
    copy = changed(original, tmp_path / "tree", {planted.edited: source})
    differential = Differential(candidate.get(f"{PREFIX}{original}"), candidate.get(f"{PREFIX}{copy}"))
    findings = differential.run(parse(planted.program)).findings
    found = [each.reason for each in findings if (each.kind, each.signature) == (REGRESSION, planted.signature)]
    assert found, findings
    named = re.findall(r"\((\w+\.c:\d+)\)", found[0])
    if planted.code:
        lines = enumerate((copy / planted.path).read_text().splitlines(), 1)
        assert set(named) & {f"{Path(planted.path).name}:{number}" for number, line in lines if planted.code in line}
    else:
        assert named == []


@pytest.mark.parametrize("program", sorted({planted.program for planted in PLANTED.values()}))
@pytest.mark.parametrize("tree", real_trees())
def test_the_trees_show_nothing(tree: str, program: str) -> None:
    run = Run(version(tree), program)
    if run.refused:
        assert " split=" in program
        pytest.skip(run.refused)
    assert run.violations == []
