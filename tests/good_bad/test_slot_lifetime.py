# SPDX-License-Identifier: GPL-2.0-only
"""locking: a VM that ends unregisters its notifier before it frees slots.

Ports free nothing there. Here each slot has an allocation, and the end of a VM reports its steps.
"""

from typing import Final

from candidate import Candidate
from reference.kvm_main import KvmMain
from reference.mmu import Mmu
from reference.pgtable import Pgtable

from .case import Case, each, violations


class Ends(KvmMain):
    """Allocates for the first call that changes slots of a VM, and reports the steps at its end in order."""

    steps: tuple[str, ...] = ("unregister", "free")

    def __kvm_set_memory_region__(
        self, id: int, flags: int, guest_phys_addr: int, memory_size: int, userspace_addr: int
    ) -> int:
        for o in self.k.on.object:
            o.object(self.number(), True, False)
        return super().__kvm_set_memory_region__(id, flags, guest_phys_addr, memory_size, userspace_addr)

    def number(self) -> int:
        return self.kvm.mmu.vmid

    def kvm_destroy_vm(self) -> None:
        for step in self.steps:
            if step == "free":
                for o in self.k.on.object:
                    o.object(self.number(), False, False)
            else:
                for o in self.k.on.unregistered:
                    o.unregistered(self.kvm.mmu.vmid)
        super().kvm_destroy_vm()


class FreesFirst(Ends):
    steps = ("free", "unregister")


class Registered(Ends):
    steps = ("free",)


def ending(main: type[Ends]) -> Candidate:
    return Candidate("ends", Pgtable, Mmu, "for a test", main=main)


SIGNATURE: Final = "locking: kvm_destroy_vm: slots freed before the notifier was unregistered"
ALONE: Final = "vm cpus=1\nslot a size=4K backing=anon\ncpu0 write a+0\n"
ONE_OF_TWO: Final = (
    "vm cpus=1 vms=2\nslot a size=4K backing=anon\nslot b size=4K backing=anon vm=1\ncpu0 write a+0\nvm end 1\n"
)
CASES: Final = tuple(
    Case(f"{what}, {when}", SIGNATURE, ending(main), text, ending(Ends))
    for what, main in (("freed first", FreesFirst), ("registered", Registered))
    for when, text in (("at the end of the program", ALONE), ("before it", ONE_OF_TWO))
)


@each(CASES)
def test_slot_lifetime_good(case: Case) -> None:
    assert case.all_good() == []


@each(CASES)
def test_slot_lifetime_bad(case: Case) -> None:
    assert case.first_bad() == case.signature


def test_each_vm_is_judged_when_it_ends() -> None:
    found = violations(ending(FreesFirst), ONE_OF_TWO)
    assert [(each.signature, each.at) for each in found] == [(SIGNATURE, 1), (SIGNATURE, 2)]
    assert found[0].reason == "1 allocation of slots is already freed when the notifier is unregistered"
    (left,) = violations(ending(Registered), ALONE)
    assert left.reason == "1 allocation of slots is already freed, and the notifier is never unregistered"


def test_a_slot_that_is_freed_earlier_does_not_count() -> None:
    class Deletes(FreesFirst):
        """Frees the allocation when the slot is deleted."""

        def __kvm_set_memory_region__(
            self, id: int, flags: int, guest_phys_addr: int, memory_size: int, userspace_addr: int
        ) -> int:
            if not memory_size:
                for o in self.k.on.object:
                    o.object(self.number(), False, False)
                return KvmMain.__kvm_set_memory_region__(self, id, flags, guest_phys_addr, memory_size, userspace_addr)
            return super().__kvm_set_memory_region__(id, flags, guest_phys_addr, memory_size, userspace_addr)

    assert violations(ending(Deletes), f"{ALONE}slot a delete\n") == []
