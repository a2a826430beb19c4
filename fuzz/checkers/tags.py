# SPDX-License-Identifier: GPL-2.0-only
"""tags: a guest with MTE gets no frame with uninitialised tags, and no frame loses the guest's own tags.

The code that maps a frame into such a guest for the first time clears its tags before
(``sanitise_mte_tags()``), once: afterwards they belong to the guest. It flags the page (PG_mte_tagged) when that
is done, not before. Frames that a leaf
mapped before at that address need no clearing. The callers of direct calls are responsible
for the tags of what they map. Device frames have no tags.
"""

from reference.machine.descriptor import address_bits
from reference.machine.memory import DEVICE, FREE
from reference.machine.spans import Spans

from ..language.operations import Operation, TableMap
from ..sides.guest import Guest
from ..sides.side import Side
from .checker import Checker, Peers
from .guest_pages import GuestPages, Range
from .rule import Rule
from .severity import Severity
from .visible import VisibleLeaves


class ClearedTags(Checker):
    """Tracks which frames have initialised tags, over all VMs, and judges each clearing of tags.

    *ready*: 1 for each frame, from the first of memory on, whose tags were cleared
    """

    rule = Rule(
        "tags",
        (
            "a guest with MTE gets frames whose tags were cleared before, once, while the VM owned them, and before "
            "the page was flagged as cleared"
        ),
        "a guest would read tags that another owner left, or lose tags that it has set",
        Severity.CORRUPTION,
        rank=10,
        finer=(("*: tags of a frame not owned cleared*", Severity.LIFETIME, 18),),
    )

    def __init__(self, side: Side, peers: Peers) -> None:
        super().__init__(side, peers)
        self.ready = Spans()
        # The number of the host's page copies that *ready* reflects.
        self.copied = 0

    def follow(self) -> Spans:
        """Return *ready*, updated: a copy by the host has tags if the original had (``copy_highpage()``)."""
        memory, ready = self.side.memory, self.ready
        ready.grow(memory.frames, 0)
        copies = self.side.host.copies
        if copies is not None and len(copies) > self.copied:
            for old, new, pages in copies[self.copied :]:
                source = old - memory.first
                ready.paste(new - memory.first, ready.runs(source, source + pages), source)
            self.copied = len(copies)
        return ready

    def tags_cleared(self, pfn: int, flagged: bool) -> None:
        memory = self.side.memory
        index = memory.index_of(pfn)
        if index < 0 or memory.owner[index] in (FREE, DEVICE):
            self.wrong(
                "tags of a frame not owned cleared", f"frame {pfn:#x}: it is not memory that the host has mapped"
            )
            return
        ready = self.follow()
        if ready[index]:
            self.wrong("tags cleared again", f"frame {pfn:#x}: its tags were cleared before, and are the guest's")
        elif flagged:
            self.wrong(
                "flagged before its tags were cleared",
                f"frame {pfn:#x}: a vCPU that finds the flag maps the frame with the tags of its last owner",
            )
        ready.fill(index, index + 1, 1)

    def wrong(self, what: str, reason: str) -> None:
        """Record a violation that does not taint."""
        self.report(f"{what}{self.kernel.cause}", -1, reason, taints=False, function=self.kernel.entry)


class Tags(VisibleLeaves):
    """Judges each new leaf, by its own store or with its table."""

    rule = ClearedTags.rule

    def __init__(self, guest: Guest, peers: Peers) -> None:
        super().__init__(guest, peers)
        self.nothing_to_judge = not self.side.tagged
        self.cleared = peers.of(ClearedTags)
        # The operation in progress is a direct call.
        self.direct = False

    def before_operation(self, op: Operation | None) -> None:
        self.direct = isinstance(op, TableMap)

    def mapped(self, ipa: int, level: int, new: int) -> None:
        if self.direct:
            return
        memory, shift = self.guest.memory, self.granule.page_shift
        start = (address_bits(new, self.granule) >> shift) - memory.first
        end = start + (1 << (self.shifts[level] - shift))
        # A wrong leaf is reported by the translation checker.
        if start < 0 or end > memory.frames or not self.guest.maps_backing(ipa, start + memory.first):
            return
        ready = self.cleared.follow()
        if ready.find(0, start, end) < 0:
            return
        before = self.shadow.exposed_before(ipa, ipa + (1 << self.shifts[level]))
        found: list[Range] = []
        for first, last, cleared in ready.runs(start, end):
            if not cleared:
                page, stop = ipa + ((first - start) << shift), ipa + ((last - start) << shift)
                found += before.unmapped(page, stop, (first + memory.first) << shift, 0, 0)
        if found:
            pages = GuestPages(found, self.granule.page_size)
            self.report(
                f"mapped, tags not cleared{self.kernel.cause}",
                level,
                f"{self.text(new, level)} at {ipa:#x}: the tags of {len(pages)} frame(s) were not cleared, from "
                f"{found[0][0]:#x} on",
                pages,
                taints=False,
            )
