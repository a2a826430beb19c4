# SPDX-License-Identifier: GPL-2.0-only
"""Blocks in which several actors (vCPUs, threads of the host) run at once, and the schedule of their turns.

A block is one operation of a program, written on several lines. Its own operations are those of other modules.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias, get_args

from .guest import Evict, GuestAccess, Speculate
from .host import HostOperation
from .slots import ClearLog, GetLog, SetLog, SlotCreate, SlotDelete, SlotMove, SlotOperation

# Numbers of actors. A vCPU has its own number. After all vCPUs come threads of the host, threads of user space, and
# CPUs that do something spontaneously.
HOSTS: Final = range(64, 68)
USERS: Final = range(68, 70)
HARDWARE: Final = range(72, 76)
_KINDS: Final = {"host": HOSTS, "user": USERS, "hw": HARDWARE}
THREADS: Final[dict[str, int]] = {
    f"{kind}{number - numbers[0]}": number for kind, numbers in _KINDS.items() for number in numbers
}
_NAMES: Final = {number: name for name, number in THREADS.items()}

Moment: TypeAlias = Literal["before", "after"]
MOMENTS: Final[tuple[str, ...]] = get_args(Moment)

# Points at which an actor may give way. fault: the hardware takes one, before the handler runs; load, store, cmpxchg:
# of a table entry; flush: of TLBs; clean: of caches; lock, unlock: the mmu lock; lookup: of a frame; tags: those of a
# page are cleared. Only for the host's threads: start, end: KVM is notified that pages are about to change, and that
# they have; change: they change.
# The binary form stores their index: new points come last.
Point: TypeAlias = Literal[
    "fault", "load", "store", "cmpxchg", "flush", "clean", "lock", "unlock", "lookup", "start", "change", "end", "tags"
]
POINTS: Final[tuple[str, ...]] = get_args(Point)
# Points that are observable only after they have happened.
ONLY_AFTER: Final = ("fault", "load")
# Steps of an operation of the host, counted in the whole block, like faults; points of vCPUs only; and points of both.
STEPS_OF_HOST: Final = ("start", "change", "end")
STEPS_OF_CPU: Final = ("fault", "lookup")
STEPS_OF_BOTH: Final = tuple(point for point in POINTS if point not in STEPS_OF_HOST + STEPS_OF_CPU)

SWITCH_FORM: Final = f"switch ACTOR to ACTOR {'|'.join(MOMENTS)} {'|'.join(POINTS)} COUNT [fault=COUNT]"


def is_host(actor: int) -> bool:
    """Tell whether an actor is a thread of the host."""
    return actor in HOSTS


def is_vcpu(actor: int) -> bool:
    """Tell whether an actor is a vCPU."""
    return actor not in _NAMES


def actor_name(actor: int) -> str:
    """Return the name of an actor in programs: ``cpu1``, ``host0``, ``user0``, ``hw0``."""
    return _NAMES.get(actor, f"cpu{actor}")


def points_of(actor: int) -> tuple[str, ...]:
    """Return the kinds of points at which an actor may give way."""
    if actor in HARDWARE:
        return ()
    own = STEPS_OF_HOST if is_host(actor) else STEPS_OF_CPU if is_vcpu(actor) else ()
    return (*own, *STEPS_OF_BOTH)


ByThread: TypeAlias = HostOperation | SlotOperation | Speculate | Evict


def actors_of(operation: GuestAccess | ByThread) -> range | None:
    """Return the actors other than vCPUs that may run an operation; None: vCPUs run it."""
    if isinstance(operation, (GetLog, ClearLog)):
        return USERS
    if isinstance(operation, (SetLog, SlotCreate, SlotDelete, SlotMove)):
        return USERS[:1]
    if isinstance(operation, (Speculate, Evict)):
        return HARDWARE
    return None if isinstance(operation, GuestAccess) else HOSTS


@dataclass(frozen=True, slots=True)
class Threaded:
    """An operation of a block that no vCPU runs. *cpu* is the number of the actor (`HOSTS`, `USERS`, `HARDWARE`)."""

    cpu: int
    operation: ByThread


Concurrent: TypeAlias = GuestAccess | Threaded


def plain(each: Concurrent) -> GuestAccess | ByThread:
    """Return an operation of a block as it would be outside a block."""
    return each.operation if isinstance(each, Threaded) else each


@dataclass(frozen=True, slots=True)
class Switch:
    """Actor *cpu* gives way to actor *to* at its *count*-th load, store, ... within its fault number *fault*.

    Faults are counted in the whole block, from 1. Where *point* is ``fault``, *count* is that number. Each call by
    which a thread of the host notifies KVM counts as one of its faults. Its steps (*point* ``start`` and so on) are
    counted in the whole block.
    """

    cpu: int
    to: int
    when: Moment
    point: Point
    count: int
    fault: int = 1

    @property
    def anchor(self) -> tuple[int, str, str, int, int]:
        """The place at which *cpu* gives way. It is unique in a block."""
        return self.cpu, self.when, self.point, self.count, self.fault


@dataclass(frozen=True, slots=True)
class Par:
    """Several actors run at once (vCPUs, the host, user space, hardware): one step of one of them at a time.

    The *operations* of one actor follow each other. The actor of the first one begins. It runs until a switch takes
    place, it has to wait, or it is done. Then the next actor that can runs, round-robin in the order of their first
    operations.
    """

    operations: tuple[Concurrent, ...]
    switches: tuple[Switch, ...] = ()

    @property
    def actors(self) -> tuple[int, ...]:
        """The actors by number, in the order of their first operations."""
        return tuple(dict.fromkeys(each.cpu for each in self.operations))

    def in_order(self, cpus: Iterable[int]) -> "Par":
        """Return the block with its actors beginning in another order, and without switches."""
        return Par(tuple(each for cpu in cpus for each in self.operations if each.cpu == cpu))
