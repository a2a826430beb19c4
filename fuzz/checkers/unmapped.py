# SPDX-License-Identifier: GPL-2.0-only
"""Leaves that an unmap broke, with the places in a compiled tree that broke, cleaned and flushed them."""

from reference.machine.instructions import ALLE1, VMALLS12E1
from reference.machine.processor import ALL_VMIDS, Invalidation

from .guest_pages import Range


class Unmapped:
    """A cacheable leaf that an unmap broke.

    :param frames: physical addresses [*start*, *end*) that it mapped
    :param before: the number of cleans before it was broken
    :param place: the place that broke it; "" if it is not known, as in all places below

    *done*: the parts cleaned since its flush; *early*: whether some of it was cleaned between break and flush;
    *early_at*: the place of that clean; *flushed_at*: the place of the flush that came after it.
    """

    def __init__(self, level: int, ipa: int, entry: int, frames: Range, before: int, place: str) -> None:
        self.level = level
        self.ipa = ipa
        self.entry = entry
        self.start, self.end = frames
        self.before = before
        self.place = place
        self.done: list[Range] = []
        self.early = False
        self.early_at = self.flushed_at = ""

    def is_flushed_by(self, done: Invalidation, vmid: int) -> bool:
        """Return whether a TLBI that is complete removed the leaf from the TLBs; *vmid*: of the VM."""
        if done.vmid not in (vmid, ALL_VMIDS):
            return False
        if done.op in (VMALLS12E1, ALLE1):
            return True
        size = self.end - self.start
        return done.hint in (0, self.level) and self.ipa < done.ipa + done.size and done.ipa < self.ipa + size
