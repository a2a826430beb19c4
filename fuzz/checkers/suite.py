# SPDX-License-Identifier: GPL-2.0-only
"""All checkers of a side: made, notified of what happens, asked what they found."""

from typing import Final

from reference.machine.walk import Walk

from ..language.operations import Operation
from ..sides.outcome import Outcome
from ..sides.side import Side
from .ageing import Ageing, AgeingResults
from .bbm import Bbm
from .checker import Checker, GuestChecker
from .contract import Contract
from .dcache import Dcache
from .dirty_log import DirtyLog
from .fault_order import FaultOrder
from .hyp import Hyp
from .icache import Icache
from .isolation import Isolation
from .leak import Leak
from .lifetime import Lifetime
from .locking import Locking, TableLock
from .log_order import LogOrder
from .memcache import Memcache
from .page_reference import PageReference, Pins
from .plain_store import PlainStore
from .progress import Progress
from .refcount import Refcount
from .rights import Rights
from .shadow import Shadow
from .tlb import Tlb
from .translation import Translation
from .violation import Violation

_listens: Final[dict[type[Checker], tuple[bool, bool, bool, bool]]] = {}


def listens(checker: type[Checker]) -> tuple[bool, bool, bool, bool]:
    """Which of `before_operation`, `after_operation`, `translated` and `changed` a class of checkers has."""
    known = _listens.get(checker)
    if known is None:
        known = (
            checker.before_operation is not Checker.before_operation,
            checker.after_operation is not Checker.after_operation,
            checker.translated is not Checker.translated,
            checker.changed is not Checker.changed,
        )
        _listens[checker] = known
    return known


class GuestCheckers:
    """The checkers of one VM, notified of its live entries by *shadow*; frames are counted by *pins*."""

    def __init__(self, shadow: Shadow, pins: Pins) -> None:
        guest = shadow.guest
        self.isolation = Isolation(guest)
        self.tlb = Tlb(guest, shadow)
        self.refcount = Refcount(guest, shadow)
        self.translation = Translation(guest, shadow)
        self.table_lock = TableLock(guest, shadow)
        self.ageing = Ageing(guest, shadow, self.tlb)
        self.log_order = LogOrder(guest, shadow)
        self.dirty_log = DirtyLog(guest, shadow)
        self.rest: list[GuestChecker] = [
            self.tlb,
            Bbm(guest, shadow, self.tlb),
            self.refcount,
            Dcache(guest, shadow, self.tlb.owed),
            Icache(guest, shadow),
            self.translation,
            Rights(guest, shadow),
            self.table_lock,
            FaultOrder(guest, shadow),
            PageReference(guest, shadow, pins),
            self.dirty_log,
            self.log_order,
            self.ageing,
        ]
        for checker in self.rest:
            # That of the log order listens when there is something to hear.
            if listens(type(checker))[3] and checker is not self.log_order:
                shadow.listen(checker)


class CheckerSuite:
    """All checkers of one side, attached to its kernel.

    :param side: before `Side.create` is called
    """

    def __init__(self, side: Side) -> None:
        self.side = side
        self.shadows = [Shadow(guest) for guest in side.guests]
        pins = Pins(side)
        self.guests = [GuestCheckers(shadow, pins) for shadow in self.shadows]
        self.lifetime = Lifetime(side, self.shadows, [each.tlb for each in self.guests])
        self.contract = Contract(side)
        # The order decides which of two violations at one event is the first.
        self.all: list[Checker] = [
            *self.shadows,
            Progress(side),
            self.contract,
            Locking(side),
            Memcache(side),
            pins,
            *[each.isolation for each in self.guests],
            self.lifetime,
        ]
        for each in self.guests:
            self.all += each.rest
        self.all.append(AgeingResults(side, [each.ageing for each in self.guests]))
        self.hyp = Hyp(side)
        self.plain_store = PlainStore(side, self.shadows, self.hyp)
        self.all += [self.hyp, self.plain_store, Leak(side)]
        # One list for all, so that violations stay in the order they happened.
        self.found: list[Violation] = []
        for checker in self.all:
            checker.found = self.found
            side.kernel.observe(checker)
        # Those that listen to each event.
        self.on_before_operation = [c for c in self.all if listens(type(c))[0]]
        self.on_after_operation = [c for c in self.all if listens(type(c))[1]]
        # Those that listen to what a vCPU does, by the number of its VM.
        self.on_translated: list[list[Checker]] = []
        for guest in side.guests:
            listeners = [c for c in self.all if not isinstance(c, GuestChecker) or c.guest is guest]
            self.on_translated.append([c for c in listeners if listens(type(c))[2]])

    def translated(self, cpu: int, access: int, ipa: int, walk: Walk) -> None:
        """Tell the checkers of a vCPU's VM what it did."""
        for checker in self.on_translated[cpu // self.side.cpus]:
            checker.translated(cpu, access, ipa, walk)

    def before_operation(self, op: Operation | None) -> None:
        for checker in self.on_before_operation:
            checker.before_operation(op)

    def after_operation(self, op: Operation | None, outcome: Outcome) -> None:
        for checker in self.on_after_operation:
            checker.after_operation(op, outcome)

    def scan(self) -> None:
        """The full scan that cross-checks the incremental checkers."""
        for shadow in self.shadows:
            shadow.scan()
        for each in self.guests:
            each.translation.scan()
            each.refcount.scan()
            each.tlb.scan()

    def destroying(self) -> None:
        """The tables are about to be destroyed."""
        self.lifetime.destroying = True
        self.plain_store.destroying = True
        for each in self.guests:
            each.table_lock.destroying = True
            each.tlb.destroying = True
            each.translation.before_operation(None)

    def failed(self, outcome: Outcome) -> None:
        """The destruction crashed."""
        self.contract.after_operation(None, outcome)

    def destroyed(self) -> None:
        for checker in self.all:
            checker.destroyed()

    def dismantle(self) -> None:
        """Cut the references between checkers that make cycles; see `Side.dismantle`."""
        for shadow in self.shadows:
            shadow.listeners.clear()
        for each in self.guests:
            each.log_order.dismantle()

    def take(self, at: int) -> list[Violation]:
        """The violations found since the last call, as of operation *at*."""
        if not self.found:
            return []
        found = self.found[:]
        self.found.clear()
        for violation in found:
            violation.at = at
        return found
