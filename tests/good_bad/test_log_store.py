# SPDX-License-Identifier: GPL-2.0-only
"""dirty-log: the dirty bitmap of an installed slot changes only by atomic operations."""

from candidate import Candidate
from reference.kvm import kvm_memory_slot
from reference.kvm_main import KvmMain
from reference.mmu import Mmu
from reference.pgtable import Pgtable

from .case import Case, each


class StoreZeroMain(KvmMain):
    """Wrong: a collection loads each word and stores zero, where the original exchanges the two."""

    def take_bits(self, memslot: kvm_memory_slot, word: int, mask: int, whole: bool = False) -> None:
        assert memslot.dirty_bitmap is not None
        self.store_bits(memslot, word, memslot.dirty_bitmap[word] & ~mask)
        super().take_bits(memslot, word, mask, whole)


STORE_ZERO = Candidate("store-zero", Pgtable, Mmu, "for a test", main=StoreZeroMain)
LOGGED = "vm cpus=1\nslot a size=4M backing=anon log=on\ncpu0 write a+0\n"
CLEAR = "vm cpus=1 manual=on\nslot a size=4M backing=anon log=on\ncpu0 write a+0\nlog a get\nlog a clear 0 4M\n"

CASES = (
    Case(
        "a collection",
        "dirty-log: kvm_vm_ioctl_get_dirty_log: dirty bitmap changed by a plain store",
        STORE_ZERO,
        f"{LOGGED}log a get\n",
    ),
    Case(
        "collected bits are cleared",
        "dirty-log: kvm_vm_ioctl_clear_dirty_log: dirty bitmap changed by a plain store",
        STORE_ZERO,
        CLEAR,
    ),
)


@each(CASES)
def test_log_store_good(case: Case) -> None:
    assert case.all_good() == []


@each(CASES)
def test_log_store_bad(case: Case) -> None:
    assert case.first_bad() == case.signature


def test_the_second_vm() -> None:
    """Check that the checker of the VM with the slot reports, once."""
    text = "vm cpus=1 vms=2\nslot a size=4K backing=anon\nslot b size=4K backing=anon vm=1 log=on\n"
    case = Case("", "", STORE_ZERO, f"{text}cpu1 write b+0\nlog b get\n")
    assert case.first_bad() == CASES[0].signature
