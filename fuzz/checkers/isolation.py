# SPDX-License-Identifier: GPL-2.0-only
"""isolation: no guest access, through tables or TLB, reaches a frame its slot does not own, or another owner's data.

Pages of a guest_memfd still hold the data of their last owner: kernel code clears them before a guest gets
them. The host clears other memory before kernel code sees it.
"""

from reference.machine.address_space import POISON, WRITABLE
from reference.machine.walk import NONE, SPECULATE, WRITE, Walk

from ..sides.guest import Guest, SlotLayout
from .checker import GuestChecker, Peers
from .rule import Clause, Rule
from .severity import Severity


class Isolation(GuestChecker):
    """Judges each access that a CPU allowed.

    *uncleared*: frames of a guest_memfd that still hold the data of their last owner
    """

    rule = Rule(
        "isolation",
        (
            Clause("no access, through tables or TLB, reaches a frame that the slot does not own"),
            Clause("a page of a guest_memfd is cleared before a guest gets it", "*: access to a page never cleared*"),
        ),
        "a guest must not see or change memory of another guest, or of the host",
        Severity.ISOLATION,
        rank=1,
        finer=(("*: access to a page that is taken away*", Severity.CORRUPTION, 9),),
    )

    def __init__(self, guest: Guest, peers: Peers | None = None) -> None:
        super().__init__(guest, peers)
        self.uncleared: set[int] = set()

    def file_page(self, pfn: int, cleared: bool) -> None:
        if cleared:
            self.uncleared.discard(pfn)
        else:
            self.uncleared.add(pfn)

    def there(self, layout: SlotLayout | None, page: int, owned: int) -> str:
        """Return a text on what the host has at a guest page; *owned*: its frame there, or -1."""
        if owned >= 0:
            return f"the host has frame {owned:#x} there"
        run = self.guest.host.run_at(layout.hva + page - layout.ipa) if layout else None
        if run is not None and run.flags & POISON:
            return "the memory there has failed, and nobody may use it"
        return "the host has nothing there"

    def translated(self, cpu: int, access: int, ipa: int, walk: Walk) -> None:
        if walk.fault != NONE or access == SPECULATE:
            return
        page = ipa & -self.granule.page_size
        pfn = walk.pa >> self.granule.page_shift
        layout = self.guest.slot_reached(page, pfn)
        owned = self.guest.frame_in(layout, page)
        through = "TLB" if walk.ptep < 0 else "tables"
        table = walk.ptep // self.kernel.entries if walk.ptep >= 0 else -1
        if pfn != owned:
            # In a par block: the host's operation has removed the page from here, and frees it when it ends.
            taken = self.guest.memory.is_leaving(pfn)
            what = "access to a page that is taken away" if taken else "access to a frame not owned"
            self.report(
                f"{what}, through the {through}",
                walk.level,
                f"cpu{cpu} at {ipa:#x} reached frame {pfn:#x} by {self.text(walk.entry, walk.level)}; "
                + self.there(layout, page, owned),
                frozenset([page]),
                grave=True,
                table=table,
            )
            return
        if pfn in self.uncleared:
            # Reported once per page.
            self.uncleared.discard(pfn)
            self.report(
                f"access to a page never cleared, through the {through}",
                walk.level,
                f"cpu{cpu} at {ipa:#x} reached frame {pfn:#x} of a guest_memfd, which has its last owner's data",
                frozenset([page]),
                taints=False,
                grave=True,
            )
        if access == WRITE:
            run = self.guest.host.run_at(layout.hva + page - layout.ipa) if layout else None
            if layout is None or run is None or layout.readonly or not run.flags & WRITABLE:
                self.report(
                    f"write to a frame that is shared or read-only, through the {through}",
                    walk.level,
                    f"cpu{cpu} wrote at {ipa:#x} by {self.text(walk.entry, walk.level)}",
                    frozenset([page]),
                    grave=True,
                    table=table,
                )
