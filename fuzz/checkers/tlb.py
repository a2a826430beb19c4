# SPDX-License-Identifier: GPL-2.0-only
"""tlb: when the caller gets control back, no CPU can hold an entry that the tables do not justify.

A CPU may have cached any valid entry that it could reach, whether the program
accessed it or not, except an entry with the access flag clear. So each
change that removes something owes a flush, until a flush covers it (`Owed`).

A level hint must name the level of the leaf (Arm ARM C5.5, TTL): otherwise the CPU need not invalidate anything. After
a change that only adds rights nothing is owed, but a CPU that keeps the old entry faults again. So the
checker compares each hint with the leaf.
"""

from typing import Final

from reference.machine.descriptor import TABLE, VALID_BIT, address_bits, kind
from reference.machine.instructions import ALLE1, BROADCAST, IPAS2E1, IPAS2LE1, VMALLS12E1
from reference.machine.processor import ALL_VMIDS, MISFIT, Invalidation
from reference.machine.tlb import CpuTlb
from reference.machine.walk import NONE, Walk

from ..language.operations import Operation
from ..sides.guest import Guest
from ..sides.outcome import Outcome
from .checker import GuestChecker, Peers
from .lost_rights import lost
from .owed import Owed
from .owed_entries import Key, Late, OwedLeaf, OwedTable, address_of, key_of, level_of, takes_away
from .places import at_place
from .rule import LAST, Clause, Rule
from .severity import Severity
from .shadow import Shadow

BY_ADDRESS: Final = (IPAS2E1, IPAS2LE1)
WRONG_HINT: Final = "flushed with the hint of another level"


