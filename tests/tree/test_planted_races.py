# SPDX-License-Identifier: GPL-2.0-only
"""Mistakes of one change each that only concurrent actors show, each with a program that contains the race."""

from pathlib import Path
from typing import Final

import pytest

from candidate.tree.building.source import KVM_MAIN, MMU, PGTABLE

from ..measuring.planted_races import IN_TREES, TREE, PlantedRace, in_tree
from ..unit.block_run import Run
from .trees import version

# Both vCPUs have taken the same fault; the second one runs until its first exchange.
BOTH: Final = (
    "par\ncpu0 write a+0\ncpu1 write a+0\nswitch cpu0 to cpu1 after fault 1\nswitch cpu1 to cpu0 {}\nend\nlog a get\n"
)
HEAD: Final = "s2fuzz 1\nvm\nslot a size=4M backing=anon log=on\n"
LOST: Final = "dirty-log: kvm_vm_ioctl_get_dirty_log: write through a writable leaf not reported"


# Mistakes in the order of steps for dirty logs.
_MARK: Final = "\t\tkvm_set_pfn_dirty(pfn);\n\t\tmark_page_dirty_in_slot(kvm, memslot, gfn);\n\t}\n"
_MAP: Final = "\tread_lock(&kvm->mmu_lock);\n\tpgt = vcpu->arch.hw_mmu->pgt;\n\tif (mmu_invalidate_retry("
# The end of the last function with this code.
_COPY: Final = (
    "\tif (copy_to_user(log->dirty_bitmap, dirty_bitmap_buffer, n))\n\t\treturn -EFAULT;\n\treturn 0;\n}\n\n\n/**"
)
_LATE: Final = "\tfor (i = 0; flush && i < n / sizeof(long); i++)\n\t\txchg(&dirty_bitmap[i], 0);\n\n"
IN_LOGS: Final[dict[str, PlantedRace]] = {
    "marked before the map": PlantedRace(
        MMU, (("\tif (writable && !ret) {\n" + _MARK, ""), (_MAP, "\tif (writable) {\n" + _MARK + "\n" + _MAP))
    ),
    "log taken after the lock": PlantedRace(
        KVM_MAIN,
        (("\t\t\tmask = xchg(&dirty_bitmap[i], 0);\n", "\t\t\tmask = dirty_bitmap[i];\n"), (_COPY, _LATE + _COPY)),
    ),
}
# A lost race for an entry is no failure if the winner has stored the same entry.
LOSES: Final = "\tif (!stage2_try_break_pte(ctx, data->mmu))\n\t\treturn -EAGAIN;\n"
EQUAL: Final = LOSES.replace("return -EAGAIN", "return READ_ONCE(*ctx->ptep) == new ? 0 : -EAGAIN")
# The program that shows each mistake, and the beginning of the signature.
SHOWN: Final = {
    "no locked marker": (HEAD + BOTH.format("after cmpxchg 1"), "lifetime: stage2_map_walker: root freed"),
    "lost map marks its page": (
        HEAD + "cpu0 read a+4K\n" + BOTH.replace("cpu0 write", "cpu0 read").format("before cmpxchg 1"),
        "page-reference: kvm_handle_guest_abort: marked dirty, not mapped",
    ),
    "lost map takes the reference": (HEAD + "cpu0 read a+4K\n" + BOTH.format("before cmpxchg 1"), "refcount: "),
    "marked before the map": (
        HEAD
        + "par\ncpu0 write a+0\nuser0 log a get\nswitch cpu0 to user0 before lock 1\nend\ncpu0 write a+0\nlog a get\n",
        LOST,
    ),
    "log taken after the lock": (
        HEAD
        + "cpu0 write a+0\npar\nuser0 log a get\ncpu1 write a+0\nswitch user0 to cpu1 after flush 1\nend\n"
        + "cpu0 write a+0\nlog a get\n",
        LOST,
    ),
}


@pytest.mark.parametrize("name", SHOWN)
def test_planted_race(name: str, tmp_path: Path) -> None:
    program, said = SHOWN[name]
    planted = in_tree({**IN_TREES, **IN_LOGS}[name], tmp_path)
    assert Run(version(TREE), program).violations == []
    found = {violation.signature for violation in Run(planted, program).violations}
    assert any(each.startswith(said) for each in found), found


def test_the_loser_to_an_equal_entry_may_mark_its_page(tmp_path: Path) -> None:
    """The guest may write the page, whichever vCPU stored the leaf."""
    tree = in_tree(PlantedRace(PGTABLE, ((LOSES, EQUAL),)), tmp_path)
    run = Run(tree, HEAD + "cpu0 read a+4K\n" + BOTH.format("before cmpxchg 1"))
    assert run.count("compare-exchange lost") == 1
    assert run.count("mark dirty frame") == 2
    assert run.violations == []
