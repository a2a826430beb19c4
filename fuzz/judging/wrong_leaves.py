# SPDX-License-Identifier: GPL-2.0-only
"""Leaves that a known bug has left wrong: its predicate holds for them while they stay."""

from reference.machine.descriptor import address_bits
from reference.machine.granule import Granule

from ..checkers import Shadow
from ..checkers.guest_pages import Range, ipa_of, vm_of
from ..sides.guest import Guest
from .predicates import COPIED, LEAVING


class WrongLeaves:
    """The wrong leaves of one side, by predicate.

    Leaves for `COPIED` map a wrong frame; the slot of leaves for `LEAVING` is gone.

    :param shadows: the shadow of each VM
    :param guests: all VMs
    """

    def __init__(self, granule: Granule, shadows: list[Shadow], guests: list[Guest]) -> None:
        self.granule = granule
        self.shadows = shadows
        self.guests = guests
        # By predicate, the VM address of each leaf -> its level and address bits.
        self.leaves: dict[str, dict[int, tuple[int, int]]] = {COPIED: {}, LEAVING: {}}
        # True once there has been any.
        self.found = False

    def keep(self, predicate: str, at: int) -> None:
        """Record the leaf at an address if the operation in which a predicate held has left it wrong."""
        level, bits = self.leaf_at(at)
        if level != 3 or not bits:
            return
        guest, page = self.guests[vm_of(at)], ipa_of(at)
        if predicate == LEAVING:
            right = guest.layout_of(page) is not None
        else:
            right = guest.maps_backing(page, bits >> self.granule.page_shift)
        if not right:
            self.leaves[predicate][at] = (level, bits)
            self.found = True

    def drop_replaced(self) -> None:
        """Forget the leaves that are gone."""
        if not self.found:
            return
        for predicate, leaves in self.leaves.items():
            if leaves:
                self.leaves[predicate] = {at: leaf for at, leaf in leaves.items() if self.leaf_at(at) == leaf}

    def ranges(self, predicate: str) -> list[Range]:
        """Return the addresses that the wrong leaves translate."""
        return [(at, at + self.granule.level_size(level)) for at, (level, _) in self.leaves[predicate].items()]

    def leaf_at(self, at: int) -> tuple[int, int]:
        """Return level and address bits of the leaf at an address."""
        level, entry = self.shadows[vm_of(at)].lookup(ipa_of(at))
        return level, address_bits(entry, self.granule)
