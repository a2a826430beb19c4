# SPDX-License-Identifier: GPL-2.0-only
"""All checkers of a side: creates them, passes events to them, and collects their violations."""

from typing import Final

from reference.machine.walk import Walk

from ..language.operations import Operation
from ..sides.guest import Guest
from ..sides.outcome import Outcome
from ..sides.side import Side
from .checker import Checker, GuestChecker, Peers
from .contract import Contract
from .hyp import Hyp
from .registry import RUNS
from .shadow import Shadow
from .violation import Violation


class Overrides:
    """The methods of `Checker` that a checker class overrides and must therefore be called for.

    :param kind: the class
    """

    def __init__(self, kind: type[Checker]) -> None:
        self.before_operation = kind.before_operation is not Checker.before_operation
        self.after_operation = kind.after_operation is not Checker.after_operation
        self.translated = kind.translated is not Checker.translated
        self.changed = kind.changed is not Checker.changed
        self.scan = kind.scan is not Checker.scan
        self.actors = kind.actor_begins is not Checker.actor_begins or kind.actor_ends is not Checker.actor_ends


_overrides: Final[dict[type[Checker], Overrides]] = {}


def overrides(kind: type[Checker]) -> Overrides:
    """Return the methods that a checker class overrides."""
    known = _overrides.get(kind)
    if known is None:
        known = _overrides[kind] = Overrides(kind)
    return known


class CheckerSuite:
    """All checkers of one side, in the order of `fuzz.checkers.registry`, attached to its kernel.

    :param side: the side, before `Side.create` is called
    :param judged: False: no checker is attached and none judges
    """

    def __init__(self, side: Side, judged: bool) -> None:
        self.side = side
        self.peers = Peers(side)
        self.shadows = self.peers.each(Shadow)
        self.contract = self.peers.of(Contract)
        self.hyp = self.peers.of(Hyp)
        self.all: list[Checker] = []
        # Checkers of VMs that have ended.
        self.gone: list[Checker] = []
        for of_side, of_guest in RUNS if judged else ():
            self.all += [self.peers.of(kind) for kind in of_side]
            for guest in side.guests:
                self.all += [self.peers.at(each, guest) for each in of_guest]
        # One list shared by all checkers keeps violations in the order they happened.
        self.found: list[Violation] = []
        # The observers of each event: `on_translated` indexed by VM number, `on_actor` for actors of par blocks.
        self.on_before_operation: list[Checker] = []
        self.on_after_operation: list[Checker] = []
        self.on_translated: list[list[Checker]] = [[] for _ in side.guests]
        self.on_actor: list[Checker] = []
        # Checkers that `scan` calls, except the shadows.
        self.scanning: list[Checker] = []
        for checker in self.all:
            checker.found = self.found
            side.kernel.observe(checker)
            self.register(checker, overrides(type(checker)))

    def register(self, checker: Checker, overridden: Overrides) -> None:
        """Record the methods that a checker must be called for."""
        if overridden.before_operation:
            self.on_before_operation.append(checker)
        if overridden.after_operation:
            self.on_after_operation.append(checker)
        if overridden.actors:
            self.on_actor.append(checker)
        if overridden.scan and not isinstance(checker, Shadow):
            self.scanning.append(checker)
        if not isinstance(checker, GuestChecker):
            if overridden.translated:
                for observers in self.on_translated:
                    observers.append(checker)
            return
        number = checker.guest.number
        if overridden.translated:
            self.on_translated[number].append(checker)
        if overridden.changed and not checker.on_demand and not checker.nothing_to_judge:
            self.shadows[number].observe(checker)

    def translated(self, cpu: int, access: int, ipa: int, walk: Walk) -> None:
        """Pass a translation to the checkers of the vCPU's VM."""
        for checker in self.on_translated[self.side.guest_of(cpu).number]:
            checker.translated(cpu, access, ipa, walk)

    def before_operation(self, op: Operation | None) -> None:
        for checker in self.on_before_operation:
            checker.before_operation(op)

    def after_operation(self, op: Operation | None, outcome: Outcome) -> None:
        for checker in self.on_after_operation:
            checker.after_operation(op, outcome)

    def actor_begins(self, op: Operation) -> None:
        for checker in self.on_actor:
            checker.actor_begins(op)

    def actor_ends(self, op: Operation, outcome: Outcome) -> None:
        for checker in self.on_actor:
            checker.actor_ends(op, outcome)
        self.contract.after_operation(op, outcome)

    def scan(self) -> None:
        """Run the full scan that cross-checks the incremental checkers.

        The shadow tables come first. Then, VM by VM, the checkers run in reverse order: a wrong leaf is the violation,
        and the count and the TLB entry that follow from it are not.
        """
        for shadow in self.shadows:
            shadow.scan()
        scanning = self.scanning[::-1]
        for guest in self.side.guests:
            for checker in scanning:
                if isinstance(checker, GuestChecker) and checker.guest is guest:
                    checker.scan()
        for checker in scanning:
            if not isinstance(checker, GuestChecker):
                checker.scan()

    def vm_ending(self, guest: Guest) -> None:
        """Let the checkers of a VM that ends while others continue cross-check it first, as `scan` does."""
        self.shadows[guest.number].scan()
        mine = self.of(guest)
        for checker in reversed(mine):
            if not isinstance(checker, Shadow):
                checker.scan()
        for checker in mine:
            checker.before_destruction()
        for checker in self.of_side():
            checker.vm_ending(guest)

    def vm_ended(self, guest: Guest) -> None:
        """Detach the checkers of a VM that is gone; they judge nothing any more."""
        mine = self.of(guest)
        for checker in self.of_side():
            checker.vm_ended(guest)
        for checker in mine:
            checker.vm_ended(guest)
            self.side.kernel.dismiss(checker)
            lists = (self.all, self.scanning, self.on_before_operation, self.on_after_operation, self.on_actor)
            for observers in lists:
                if checker in observers:
                    observers.remove(checker)
            self.gone.append(checker)
        self.on_translated[guest.number].clear()

    def of_side(self) -> list[Checker]:
        """Return the per-side checkers, in order."""
        return [each for each in self.all if not isinstance(each, GuestChecker)]

    def of(self, guest: Guest) -> list[Checker]:
        """Return the checkers of one VM, in order."""
        return [each for each in self.all if isinstance(each, GuestChecker) and each.guest is guest]

    def before_destruction(self) -> None:
        """Tell the checkers that the tables are about to be destroyed."""
        for checker in self.all:
            checker.before_destruction()

    def crashed(self, outcome: Outcome) -> None:
        """Tell the checkers that the destruction crashed."""
        for checker in self.all:
            checker.crashed(outcome)

    def destroyed(self) -> None:
        for checker in self.all:
            checker.destroyed()

    def dismantle(self) -> None:
        """Cut the references between checkers that form cycles; see `Side.dismantle`."""
        for checker in (*self.all, *self.gone):
            checker.dismantle()

    def take(self, at: int) -> list[Violation]:
        """Return the violations found since the last call, and set their operation to *at*."""
        if not self.found:
            return []
        found = self.found[:]
        self.found.clear()
        for violation in found:
            violation.at = at
        return found
