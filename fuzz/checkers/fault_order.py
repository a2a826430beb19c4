# SPDX-License-Identifier: GPL-2.0-only
"""fault-order: no notification is lost between a fault's look-up of a frame and the leaf that maps it.

A fault samples the notifier sequence, looks the frame up, takes the mmu lock,
calls ``mmu_notifier_retry()``, and maps. A notifier in between either shows in
the retry check or finds the leaf. So the checker judges the order of events, and
needs no second actor: the sample, and a barrier, come before the look-up; a
leaf over the frame is made, or gains rights, under the same hold of the lock as
the check that returned "no retry"; a page's dirty bit is set after it became
writable, or under the same hold of the lock; the notifier raises its count, and
``mn_active_invalidate_count`` where there is one, before it unmaps, and lowers it again.

A frame that the tables already held at that address needs no retry check, because notifiers find it
there: an entry that code had made invalid and kept, or leaves that are rebuilt. Any other leaf needs one, even over a
frame that this fault did not look up. Other checkers judge the
rest of a fault: the top-up and its lock (memcache, locking), cleaning (dcache,
icache), references (page-reference). In a port, it is not visible which of two samples with
the same value was passed on. In a compiled tree, the second sample of a call differs
(``will_load_sequence()`` of ``native/rt_watch.c``).

Information that a fault read from a VMA, such as its page size, may be out of date once the
mmap lock, or the VMA's lock, is dropped. If the reference samples before that, the retry check
catches it (upstream 13ec9308a857), and a candidate must do the same.
"""

from typing import Final

from reference.kvm_host import is_error_noslot_pfn
from reference.machine.descriptor import LEAF, READ_BIT, VALID_BIT, WRITE_BIT, XN_BIT, address_bits, kind
from reference.machine.instructions import ORDER_LOADS
from reference.machine.walk import Walk
from reference.per_actor import PerActorStates
from reference.services.locks import AREA_LOCKS

from ..language.operations import Operation
from ..sides.guest import Guest
from ..sides.outcome import Outcome
from .checker import Peers
from .fault_checker import FaultChecker
from .fault_steps import GO_ON, NOT_ASKED, RETRY, FaultSteps, LookUp, Writable
from .later_names import named
from .rule import Clause, Rule
from .severity import Severity
from .shadow import Shadow
from .violation import Violation

# The name of the retry check, for reasons.
ASKED: Final = named("mmu_notifier_retry")

# guest_memfd, which unmaps within other entry points, does not count there.
INVALIDATE: Final = "kvm_mmu_notifier_invalidate_range_start"

RIGHTS: Final = READ_BIT | WRITE_BIT | XN_BIT


