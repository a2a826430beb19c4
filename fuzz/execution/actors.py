# SPDX-License-Identifier: GPL-2.0-only
"""The actors of a par block: the operations of each, and its saved state while others run."""

from typing import Final

from reference.turns import Anchor

from ..language.operations import HARDWARE, STEPS_OF_HOST, Concurrent, Switch, actor_name, is_vcpu
from ..sides.notified import Notified
from ..sides.outcome import Outcome
from ..sides.side import Side
from .coroutine import Coroutine
from .guest_accesses import Exits

# Why an actor gave way.
SWITCH: Final = "switch"
WAIT: Final = "wait"
FAIR: Final = "fair"
YIELD: Final = "yield"
# Points counted over the whole block. Calls of kernel code do not see them.
OF_BLOCK: Final = ("fault", *STEPS_OF_HOST)
# Fault of an access that has not faulted yet.
NO_FAULT: Final = -1


class PendingNotifications:
    """Pending notifications of one VM that belong to one actor.

    :param notified: holds the notifications of the running actor
    """

    def __init__(self, notified: Notified) -> None:
        self.notified = notified
        self.unmapping = notified.unmapping
        self.invalidating = notified.invalidating
        self.under_way = notified.under_way

    def save(self) -> None:
        """Save the current notifications."""
        self.unmapping = self.notified.unmapping
        self.invalidating = self.notified.invalidating
        self.under_way = self.notified.under_way

    def restore(self) -> None:
        """Restore the saved notifications."""
        self.notified.unmapping = self.unmapping
        self.notified.invalidating = self.invalidating
        self.notified.under_way = self.under_way


class ActorState:
    """State of one actor below the checkers, saved while others run: the position of its code, and what it holds.

    Kernel code uses this state so often that it stays in place. A turn swaps it field by field.

    :param side: its kernel and host hold the state of the running actor
    :param exits: the exits of its faults
    """

    def __init__(self, side: Side, exits: Exits) -> None:
        self.side = side
        self.exits = exits
        self.notifications = [PendingNotifications(guest.notified) for guest in side.guests]
        self.save()

    def save(self) -> None:
        """Save the current state: its actor gives way."""
        side, kernel, exits = self.side, self.side.kernel, self.exits
        self.active, self.notifies = side.active, side.notifications.notifying
        self.vmid, self.cpu = kernel.vmid, kernel.cpu
        self.locks, self.mmu_shared, self.rcu_depth = kernel.locks, kernel.mmu_shared, kernel.rcu_depth
        self.topup_gets, self.must_not_block = kernel.topup_gets, kernel.must_not_block
        self.small_allocations_left = kernel.small_allocations_left
        self.entry, self.cause = kernel.entry, kernel.cause
        self.walker, self.walker_arg = kernel.walker, kernel.walker_arg
        # Names the frame of a huge page that a release refers to: the frame that the same actor has pinned.
        self.pins = side.kvm_host.pins
        self.version = side.host.version
        self.status, self.address, self.injected = exits.status, exits.address, exits.injected
        self.signalled = exits.signalled
        for each in self.notifications:
            each.save()

    def restore(self) -> None:
        """Restore the saved state: its actor continues."""
        side, kernel, exits = self.side, self.side.kernel, self.exits
        side.active, side.notifications.notifying = self.active, self.notifies
        kernel.vmid, kernel.cpu = self.vmid, self.cpu
        kernel.locks, kernel.mmu_shared, kernel.rcu_depth = self.locks, self.mmu_shared, self.rcu_depth
        kernel.topup_gets, kernel.must_not_block = self.topup_gets, self.must_not_block
        kernel.small_allocations_left = self.small_allocations_left
        kernel.entry, kernel.cause = self.entry, self.cause
        kernel.walker, kernel.walker_arg = self.walker, self.walker_arg
        side.kvm_host.pins = self.pins
        side.host.version = self.version
        exits.status, exits.address, exits.injected = self.status, self.address, self.injected
        exits.signalled = self.signalled
        for each in self.notifications:
            each.restore()

    def copy(self) -> "ActorState":
        """Return a copy of the current state for an actor that begins. Lists and dicts are copied."""
        mine = ActorState(self.side, self.exits)
        mine.locks, mine.pins = mine.locks[:], mine.pins.copy()
        for each in mine.notifications:
            each.under_way = each.under_way[:]
        return mine


class Actor:
    """An actor of a block.

    :param number: from 1, in the order in which the block names them
    :param cpu: the vCPU, or a number of `fuzz.language.operations.concurrent.THREADS`
    :param accesses: its operations, each with its index in the block
    :param switches: the switches of the schedule that are anchored to it, each with its number
    :param numbers: the numbers of all actors, keyed by *cpu*
    :param state: its state as it begins
    :param coroutine: runs it

    *of_block*: the numbers of the switches at points that are counted in the whole block, keyed by point, True for
    after, and count; *within*: the other switches, as in `reference.turns.Turns.anchors`, keyed by the number of the
    fault
    """

    def __init__(
        self,
        number: int,
        cpu: int,
        accesses: list[tuple[int, Concurrent]],
        switches: list[tuple[int, Switch]],
        numbers: dict[int, int],
        state: ActorState,
        coroutine: Coroutine,
    ) -> None:
        self.number = number
        self.cpu = cpu
        self.accesses = accesses
        self.state = state
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
        # Faults that its vCPU has taken in this block. For a thread: its calls of KVM.
        self.faults = 0
        # The steps of a thread of the host, by kind.
        self.steps: dict[str, int] = {}
        # Hardware only: the actor that gave way to it, which continues after it. 0: no actor did.
        self.interrupted = 0
        # The last fault of the access in progress, and the turns given away since any other fault.
        self.fault = NO_FAULT
        self.fault_level = self.fault_entry = 0
        self.turns_given = 0
        # Reason why it gave way last, and the actor that it gave way to.
        self.reason = ""
        self.to = 0
        # The lock that it waits for, and the actor that holds it. It has made no step since it began to wait.
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
