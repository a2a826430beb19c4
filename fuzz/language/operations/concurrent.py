# SPDX-License-Identifier: GPL-2.0-only
"""Blocks in which several actors are at work at once, and the schedule by which they take turns.

A block is one operation of a program, written in several lines; its own operations are those of other modules.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias, get_args

from .guest import GuestAccess

Moment: TypeAlias = Literal["before", "after"]
MOMENTS: Final[tuple[str, ...]] = get_args(Moment)

# What an actor does where it may give way. fault: the hardware takes one, before the handler runs; load, store,
# cmpxchg: of a table entry; flush: of TLBs; clean: of caches; lock, unlock: the mmu lock; lookup: of a frame.
Point: TypeAlias = Literal["fault", "load", "store", "cmpxchg", "flush", "clean", "lock", "unlock", "lookup"]
POINTS: Final[tuple[str, ...]] = get_args(Point)
# What shows only when it has happened.
ONLY_AFTER: Final = ("fault", "load")

SWITCH_FORM: Final = f"switch cpuN to cpuN {'|'.join(MOMENTS)} {'|'.join(POINTS)} COUNT [fault=COUNT]"


@dataclass(frozen=True, slots=True)
class Switch:
    """vCPU *cpu* gives way to vCPU *to* at its *count*-th load, store, ... within its fault number *fault*.

    Faults are counted in the whole block, from 1; where *point* is ``fault``, *count* is that number.
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
    """Several vCPUs at work at once, one step of one of them at a time.

    *operations* with one vCPU follow each other. The vCPU of the first one begins. It goes on until a switch says
    otherwise, it has to wait, or it is done; then the next one that can goes on, in the order of their first
    operations.
    """

    operations: tuple[GuestAccess, ...]
    switches: tuple[Switch, ...] = ()

    @property
    def cpus(self) -> tuple[int, ...]:
        """The vCPUs, in the order of their first operations."""
        return tuple(dict.fromkeys(each.cpu for each in self.operations))

    def in_order(self, cpus: Iterable[int]) -> "Par":
        """The block with its vCPUs in another order, by which they begin; switches are left out."""
        return Par(tuple(each for cpu in cpus for each in self.operations if each.cpu == cpu))
