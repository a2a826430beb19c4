# SPDX-License-Identifier: GPL-2.0-only
"""The actors of a par block: what each does, and what belongs to it while others run."""

from collections.abc import Callable
from copy import copy
from operator import attrgetter
from typing import Final

from ..language.operations import HARDWARE, Concurrent, Switch, actor_name, is_vcpu
from ..sides.outcome import Outcome
from .coroutine import Coroutine

# Why an actor gave way.
SWITCH: Final = "switch"
WAIT: Final = "wait"
FAIR: Final = "fair"
# An object, and those of its attributes of which each actor has its own.
Belongings = tuple[object, tuple[str, ...]]


class ActorState:
    """Puts the attributes that belong to one actor in place, and those of another aside.

    :param belongings: the attributes
    """

    def __init__(self, belongings: list[Belongings]) -> None:
        self.places = [(owner, name) for owner, names in belongings for name in names]
        # One call gets all attributes of an object, and always a tuple.
        self.getters: list[tuple[object, Callable[[object], tuple[object, ...]]]] = [
            (owner, attrgetter(*names, names[0])) for owner, names in belongings if names
        ]
        # The attributes as they were when somebody looked last.
        self.seen: list[object] = []

    def values(self) -> list[object]:
        """Return the attributes as they are now."""
        found: list[object] = []
        for owner, getter in self.getters:
            found += getter(owner)
            found.pop()
        self.seen = found
        return found

    def fresh(self) -> list[object]:
        """Return them for an actor that begins: its lists, sets and dicts are copies."""
        return [copy(value) if isinstance(value, (list, set, dict)) else value for value in self.values()]

    def put(self, values: list[object]) -> None:
        """Set the attributes."""
        for (owner, name), value in zip(self.places, values, strict=True):
            setattr(owner, name, value)

    def exchange(self, values: list[object]) -> None:
        """Set the attributes of which nothing has changed since `values`: most of them are alike."""
        seen = self.seen
        for at in range(len(seen)):
            if values[at] is not seen[at]:
                owner, name = self.places[at]
                setattr(owner, name, values[at])


class Actor:
    """An actor of a block.

    :param number: from 1, in the order in which the block names them
    :param cpu: the vCPU, or who else it is (`fuzz.language.operations.concurrent.THREADS`)
    :param accesses: what it does, each with its index in the block
    :param switches: of the schedule, those anchored to it, each with its number
    :param belongings: as it begins (`ActorState.fresh`)
    """

    def __init__(
        self,
        number: int,
        cpu: int,
        accesses: list[tuple[int, Concurrent]],
        switches: list[tuple[int, Switch]],
        belongings: list[object],
    ) -> None:
        self.number = number
        self.cpu = cpu
        self.accesses = accesses
        self.switches = switches
        self.belongings = belongings
        self.coroutine: Coroutine | None = None
        self.outcomes: dict[int, Outcome] = {}
        # Faults that its vCPU has taken in this block; of a thread, its calls of KVM.
        self.faults = 0
        # The steps of a thread of the host, by kind.
        self.steps: dict[str, int] = {}
        # Hardware: the actor that gave way to it, which goes on behind it; 0: none did.
        self.interrupted = 0
        # The last fault of the access under way: kind, level, entry; and turns given away since anything else came.
        self.last_fault = (-1, -1, 0)
        self.given = 0
        # Why it gave way last, and to whom.
        self.left = ""
        self.to = 0
        # What it waits for, and which actor has that; it has made no step since it began to wait.
        self.waiting = False
        self.lock = ""
        self.holder = 0

    @property
    def done(self) -> bool:
        """True if it has nothing more to do."""
        return self.coroutine is not None and self.coroutine.done

    @property
    def name(self) -> str:
        """The actor as programs name it."""
        return actor_name(self.cpu)

    @property
    def is_thread(self) -> bool:
        """True of a thread of the host, or of user space."""
        return not is_vcpu(self.cpu)

    @property
    def is_hardware(self) -> bool:
        """True of a CPU that does something of its own accord."""
        return self.cpu in HARDWARE
