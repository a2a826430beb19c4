# SPDX-License-Identifier: GPL-2.0-only
"""All checkers of a side: made, notified of what happens, asked what they found."""

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


class Listens:
    """The methods of `Checker` that a class of checkers overrides: what it is called for.

    :param kind: the class
    """

    def __init__(self, kind: type[Checker]) -> None:
        self.before_operation = kind.before_operation is not Checker.before_operation
        self.after_operation = kind.after_operation is not Checker.after_operation
        self.translated = kind.translated is not Checker.translated
        self.changed = kind.changed is not Checker.changed
        self.scan = kind.scan is not Checker.scan
        self.actors = kind.actor_begins is not Checker.actor_begins or kind.actor_ends is not Checker.actor_ends


_listens: Final[dict[type[Checker], Listens]] = {}


def listens(kind: type[Checker]) -> Listens:
    """The events that a class of checkers listens to."""
    known = _listens.get(kind)
    if known is None:
        known = _listens[kind] = Listens(kind)
    return known


class CheckerSuite:
    """All checkers of one side, in the order of `fuzz.checkers.registry`, attached to its kernel.

    :param side: before `Side.create` is called
    :param judged: False: none is attached, and none judges
    """

    def __init__(self, side: Side, judged: bool = True) -> None:
        self.side = side
        self.peers = Peers(side)
        self.shadows = self.peers.each(Shadow)
        self.contract = self.peers.of(Contract)
        self.hyp = self.peers.of(Hyp)
        self.all: list[Checker] = []
        # Those of VMs that have ended.
        self.gone: list[Checker] = []
        for of_side, of_guest in RUNS if judged else ():
            self.all += [self.peers.of(kind) for kind in of_side]
            for guest in side.guests:
                self.all += [self.peers.at(each, guest) for each in of_guest]
        # One list for all, so that violations stay in the order they happened.
        self.found: list[Violation] = []
        # Those that listen to each event: to what a vCPU does by the number of its VM, last to what several actors do.
        self.on_before_operation: list[Checker] = []
        self.on_after_operation: list[Checker] = []
        self.on_translated: list[list[Checker]] = [[] for _ in side.guests]
        self.on_actor: list[Checker] = []
        # Those that `scan` asks, but for the shadows.
        self.scanning: list[Checker] = []
        for checker in self.all:
            checker.found = self.found
            side.kernel.observe(checker)
            self.register(checker, listens(type(checker)))

    def register(self, checker: Checker, heard: Listens) -> None:
        """Note what a checker listens to."""
        if heard.before_operation:
            self.on_before_operation.append(checker)
        if heard.after_operation:
            self.on_after_operation.append(checker)
        if heard.actors:
            self.on_actor.append(checker)
        if heard.scan and not isinstance(checker, Shadow):
            self.scanning.append(checker)
        if not isinstance(checker, GuestChecker):
            if heard.translated:
                for listeners in self.on_translated:
                    listeners.append(checker)
            return
        number = checker.guest.number
        if heard.translated:
            self.on_translated[number].append(checker)
        if heard.changed and not checker.on_demand and not checker.nothing_to_judge:
            self.shadows[number].listen(checker)

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

    def actor_begins(self, op: Operation) -> None:
        for checker in self.on_actor:
            checker.actor_begins(op)

    def actor_ends(self, op: Operation, outcome: Outcome) -> None:
        for checker in self.on_actor:
            checker.actor_ends(op, outcome)
        self.contract.after_operation(op, outcome)

    def scan(self) -> None:
        """The full scan that cross-checks the incremental checkers.

        The tables as checkers have them come first. Then, VM by VM, the last checkers do: a wrong leaf is
        the violation, the count and the TLB entry that follow from it are not.
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
        """A VM is about to end while others go on: its own checkers cross-check it first, as `scan` does."""
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
        """The VM is gone: its own checkers judge nothing any more."""
        mine = self.of(guest)
        for checker in self.of_side():
            checker.vm_ended(guest)
        for checker in mine:
            checker.vm_ended(guest)
            self.side.kernel.dismiss(checker)
            heard = (self.all, self.scanning, self.on_before_operation, self.on_after_operation, self.on_actor)
            for listeners in heard:
                if checker in listeners:
                    listeners.remove(checker)
            self.gone.append(checker)
        self.on_translated[guest.number].clear()

    def of_side(self) -> list[Checker]:
        """The checkers of all VMs together, in their order."""
        return [each for each in self.all if not isinstance(each, GuestChecker)]

    def of(self, guest: Guest) -> list[Checker]:
        """The checkers of one VM alone, in their order."""
        return [each for each in self.all if isinstance(each, GuestChecker) and each.guest is guest]

    def before_destruction(self) -> None:
        """The tables are about to be destroyed."""
        for checker in self.all:
            checker.before_destruction()

    def crashed(self, outcome: Outcome) -> None:
        """The destruction crashed."""
        for checker in self.all:
            checker.crashed(outcome)

    def destroyed(self) -> None:
        for checker in self.all:
            checker.destroyed()

    def dismantle(self) -> None:
        """Cut the references between checkers that make cycles; see `Side.dismantle`."""
        for checker in (*self.all, *self.gone):
            checker.dismantle()

    def take(self, at: int) -> list[Violation]:
        """The violations found since the last call, as of operation *at*."""
        if not self.found:
            return []
        found = self.found[:]
        self.found.clear()
        for violation in found:
            violation.at = at
        return found
