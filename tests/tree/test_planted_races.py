# SPDX-License-Identifier: GPL-2.0-only
"""Mistakes of one change each that only two vCPUs at once show, each by a program with the race in it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

import pytest

from candidate.tree import PREFIX
from candidate.tree.building.source import KVM_MAIN, MMU, PGTABLE

from ..unit.block_run import Run
from .trees import changed, real_tree, version

TREE: Final = "6.12"
# Both have taken the same fault; the second one gets as far as its first exchange.
BOTH: Final = (
    "par\ncpu0 write a+0\ncpu1 write a+0\nswitch cpu0 to cpu1 after fault 1\nswitch cpu1 to cpu0 {}\nend\nlog a get\n"
)
BREAK: Final = "\tif (!stage2_try_set_pte(ctx, KVM_INVALID_PTE_LOCKED))\n\t\treturn false;\n"
TAKES: Final = (
    "\tif (!stage2_try_set_pte(ctx, KVM_INVALID_PTE_LOCKED)) {\n\t\tmm_ops->get_page(ctx->ptep);\n"
    "\t\treturn false;\n\t}\n"
)
HEAD: Final = "s2fuzz 1\nvm\nslot a size=4M backing=anon log=on\n"
MARK: Final = "\t\tkvm_set_pfn_dirty(pfn);\n\t\tmark_page_dirty_in_slot(kvm, memslot, gfn);\n\t}\n"
MAP: Final = "\tread_lock(&kvm->mmu_lock);\n\tpgt = vcpu->arch.hw_mmu->pgt;\n\tif (mmu_invalidate_retry("
TAKE: Final = "\t\t\tmask = xchg(&dirty_bitmap[i], 0);\n"
COPY: Final = (
    "\tif (copy_to_user(log->dirty_bitmap, dirty_bitmap_buffer, n))\n\t\treturn -EFAULT;\n\treturn 0;\n}\n\n\n/**"
)
LATE: Final = "\tfor (i = 0; flush && i < n / sizeof(long); i++)\n\t\txchg(&dirty_bitmap[i], 0);\n\n"
LOST: Final = "dirty-log: kvm_vm_ioctl_get_dirty_log: write through a writable leaf not reported"


class Planted(NamedTuple):
    """A change, a program that shows it, and what is said then.

    :param path: the file
    :param edits: texts of it, and what stands there instead
    """

    path: str
    edits: Sequence[tuple[str, str]]
    program: str
    said: str


RACES: Final = {
    "the marker of who changes an entry is ignored": Planted(
        PGTABLE,
        (
            ("\tif (stage2_pte_is_locked(ctx->old)) {", "\tif (0) {"),
            ("\tWARN_ON(!stage2_pte_is_locked(*ctx->ptep));\n", ""),
        ),
        HEAD + BOTH.format("after cmpxchg 1"),
        "lifetime: stage2_map_walker: root freed",
    ),
    "a map that loses its race marks its page dirty": Planted(
        MMU,
        (("\tif (writable && !ret) {", "\tif (writable) {"),),
        HEAD + "cpu0 read a+4K\n" + BOTH.format("before cmpxchg 1"),
        "page-reference: kvm_handle_guest_abort: marked dirty, not mapped",
    ),
    "a map that loses its race takes the reference": Planted(
        PGTABLE,
        ((BREAK, TAKES),),
        HEAD + "cpu0 read a+4K\n" + BOTH.format("before cmpxchg 1"),
        "refcount: ",
    ),
    "a page is marked before it is mapped, and a collection in between takes the mark": Planted(
        MMU,
        (("\tif (writable && !ret) {\n" + MARK, ""), (MAP, "\tif (writable) {\n" + MARK + "\n" + MAP)),
        HEAD
        + "par\ncpu0 write a+0\nuser0 log a get\nswitch cpu0 to user0 before lock 1\nend\ncpu0 write a+0\nlog a get\n",
        LOST,
    ),
    "a log is taken when all is write-protected and the lock is dropped": Planted(
        KVM_MAIN,
        ((TAKE, TAKE.replace("xchg(&dirty_bitmap[i], 0)", "dirty_bitmap[i]")), (COPY, LATE + COPY)),
        HEAD
        + "cpu0 write a+0\npar\nuser0 log a get\ncpu1 write a+0\nswitch user0 to cpu1 after flush 1\nend\n"
        + "cpu0 write a+0\nlog a get\n",
        LOST,
    ),
}


@pytest.mark.parametrize("name", RACES)
def test_planted_race(name: str, tmp_path: Path) -> None:
    planted = RACES[name]
    source = (real_tree(TREE) / planted.path).read_text()
    for text, instead in planted.edits:
        assert text in source
        source = source.replace(text, instead, 1)
    copy = changed(real_tree(TREE), tmp_path / "tree", {planted.path: source})
    assert Run(version(TREE), planted.program).violations == []
    found = {violation.signature for violation in Run(f"{PREFIX}{copy}", planted.program).violations}
    assert any(each.startswith(planted.said) for each in found), found
