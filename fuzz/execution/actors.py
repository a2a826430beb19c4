# SPDX-License-Identifier: GPL-2.0-only
"""The actors of a par block: what each does, and what belongs to it while others run."""

from typing import Final

from reference.turns import Anchor

from ..language.operations import HARDWARE, STEPS_OF_HOST, Concurrent, Switch, actor_name, is_vcpu
from ..sides.guest import Notified
from ..sides.outcome import Outcome
from ..sides.side import Side
from .coroutine import Coroutine
from .guest_accesses import Exits

# Why an actor gave way.
SWITCH: Final = "switch"
WAIT: Final = "wait"
FAIR: Final = "fair"
# Points that are counted in the whole block, which no call of kernel code knows.
OF_BLOCK: Final = ("fault", *STEPS_OF_HOST)
# What no access has run into.
NO_FAULT: Final = -1


class Notifying:
    """Notifications of one VM that are under way, of one actor.

    :param notified: where those of the actor that runs are
    """

    def __init__(self, notified: Notified) -> None:
        self.notified = notified
        self.unmapping = notified.unmapping
        self.invalidating = notified.invalidating
        self.under_way = notified.under_way

    def take(self) -> None:
        """Put those that are in place aside."""
        self.unmapping = self.notified.unmapping
        self.invalidating = self.notified.invalidating
        self.under_way = self.notified.under_way

    def put(self) -> None:
        """Put these in place."""
        self.notified.unmapping = self.unmapping
        self.notified.invalidating = self.invalidating
        self.notified.under_way = self.under_way


class Doing:
    """Belongings of one actor below the checkers, while others run: where its code is, and what it holds.

    Kernel code uses it so often that it stays where it is: a turn changes it field by field.

    :param side: whose kernel and host have that of the actor that runs
    :param exits: of its faults
    """

    def __init__(self, side: Side, exits: Exits) -> None:
        self.side = side
        self.exits = exits
        self.notifying = [Notifying(guest.notified) for guest in side.guests]
        self.take()

    def take(self) -> None:
        """Put what is in place aside: its actor gives way."""
        side, kernel, exits = self.side, self.side.kernel, self.exits
        self.active, self.notifies = side.active, side.notifying
        self.vmid, self.cpu = kernel.vmid, kernel.cpu
        self.locks, self.mmu_shared, self.rcu_depth = kernel.locks, kernel.mmu_shared, kernel.rcu_depth
        self.topup_gets, self.must_not_block = kernel.topup_gets, kernel.must_not_block
        self.entry, self.cause = kernel.entry, kernel.cause
        self.walker, self.walker_arg = kernel.walker, kernel.walker_arg
        # Which of the frames of a huge page a release is about: one that the same actor has pinned.
        self.pins = side.kvm_host.pins
        self.version = side.host.version
        self.status, self.address, self.injected = exits.status, exits.address, exits.injected
        for each in self.notifying:
            each.take()

    def put(self) -> None:
        """Put this in place: its actor goes on."""
        side, kernel, exits = self.side, self.side.kernel, self.exits
        side.active, side.notifying = self.active, self.notifies
        kernel.vmid, kernel.cpu = self.vmid, self.cpu
        kernel.locks, kernel.mmu_shared, kernel.rcu_depth = self.locks, self.mmu_shared, self.rcu_depth
        kernel.topup_gets, kernel.must_not_block = self.topup_gets, self.must_not_block
        kernel.entry, kernel.cause = self.entry, self.cause
        kernel.walker, kernel.walker_arg = self.walker, self.walker_arg
        side.kvm_host.pins = self.pins
        side.host.version = self.version
        exits.status, exits.address, exits.injected = self.status, self.address, self.injected
        for each in self.notifying:
            each.put()

    def copy(self) -> "Doing":
        """Return what is in place, for an actor that begins: lists and dicts are copies."""
        mine = Doing(self.side, self.exits)
        mine.locks, mine.pins = mine.locks[:], mine.pins.copy()
        for each in mine.notifying:
            each.under_way = each.under_way[:]
        return mine


class Actor:
    """An actor of a block.

    :param number: from 1, in the order in which the block names them
    :param cpu: the vCPU, or who else it is (`fuzz.language.operations.concurrent.THREADS`)
    :param accesses: what it does, each with its index in the block
    :param switches: of the schedule, those anchored to it, each with its number
    :param numbers: the numbers of all actors, by *cpu*
    :param doing: what belongs to it as it begins
    :param coroutine: in which it runs

    *of_block*: of the switches at points that are counted in the whole block the numbers, by point, True for after, and
    count; *within*: the others as `reference.turns.Turns.anchors` has them, by the number of the fault
    """

    def __init__(
        self,
        number: int,
        cpu: int,
        accesses: list[tuple[int, Concurrent]],
        switches: list[tuple[int, Switch]],
        numbers: dict[int, int],
        doing: Doing,
        coroutine: Coroutine,
    ) -> None:
        self.number = number
        self.cpu = cpu
        self.accesses = accesses
        self.doing = doing
        self.coroutine = coroutine
        self.of_block: dict[tuple[str, bool, int], int] = {}
        self.within: dict[int, list[Anchor]] = {}
        for index, switch in switches:
            after = switch.when == "after"
            if switch.point in OF_BLOCK:
                self.of_block[switch.point, after, switch.count] = index
            else:
                anchor = Anchor(index, switch.point, after, switch.count, numbers[switch.to])
                self.within.setdefault(switch.fault, []).append(anchor)
        self.outcomes: dict[int, Outcome] = {}
        # Faults that its vCPU has taken in this block; of a thread, its calls of KVM.
        self.faults = 0
        # The steps of a thread of the host, by kind.
        self.steps: dict[str, int] = {}
        # Hardware: the actor that gave way to it, which goes on behind it; 0: none did.
        self.interrupted = 0
        # The last fault of the access under way; and turns given away since anything else came.
        self.fault = NO_FAULT
        self.fault_level = self.fault_entry = 0
        self.given = 0
        # Why it gave way last, and to whom.
        self.left = ""
        self.to = 0
        # What it waits for, and which actor has that; it has made no step since it began to wait.
        self.waiting = False
        self.lock = ""
        self.holder = 0
        self.is_thread = not is_vcpu(cpu)
        self.is_hardware = cpu in HARDWARE

    @property
    def done(self) -> bool:
        """True if it has nothing more to do."""
        return self.coroutine.done

    @property
    def name(self) -> str:
        """The actor as programs name it."""
        return actor_name(self.cpu)
