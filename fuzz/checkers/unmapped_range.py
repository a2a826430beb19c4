# SPDX-License-Identifier: GPL-2.0-only
"""translation: an operation that removes mappings or rights of a range leaves none of them."""

from typing import Final

from reference.machine.descriptor import WRITE_BIT

from ..language import operations as ops
from ..language.program import DEVICES
from ..sides.guest import Guest
from ..sides.outcome import Outcome
from .checker import GuestChecker, Peers
from .guest_pages import guest_pages
from .operation_ranges import changed_by, unmapped_by
from .shadow import Shadow
from .translation import RESETS, STILL_THERE, Translation

UNMAPS: Final = "kvm_pgtable_stage2_unmap"
WRITE_PROTECTS: Final = "kvm_pgtable_stage2_wrprotect"


class UnmappedRange(GuestChecker):
    """Judges the range of such an operation when it has returned; in a par block, the range of a slot that goes.

    It goes before `Translation`: if the operation left a stale leaf, violations of other rules follow from that.
    """

    rule = Translation.rule

    def __init__(self, guest: Guest, peers: Peers) -> None:
        super().__init__(guest, peers)
        self.shadow = peers.at(Shadow, guest)
        # Guest addresses whose leaves the operation has to change.
        self.target: list[tuple[int, int]] = []
        # By actor, the guest addresses of the slot that its call deletes or moves.
        self.left: dict[int, tuple[int, int]] = {}

    def before_operation(self, op: ops.Operation | None) -> None:
        removes = isinstance(
            op, (ops.TableWrprotect, ops.TableUnmap, ops.GuestReset, ops.SlotDelete, ops.SlotMove, ops.SlotCreate)
        )
        self.target = changed_by(self.guest, op) if removes else []

    def after_operation(self, op: ops.Operation | None, outcome: Outcome) -> None:
        if outcome.status != "ok" or (isinstance(op, ops.GuestReset) and not unmapped_by(self.guest, op)):
            return
        for start, end in self.target:
            for level, ipa, entry in self.shadow.leaves_in(start, end):
                if not isinstance(op, ops.TableWrprotect):
                    self.judge_unmapped(op, level, ipa, entry, start, end)
                elif entry & WRITE_BIT:
                    what = "still writable after write-protection"
                    reason = f"{self.text(entry, level)} at {ipa:#x}, in [{start:#x}, {end:#x})"
                    self.report(what, level, reason, frozenset([ipa]), function=WRITE_PROTECTS)

    def actor_begins(self, op: ops.Operation) -> None:
        if isinstance(op, (ops.SlotDelete, ops.SlotMove)):
            layout = self.side.by_name[op.slot]
            if layout.slot.vm == self.guest.vm and layout.live:
                self.left[self.kernel.actor] = layout.ipa, layout.ipa + layout.size

    def actor_ends(self, op: ops.Operation, outcome: Outcome) -> None:
        start, end = self.left.pop(self.kernel.actor, (0, 0))
        if end and outcome.status == "ok":
            self.judge_left(start, end)

    def judge_left(self, start: int, end: int) -> None:
        """Judge the range of a slot when the call that has deleted or moved it returns: nothing may be mapped there."""
        for level, ipa, entry in self.shadow.leaves_in(start, end):
            if self.guest.layout_of(ipa) is None:
                self.still_there(level, ipa, entry, start, end)

    def judge_unmapped(self, op: ops.Operation | None, level: int, ipa: int, entry: int, start: int, end: int) -> None:
        """Judge a leaf in a range [start, end) that an operation has unmapped."""
        is_reset = isinstance(op, ops.GuestReset)
        # A slot that is new at a place is mapped there only by faults, except device memory, which a reset may also
        # keep.
        layout = self.guest.layout_of(ipa)
        kept = is_reset or isinstance(op, (ops.SlotMove, ops.SlotCreate))
        if not (kept and layout and layout.slot.backing in DEVICES):
            self.still_there(level, ipa, entry, start, end, is_reset)

    def still_there(self, level: int, ipa: int, entry: int, start: int, end: int, reset: bool = False) -> None:
        """Report a leaf in a range [start, end) that was unmapped.

        :param reset: by a reset, which unmaps all slots
        """
        of = "the slot " if reset else ""
        reason = f"{self.text(entry, level)} at {ipa:#x}, in {of}[{start:#x}, {end:#x})"
        pages = guest_pages(frozenset([ipa]), self.granule.page_size)
        where = self.written_at(level, pages)
        if where:
            where += ", where it was last written"
        self.report(STILL_THERE, level, reason, pages, function=RESETS if reset else UNMAPS, where=where)
