# SPDX-License-Identifier: GPL-2.0-only
"""Blocks in which several actors (vCPUs, threads of the host) are at work at once, and the schedule of their turns.

A block is one operation of a program, written in several lines; its own operations are those of other modules.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias, get_args

from .guest import Evict, GuestAccess, Speculate
from .host import HostOperation
from .slots import ClearLog, GetLog, SetLog, SlotCreate, SlotDelete, SlotMove, SlotOperation

# Numbers of actors: a vCPU has its own; behind all vCPUs come threads of the host and of user space, and CPUs that do
# something of their own accord.
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

# What an actor does where it may give way. fault: the hardware takes one, before the handler runs; load, store,
# cmpxchg: of a table entry; flush: of TLBs; clean: of caches; lock, unlock: the mmu lock; lookup: of a frame. Of the
# host's threads alone: start, end: KVM is told that pages are about to change, and that they have; change: they do.
# The binary form has their numbers: new ones come last.
Point: TypeAlias = Literal[
    "fault", "load", "store", "cmpxchg", "flush", "clean", "lock", "unlock", "lookup", "start", "change", "end"
]
POINTS: Final[tuple[str, ...]] = get_args(Point)
# What shows only when it has happened.
ONLY_AFTER: Final = ("fault", "load")
# The steps of an operation of the host, which are counted in the whole block, as faults are; what vCPUs alone do; and
# what both do.
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
    """An actor as programs name it: ``cpu1``, ``host0``, ``user0``, ``hw0``."""
    return _NAMES.get(actor, f"cpu{actor}")


def points_of(actor: int) -> tuple[str, ...]:
    """The kinds of what an actor does where it may give way."""
    if actor in HARDWARE:
        return ()
    own = STEPS_OF_HOST if is_host(actor) else STEPS_OF_CPU if is_vcpu(actor) else ()
    return (*own, *STEPS_OF_BOTH)


ByThread: TypeAlias = HostOperation | SlotOperation | Speculate | Evict


def actors_of(operation: GuestAccess | ByThread) -> range | None:
    """The actors, but vCPUs, whose operation it is; None: it is one of vCPUs."""
    if isinstance(operation, (GetLog, ClearLog)):
        return USERS
    if isinstance(operation, (SetLog, SlotCreate, SlotDelete, SlotMove)):
        return USERS[:1]
    if isinstance(operation, (Speculate, Evict)):
        return HARDWARE
    return None if isinstance(operation, GuestAccess) else HOSTS


@dataclass(frozen=True, slots=True)
class Threaded:
    """An operation of a block that no vCPU does; *cpu* is the number of the actor (`HOSTS`, `USERS`, `HARDWARE`)."""

    cpu: int
    operation: ByThread


Concurrent: TypeAlias = GuestAccess | Threaded


def plain(each: Concurrent) -> GuestAccess | ByThread:
    """An operation of a block as it is outside of one."""
    return each.operation if isinstance(each, Threaded) else each


@dataclass(frozen=True, slots=True)
class Switch:
    """Actor *cpu* gives way to actor *to* at its *count*-th load, store, ... within its fault number *fault*.

    Faults are counted in the whole block, from 1; where *point* is ``fault``, *count* is that number. The calls by
    which a thread of the host tells KVM of something count as its faults. Its steps, *point* ``start`` and so on, are
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
        """The place in what *cpu* does: two switches of a block have two."""
        return self.cpu, self.when, self.point, self.count, self.fault


@dataclass(frozen=True, slots=True)
class Par:
    """Several actors at work at once, vCPUs, the host, user space, hardware: one step of one of them at a time.

    *operations* of one actor follow each other. The actor of the first one begins. It goes on until a switch says
    otherwise, it has to wait, or it is done; then the next one that can goes on, in the order of their first
    operations.
    """

    operations: tuple[Concurrent, ...]
    switches: tuple[Switch, ...] = ()

    @property
    def actors(self) -> tuple[int, ...]:
        """The actors by number, in the order of their first operations."""
        return tuple(dict.fromkeys(each.cpu for each in self.operations))

    def in_order(self, cpus: Iterable[int]) -> "Par":
        """The block with its actors in another order, by which they begin; switches are left out."""
        return Par(tuple(each for cpu in cpus for each in self.operations if each.cpu == cpu))
