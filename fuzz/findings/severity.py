# SPDX-License-Identifier: GPL-2.0-only
"""The severity of a finding: its effect on guest and host, the worst first.

The order is that in which a maintainer would want to know. Within a level the rule
further up weighs more; a signature without a rule counts as a broken contract.
"""

from enum import IntEnum
from functools import cache
from typing import Final

from .patterns import matches


class Severity(IntEnum):
    """Levels, the worst first."""

    ISOLATION = 0
    LIFETIME = 1
    CORRUPTION = 2
    HANG = 3
    STALE = 4
    ACCOUNTING = 5
    CONTRACT = 6
    DIFFERENCE = 7

    @property
    def text(self) -> str:
        """One word and its meaning."""
        return f"{self.name.lower()}, {MEANINGS[self]}"


MEANINGS: Final = {
    Severity.ISOLATION: "a guest reaches what is not its own, or the tables let it",
    Severity.LIFETIME: "a table or page is used after it was freed, or will be",
    Severity.CORRUPTION: "guest or user space see wrong data, or lose writes",
    Severity.HANG: "the kernel crashes, or something does not come to an end",
    Severity.STALE: "a CPU may go by two translations at once, or by one that is gone",
    Severity.ACCOUNTING: "counts or pins are wrong, memory is lost",
    Severity.CONTRACT: "a rule between caller and callee is broken; a warning, an error, a hint that is wrong",
    Severity.DIFFERENCE: "nothing that is known to be wrong",
}

# Patterns of signatures; the first that fits counts.
RULES: Final[tuple[tuple[str, Severity], ...]] = (
    ("isolation:*", Severity.ISOLATION),
    # The hypervisor's own tables: a mistake there hits every guest and the host.
    ("hyp: *: table entered twice*", Severity.LIFETIME),
    ("hyp: *: freed while in use*", Severity.LIFETIME),
    ("hyp: *: not a hyp table*", Severity.LIFETIME),
    ("hyp: *: too few references*", Severity.LIFETIME),
    ("hyp: *: too many references*", Severity.ACCOUNTING),
    # EL2 faults on its own memory: the hypervisor panics.
    ("hyp: *: not mapped*", Severity.HANG),
    ("hyp: *: access flag clear*", Severity.HANG),
    ("hyp:*", Severity.ISOLATION),
    # The guest could reach such memory; isolation reports it once it does.
    ("translation: *: wrong frame*", Severity.ISOLATION),
    ("translation: *: output address not aligned*", Severity.ISOLATION),
    ("translation: *: still mapped after*", Severity.ISOLATION),
    ("translation: *: leaf outside of any slot*", Severity.ISOLATION),
    ("translation: *: writable, the host's page is not*", Severity.ISOLATION),
    ("translation: *: writable in a read-only slot*", Severity.ISOLATION),
    ("translation: *: device frame*", Severity.ISOLATION),
    # Likewise through a TLB.
    ("tlb: *unmap*: leaf not flushed*", Severity.ISOLATION),
    # Memory that nothing uses.
    ("lifetime: *: root larger than*", Severity.ACCOUNTING),
    ("lifetime:*", Severity.LIFETIME),
    # A walk cache points into a page that is about to be freed.
    ("tlb: *: table not flushed*", Severity.LIFETIME),
    # A store that races with others' to live tables; a slot, or an area, that may be gone.
    ("locking: *: entry written without mmu_lock*", Severity.LIFETIME),
    ("locking: *: slots used outside of srcu*", Severity.LIFETIME),
    ("locking: *: without the mmap lock*", Severity.LIFETIME),
    # A notifier may be about to walk a freed table.
    ("locking: *: root unlinked without mmu_lock*", Severity.LIFETIME),
    # The next put frees a table, or a frame, that is in use.
    ("refcount: *: too few references*", Severity.LIFETIME),
    ("page-reference: *: released more often than pinned*", Severity.LIFETIME),
    ("page-reference: *: mapped, not pinned*", Severity.LIFETIME),
    ("page-reference: *, not held*", Severity.LIFETIME),
    ("fault-order: *: marked dirty before*", Severity.CORRUPTION),
    # A frame that the host took back stays mapped.
    ("fault-order:*", Severity.LIFETIME),
    ("dirty-log:*", Severity.CORRUPTION),
    ("translation: *: writable and not in the dirty log*", Severity.CORRUPTION),
    ("page-reference: *: mapped writable, not marked dirty*", Severity.CORRUPTION),
    ("dcache: *: device frame cleaned*", Severity.CONTRACT),
    ("dcache:*", Severity.CORRUPTION),
    ("icache:*", Severity.CORRUPTION),
    # The guest faults more than it has to.
    ("translation: *: right removed*", Severity.CONTRACT),
    ("translation:*", Severity.CORRUPTION),
    ("contract: *: oops*", Severity.HANG),
    # A device reads or writes another of its registers.
    ("contract: *: I/O exit at another address*", Severity.CORRUPTION),
    ("progress:*", Severity.HANG),
    # Sleeps under a spinlock, locks left held or taken twice.
    ("locking:*", Severity.HANG),
    ("tlb:*", Severity.STALE),
    ("bbm:*", Severity.STALE),
    ("leak:*", Severity.ACCOUNTING),
    ("refcount:*", Severity.ACCOUNTING),
    ("page-reference: *: frame still pinned*", Severity.ACCOUNTING),
    ("contract:*", Severity.CONTRACT),
    ("memcache:*", Severity.CONTRACT),
    ("page-reference:*", Severity.CONTRACT),
    ("ageing:*", Severity.CONTRACT),
    ("map", Severity.DIFFERENCE),
    ("result:*", Severity.DIFFERENCE),
)


def severity(signature: str) -> Severity:
    """Return the severity of a signature, whichever side shows it."""
    return _rule(signature)[0]


def weight(signature: str) -> tuple[int, int]:
    """Return the sort key of findings of one class: level, then place of the rule."""
    return _rule(signature)


@cache
def _rule(signature: str) -> tuple[Severity, int]:
    for place, (pattern, level) in enumerate(RULES):
        if matches(pattern, "", signature):
            return level, place
    return Severity.CONTRACT, len(RULES)