class Tlb(GuestChecker):
    """Judges the flushes that are owed: when the mmu lock is dropped, and on return.

    An entry broken under the mmu lock must be flushed under it: once the lock is
    dropped, ``cond_resched_lock()`` included, another CPU may make or reuse what
    a CPU still holds. Lost permissions and access flags may be flushed later.
    Nothing runs on tables that are being destroyed. The instructions of tlb.c determine what a flush
    settles (`Assembly.gone`), whatever the function's name. An instruction settles nothing if no
    barrier completes it, if it affects only its own CPU, or if it comes before the stores
    are ordered or in the context of another VMID. A VM without a VMID of the current
    generation owes nothing: no CPU walks its tables. When it has a VMID again, an access must not
    find entries that another VM has left for that number.
    """

    rule = Rule(
        "tlb",
        (
            Clause("no CPU can hold an entry that the tables no longer justify"),
            Clause("an entry broken under the mmu lock is flushed under it", "*flushed after mmu_lock was dropped*"),
            Clause("no two sizes for one address", "*: two sizes*"),
            Clause("the level hint of a TLBI by address is the level of a leaf there", f"*: {WRONG_HINT}*"),
        ),
        "a CPU would keep using a translation that is gone, and reach a frame that has another owner by then",
        Severity.STALE,
        rank=1,
        finer=(
            ("*unmap*: leaf not flushed*", Severity.ISOLATION, 10),
            ("*attr*: leaf not flushed*", Severity.STALE, 5),
            ("*: table not flushed*", Severity.LIFETIME, 6),
            ("*: entry of another VM*", Severity.ISOLATION, 11),
            ("*: two sizes*", Severity.STALE, 6),
            (f"*: {WRONG_HINT}*", Severity.CONTRACT, LAST),
        ),
        reasons=(
            ("*: two sizes*", "an access that meets both may take a TLB conflict abort, or use a mix of the two"),
            # Functions that set attributes leave the leaf in the tables.
            (
                "*attr*: leaf not flushed*",
                "a CPU would keep using rights that the leaf has lost, such as writing pages that no dirty log has",
            ),
            (
                f"*: {WRONG_HINT}*",
                "the CPU need not invalidate anything, and an access may fault again for nothing",
            ),
        ),
    )

    def __init__(self, guest: Guest, peers: Peers) -> None:
        super().__init__(guest, peers)
        self.shadow = peers.at(Shadow, guest)
        self.shifts = self.granule.shifts
        self.owed = Owed(guest)
        self.reported: set[Key] = set()
        self.destroying = False

    def before_destruction(self) -> None:
        self.destroying = True

    def vm_ended(self, guest: Guest) -> None:
        # No vCPU runs by what CPUs still hold of it.
        self.owed = Owed(guest)

    def changed(self, ipa: int, level: int, ptep: int, old: int, new: int) -> None:
        if not old & VALID_BIT or not self.guest.is_known_to_tlbs():
            return
        function = self.kernel.walker or self.kernel.entry
        if kind(old, level, self.granule) != TABLE:
            self.owed.lose_leaf(key_of(level, ipa), old, new, function)
            return
        if kind(new, level, self.granule) == TABLE:
            if address_bits(old, self.granule) == address_bits(new, self.granule):
                return
        self.owed.lose_table(key_of(level, ipa), old, function, self.shadow.cut_off(ipa, level))

    def tlbi_ipa(self, vmid: int, ipa: int, level: int) -> None:
        self.settle()

    def tlbi_ipa_local(self, vmid: int, ipa: int, level: int) -> None:
        self.settle()

    def tlbi_vmid(self, vmid: int) -> None:
        self.settle()

    def tlbi_range(self, vmid: int, ipa: int, size: int) -> None:
        self.settle()

    def flush_cpu_context(self, vmid: int, cpu: int) -> None:
        self.settle()

    def flush_vm_context(self) -> None:
        self.settle()

    def dsb(self, domain: str) -> None:
        self.settle()

    def settle(self) -> None:
        """Settle what the instructions of this call have invalidated."""
        for done in self.kernel.assembly.gone:
            # A VMID of an old generation settles flushes of the VM that has this number now, if any.
            if done.vmid in (self.guest.hardware_vmid.vmid, ALL_VMIDS):
                self.owed.settle(done)
                self.owed.note_missed(done)
                if done.op in (VMALLS12E1, ALLE1):
                    self.reported.clear()
        if self.owed.late:
            self.report_late()

    def instruction(self, op: int, operand: int) -> None:
        # The VMID of another VM may be of an old generation, and have become this VM's.
        if op & ~BROADCAST in BY_ADDRESS and self.kernel.vmid == self.vm_vmid:
            begun = self.kernel.hardware.processors[self.kernel.assembly.cpu].begun
            if begun and begun[-1].hint and begun[-1].vmid == self.guest.hardware_vmid.vmid:
                self.judge_hint(begun[-1])

    def judge_hint(self, flush: Invalidation) -> None:
        """Judge a level hint: the leaf there has that level, or had it since the operation began."""
        level, entry = self.shadow.lookup(flush.ipa)
        if level in (-1, flush.hint) or not self.guest.is_known_to_tlbs():
            return
        if flush.hint != MISFIT:
            base = flush.ipa >> self.shifts[flush.hint] << self.shifts[flush.hint]
            if self.owed.holds_leaf(flush.hint, base) or self.shadow.had_leaf(flush.hint, base):
                return
        hint = "no level of these tables" if flush.hint == MISFIT else f"level {flush.hint}"
        self.report(
            WRONG_HINT,
            level,
            f"{self.text(entry, level)} maps {flush.ipa:#x}, the hint is {hint}",
            frozenset([flush.ipa]),
            taints=False,
        )

    def unlock(self, name: str, vmid: int) -> None:
        if self.owed.fresh and name == "mmu" and vmid == self.vm_vmid:
            self.lock_dropped()

    def resched(self) -> None:
        if self.owed.fresh and self.kernel.vmid == self.vm_vmid:
            self.lock_dropped()

    def lock_dropped(self) -> None:
        """Mark the entries that were broken and not flushed, because another CPU may take the mmu lock."""
        owed = self.owed
        actor = self.kernel.actor
        # Several actors may hold the lock for reading: each flushes what it broke under its own hold.
        owed.fresh = actor != 0
        if self.destroying:
            return
        for key, leaf in owed.leaves.items():
            if leaf.broken and leaf.actor == actor and not leaf.reported and not self.justified(key, leaf):
                leaf.dropped = owed.any_dropped = True
        for key, table in owed.tables.items():
            if table.actor == actor and not table.reported and not self.linked(key, table):
                table.dropped = owed.any_dropped = True

    def report_late(self) -> None:
        """Report flushes that came after the lock was dropped: one violation for each kind of entry."""
        kinds: dict[tuple[str, int, str], list[Late]] = {}
        for late in self.owed.late:
            kinds.setdefault((late.what, late.level, late.function), []).append(late)
        self.owed.late.clear()
        for (what, level, function), each in kinds.items():
            more = f" and {len(each) - 1} more" if len(each) > 1 else ""
            self.report(
                f"{what} flushed after mmu_lock was dropped",
                level,
                f"{self.text(each[0].entry, level)} at {each[0].ipa:#x}{more} was removed under the lock; "
                "before the flush another CPU may make or reuse an entry that a CPU still holds",
                frozenset([late.ipa for late in each]),
                function=function,
            )

    def owes_table(self, page: int) -> str:
        """Return why a table page may still be reached through a walk cache; "" if it may not."""
        key = self.owed.pinned.get(page)
        if key is None:
            return ""
        level, ipa = level_of(key), address_of(key)
        why = self.because(key) or ", was not flushed"
        return f"{self.text(self.owed.tables[key].entry, level)} at {ipa:#x}, level {level}{why}"

    def two_sizes(self, ipa: int, level: int, new: int, other: Key, leaf: OwedLeaf) -> None:
        """Report a leaf made while a CPU may hold a leaf of another size, from a table that is gone."""
        at, base = level_of(other), address_of(other)
        self.report(
            f"two sizes for one address, the other L{at}",
            level,
            f"{self.text(new, level)} at {ipa:#x} was made while a CPU may hold {self.text(leaf.entry, at)} "
            f"at {base:#x}: the flush of its table did not cover the leaf",
            frozenset([base]),
        )

    def after_operation(self, op: Operation | None, outcome: Outcome) -> None:
        owed = self.owed
        owed.any_dropped = False
        for key, leaf in owed.leaves.items():
            leaf.dropped = False
            if not leaf.reported and not self.justified(key, leaf):
                leaf.reported = True
                self.judge(key, leaf.entry, "leaf", leaf.function)
        for key, table in owed.tables.items():
            table.dropped = False
            if not table.reported and not self.linked(key, table):
                table.reported = True
                self.judge(key, table.entry, "table", table.function)
        owed.missed.clear()

    def judge(self, key: Key, entry: int, what: str, function: str) -> None:
        """Judge one flush that is still owed."""
        if key in self.reported:
            return
        level, ipa = level_of(key), address_of(key)
        self.reported.add(key)
        self.report(
            f"{what} not flushed",
            level,
            f"{self.text(entry, level)} at {ipa:#x} {self.change_of(key, entry)} and a CPU may still hold it"
            f"{self.because(key)}",
            frozenset([ipa]),
            function=function,
        )

    def change_of(self, key: Key, entry: int) -> str:
        """Return what happened to an owed entry: a leaf that is still in the tables has only lost rights."""
        leaf = self.owed.leaves.get(key)
        level, now = self.shadow.lookup(address_of(key))
        if leaf is None or leaf.broken or level != level_of(key):
            return "was removed"
        rights = lost(entry, now)
        return f"lost the permission to {rights}," if rights else "lost rights,"

    def because(self, key: Key) -> str:
        """Return why an entry is still owed although flushes came after its change; "": none came."""
        owed = self.owed.leaves.get(key) or self.owed.tables.get(key)
        if owed is None:
            return ""
        done = self.owed.half_flushed(key, owed.published)
        if done is None:
            return self.owed.why_missed(key, key not in self.owed.leaves, owed.published)
        order = "combined entries were not invalidated after that (TLBI VMALLE1)"
        if done.unordered:
            order = "no DSB came between that and the invalidation of stage 1 (TLBI VMALLE1)"
        return f": it was flushed by IPA{at_place(done.place)}, but {order}, so a combined entry may stay"

    def justified(self, key: Key, leaf: OwedLeaf) -> bool:
        """Return whether the live tables grant at least what a CPU may hold."""
        return self.grants(level_of(key), address_of(key), leaf.entry)

    def grants(self, level: int, ipa: int, entry: int) -> bool:
        """Return whether the live tables grant at least what *entry* grants."""
        now_level, now = self.shadow.lookup(ipa)
        return now_level == level and not takes_away(entry, now)

    def linked(self, key: Key, table: OwedTable) -> bool:
        """Return whether the live tables name the same table again."""
        now = self.shadow.table_at(address_of(key), level_of(key) + 1)
        return now is not None and table.table is not None and now.page == table.table.page

    def translated(self, cpu: int, access: int, ipa: int, walk: Walk) -> None:
        if walk.ptep < 0 and self.side.arm.kvm_vmid_gen > 1:
            self.judge_origin(cpu, ipa, walk)
        if walk.fault != NONE or walk.ptep < 0:
            return
        if self.side.bbm:
            # `Bbm` judges whether both sizes translate alike.
            return
        for level, other in self.tlbs()[self.side.cpu_of[cpu]].overlapping(ipa, walk.level):
            self.report(
                f"two sizes for one address, the other L{level}",
                walk.level,
                f"cpu{cpu} holds {ipa:#x} by {self.text(walk.entry, walk.level)} "
                f"and by a level {level} leaf at {other:#x}",
                frozenset([ipa & -self.granule.page_size]),
            )

    def tlbs(self) -> list[CpuTlb]:
        """Return the TLBs of all CPUs, for the VMID of this VM."""
        return self.side.computer.tlbs[self.guest.hardware_vmid.vmid - 1]

    def judge_origin(self, cpu: int, ipa: int, walk: Walk) -> None:
        """Judge an access through the TLB after VMIDs were reassigned: the entry must belong to this VM."""
        if walk.level < 0 or not walk.entry & VALID_BIT:
            return
        base = ipa >> self.shifts[walk.level] << self.shifts[walk.level]
        if self.grants(walk.level, base, walk.entry) or self.owed.holds_leaf(walk.level, base):
            return
        self.report(
            "entry of another VM",
            walk.level,
            f"cpu{cpu} holds {self.text(walk.entry, walk.level)} at {base:#x}, which this VM's tables do not "
            "have, and have not had since the VM got its VMID",
            frozenset([ipa & -self.granule.page_size]),
            grave=True,
        )

    def scan(self) -> None:
        """Judge every leaf that a CPU holds: the tables must justify it."""
        for cpu, tlb in enumerate(self.tlbs() if self.guest.is_known_to_tlbs() else ()):
            for level in range(4):
                for page, entry in tlb.leaves[level].items():
                    ipa = page << self.shifts[level]
                    # A missing flush is one violation: a CPU that still holds the leaf at the end follows from it.
                    if not self.grants(level, ipa, entry) and not self.owed.was_reported(level, ipa):
                        self.report("stale leaf", level, f"cpu{cpu} holds {self.text(entry, level)} at {ipa:#x}")