class FaultOrder(FaultChecker):
    """Judges each leaf that a fault makes, and each entry that a notifier breaks."""

    rule = Rule(
        "fault-order",
        (
            Clause(
                "a fault samples the notifier sequence (followed by a barrier, and before it drops the lock of its VMA "
                "where the reference does), looks the frame up, calls `mmu_notifier_retry()` (in 6.1 and later "
                "`mmu_invalidate_retry()`) under the lock, and maps under the same hold"
            ),
            Clause("the dirty bit is not set before the page is mapped writable", "*: marked dirty before*"),
            Clause(
                "a notifier raises its count (and `mn_active_invalidate_count`) before it unmaps, and lowers it again",
                *("*: unmapped before*", "*: invalidation left*"),
            ),
            Clause(
                "a slot that is deleted or moved is marked invalid, and its readers are waited for, before it is "
                "unmapped",
                "*: slot unmapped before*",
            ),
            Clause(
                "a slot that is deleted or moved is unmapped before slots without it, or with it elsewhere, are "
                "installed",
                "*: slot replaced before*",
            ),
            Clause("a guest_memfd unmaps a page before the page leaves the file", "*: page left the guest_memfd*"),
        ),
        "a notifier that runs in between is missed, and the guest keeps a frame that the host took back",
        Severity.LIFETIME,
        rank=15,
        finer=(
            ("*: marked dirty before*", Severity.CORRUPTION, 1),
            ("*: invalidation left in progress*", Severity.HANG, 9),
            ("*: unmapped before mn_active*", Severity.HANG, 10),
            ("*: slot unmapped before*", Severity.LIFETIME, 23),
            ("*: page left the guest_memfd*", Severity.ISOLATION, 12),
        ),
        reasons=(
            (
                "*: marked dirty before*",
                "live migration would leave out what the guest writes after a log was collected in between",
            ),
            ("*: invalidation left in progress*", "the faults of the guest are tried again forever"),
            (
                "*: unmapped before mn_active*",
                "slots that change between the halves of an invalidation unbalance its count: faults retry forever",
            ),
            (
                "*: slot unmapped before*",
                "a vCPU that faults in between maps a page again, and the guest keeps it when the slot is gone",
            ),
            (
                "*: page left the guest_memfd*",
                "until then, the guest reads and writes a frame that may have another owner",
            ),
        ),
    )

    def __init__(self, guest: Guest, peers: Peers) -> None:
        super().__init__(guest, peers)
        self.shadow = peers.at(Shadow, guest)
        self.notified = guest.notified
        self.page_shift = self.granule.page_shift
        self.reported = False
        # The violation that reported a count which notifiers did not lower again.
        self.left: Violation | None = None
        # State of the running actor.
        self.own = FaultSteps()
        self.per_actor = PerActorStates(self.own)

    def turn(self, actor: int) -> None:
        super().turn(actor)
        self.own = self.per_actor.of(actor)

    def access_begins(self) -> None:
        self.reported = False
        self.own.forget()

    def translated(self, cpu: int, access: int, ipa: int, walk: Walk) -> None:
        if self.faulting:
            self.returned()
            self.own.fault_ipa = ipa

    def pre_fault(self, vmid: int, ipa: int, size: int) -> None:
        if self.faulting:
            self.returned()
            self.own.fault_ipa = ipa

    def after_operation(self, op: Operation | None, outcome: Outcome) -> None:
        if self.faulting:
            self.returned()
        count = self.guest.kvm.mmu_notifier_count
        # Inside a par block, another actor's notifier may run when one actor is done.
        idle = self.left is None and not self.kernel.actor and not self.guest.is_nested
        if count and idle and outcome.status not in ("oops", "deadlock"):
            self.report(
                "invalidation left in progress",
                -1,
                f"the count of invalidations in progress is {count}, but no notifier runs: faults are retried",
                taints=False,
                function="kvm_mmu_notifier_invalidate_range_end",
            )
            self.left = self.found[-1]

    def returned(self) -> None:
        """Judge the dirty marks of the previous fault, if there was one, and forget it."""
        for leaf in self.own.writable:
            self.judge_marks(leaf)
        self.own.forget()

    def sample(self, sequence: int) -> None:
        if not self.faulting:
            return
        # Before the look-up, there is nothing to compare: an earlier fault may have kept the lock.
        if "mmu" in self.kernel.locks and self.own.look_ups:
            self.own.compared = True
        else:
            self.own.sample(sequence, self.kernel.place)

    def vma(self, hva: int, start: int, end: int) -> None:
        self.own.area = self.faulting

    def rmb(self) -> None:
        self.own.order_samples()

    def acquired(self) -> None:
        # Loads of one word keep their order, so earlier samples come before later reads too.
        self.rmb()

    def dmb(self, domain: str) -> None:
        if domain in ORDER_LOADS:
            self.rmb()

    def dsb(self, domain: str) -> None:
        self.dmb(domain)

    def gfn_to_pfn(self, gfn: int, pfn: int, write: bool, writable: bool) -> None:
        if self.faulting and not is_error_noslot_pfn(pfn):
            self.own.look_up(pfn)

    def lock(self, name: str, vmid: int) -> None:
        if name == "vma":
            self.own.area = self.faulting

    def unlock(self, name: str, vmid: int) -> None:
        if not self.faulting:
            return
        if name == "mmu":
            self.own.mmu_lock_dropped()
        elif name in AREA_LOCKS:
            # The unlock orders reads before it; later kernels rely on that.
            self.own.order_samples()
            # Either lock keeps the information read from an area valid.
            if self.own.area and not any(each in self.kernel.locks for each in AREA_LOCKS):
                self.own.area_dropped, self.own.area = True, False
                self.own.area_lock = name

    def resched(self) -> None:
        if self.faulting:
            self.own.mmu_lock_dropped()

    def retry(self, sampled: int, now: int, in_progress: int, result: bool) -> None:
        if not self.faulting:
            return
        if "mmu" in self.kernel.locks:
            self.own.answer = RETRY if result else GO_ON
            self.own.passed = sampled
        else:
            self.own.lock_free_after_check()

    def mark_page_dirty(self, gfn: int, slot: int, logged: bool) -> None:
        if self.faulting and logged:
            self.own.marked_dirty(gfn << self.page_shift, "mmu" in self.kernel.locks)

    def changed(self, ipa: int, level: int, ptep: int, old: int, new: int) -> None:
        if self.notified.invalidating:
            self.unmapped(ipa, level, old, new)
        elif self.own.look_ups and not self.shadow.by_hardware:
            self.written(ipa, level, old, new)

    def unmapped(self, ipa: int, level: int, old: int, new: int) -> None:
        """Judge an entry that a notifier writes while it invalidates a range."""
        if not old & VALID_BIT or new & VALID_BIT or self.reported:
            return
        if not self.guest.kvm.mmu_notifier_count:
            what = "unmapped before the notifier count was raised"
            reason = "is broken with no invalidation in progress: a fault may map the old frame again"
        elif not self.guest.kvm.active_notifiers and self.kernel.entry == INVALIDATE:
            what = "unmapped before mn_active_invalidate_count was raised"
            reason = "is broken while mn_active_invalidate_count is 0: nothing keeps the slots from being replaced"
        else:
            return
        self.reported = True
        self.report(
            what,
            -1,
            f"{self.text(old, level)} at {ipa:#x} {reason}",
            frozenset([ipa]),
            taints=False,
            function=INVALIDATE,
        )

    def written(self, ipa: int, level: int, old: int, new: int) -> None:
        """Judge an entry that the hardware can reach, written in a fault that has looked a frame up."""
        self.own.before = old
        if not new & VALID_BIT:
            if old & VALID_BIT and kind(old, level, self.granule) == LEAF:
                self.own.broken[(level, ipa)] = old
            return
        if kind(new, level, self.granule) == LEAF:
            if not old & VALID_BIT:
                old = self.own.broken.get((level, ipa), 0)
        else:
            # A table may be linked with leaves in it; a table beside the fault's address is not the fault's result.
            if not ipa <= self.own.fault_ipa < ipa + self.granule.level_size(level):
                return
            level, new = self.shadow.lookup(self.own.fault_ipa)
            ipa = self.own.fault_ipa & -self.granule.level_size(max(level, 0))
            old = 0
            if level < 0:
                return
        if self.gains(level, old, new):
            if new & WRITE_BIT and not (old & WRITE_BIT and self.same_frame(old, new)):
                self.own.became_writable(ipa, self.granule.level_size(level), level)
            self.judge(ipa, level, new)

    def gains(self, level: int, old: int, new: int) -> bool:
        """Return whether a leaf maps, or allows, something that the previous leaf did not."""
        if not old & VALID_BIT or kind(old, level, self.granule) != LEAF:
            return True
        return not self.same_frame(old, new) or (new ^ XN_BIT) & ~(old ^ XN_BIT) & RIGHTS != 0

    def same_frame(self, old: int, new: int) -> bool:
        """Return whether two leaves of one level have the same output address."""
        return address_bits(old, self.granule) == address_bits(new, self.granule)

    def judge(self, ipa: int, level: int, entry: int) -> None:
        """Judge a leaf that a fault made: the check must have used a sample from before the look-up."""
        first = address_bits(entry, self.granule) >> self.page_shift
        end = first + (self.granule.level_size(level) >> self.page_shift)
        what = reason = ""
        mine = False
        for look_up in self.own.look_ups:
            if first <= look_up.pfn < end:
                mine = True
                what, reason = self.wrong(look_up)
                if not what:
                    # One look-up in order is enough.
                    return
        if not mine and not self.kept(ipa, level, entry):
            for look_up in self.own.look_ups:
                what, reason = self.wrong(look_up)
                if not what:
                    return
        if what and not self.reported:
            self.reported = True
            where = ""
            if what.startswith("notifier sequence sampled") and self.own.sampled_at:
                where = f"{self.own.sampled_at} it is sampled, and at {self.kernel.place} the leaf is stored"
            self.report(
                f"{what}{self.kernel.cause}",
                -1,
                f"{self.text(entry, level)} at {ipa:#x}: {reason}",
                frozenset([ipa]),
                taints=False,
                function=self.kernel.entry,
                where=where,
            )

    def kept(self, ipa: int, level: int, entry: int) -> bool:
        """Return whether the tables held a leaf's frame at its address, valid in this operation or kept invalid."""
        pa = address_bits(entry, self.granule)
        before = self.own.before
        if before and not before & VALID_BIT and address_bits(before, self.granule) == pa:
            return True
        return self.shadow.exposed_before(ipa, ipa + self.granule.level_size(level)).maps(ipa, pa, 0, 0)

    def wrong(self, look_up: LookUp) -> tuple[str, str]:
        """Return what is wrong with mapping a frame that was looked up, and why; "" if nothing is."""
        if self.own.answer != NOT_ASKED and not (self.own.samples or self.own.compared):
            return "notifier sequence not sampled", (
                f"{ASKED} compares with a value not sampled before the look-up: no notifier is noticed"
            )
        if self.own.answer == RETRY:
            return (
                "mapped in spite of mmu_notifier_retry()",
                f"{ASKED} returned true: the frame may no longer be the host's page there",
            )
        if self.own.answer == NOT_ASKED:
            kvm = self.guest.kvm
            if self.own.compared and not kvm.mmu_notifier_count and kvm.sequence in look_up.samples:
                return "", ""
            if look_up.asked:
                return "mapped under another hold of mmu_lock than mmu_notifier_retry()", (
                    f"a notifier that ran while the lock was free is missed: {ASKED} was called before"
                )
            return (
                "mapped without mmu_notifier_retry()",
                f"a notifier that ran after the look-up is missed: the fault does not call {ASKED}",
            )
        if self.own.passed in look_up.samples:
            if self.side.standard.mmu.SAMPLES_UNDER_MMAP and self.own.is_outdated(self.own.passed):
                lock = "lock of the VMA" if self.own.area_lock == "vma" else "mmap lock"
                return f"notifier sequence sampled after the {lock} was dropped", (
                    "a notifier that ran between the two is missed, and data read from the VMA may be stale"
                )
            return "", ""
        if self.own.passed in look_up.unordered:
            return "notifier sequence sampled without a barrier", (
                "no smp_rmb(), acquire or unlock of the area orders the look-up after the sample"
            )
        return "notifier sequence sampled after the look-up", "a notifier that ran between the two is missed"

    def judge_marks(self, leaf: Writable) -> None:
        """Judge the dirty marks of a leaf that became writable: if there are any, one must not be too early."""
        if self.own.is_marked_too_early(leaf):
            self.report(
                f"marked dirty before it was mapped writable{self.kernel.cause}",
                -1,
                f"{leaf.ipa:#x}: a log collected between the two takes the bit, and the writes after it are lost",
                frozenset([leaf.ipa]),
                taints=False,
                function=self.kernel.entry,
            )
