# SPDX-License-Identifier: GPL-2.0-only
"""Slots that come, move and go, and their dirty logs."""

from dataclasses import dataclass
from typing import TypeAlias

from .declaration import DELETED, LIVE, LOGGED, MANUAL, RAM, WORD, declare
from .host import SlotRange


@dataclass(frozen=True, slots=True)
class SetLog:
    """Dirty logging of a slot is turned on or off."""

    slot: str
    on: bool


declare(SetLog, 20, "log SLOT on|off", backings=RAM, needs=(LIVE,), checkers=("translation", "dirty-log"))


@dataclass(frozen=True, slots=True)
class GetLog:
    """The dirty log of a slot is collected (and cleared, unless that is a call of its own)."""

    slot: str


declare(GetLog, 21, "log SLOT get", backings=RAM, needs=(LIVE, LOGGED), checkers=("translation", "dirty-log"))


@dataclass(frozen=True, slots=True)
class ClearLog(SlotRange):
    """User space clears the collected part of the log in the range (KVM_CLEAR_DIRTY_LOG).

    *offset* is a multiple of 64 pages, *size* too unless the range ends with the slot.
    """


declare(
    ClearLog,
    22,
    "log SLOT clear OFF SIZE",
    align=WORD,
    backings=RAM,
    needs=(LOGGED, MANUAL),
    checkers=("translation", "dirty-log"),
)


@dataclass(frozen=True, slots=True)
class SlotDelete:
    """A slot is deleted."""

    slot: str


declare(SlotDelete, 23, "slot SLOT delete", needs=(LIVE,), checkers=("translation", "dirty-log"))


@dataclass(frozen=True, slots=True)
class SlotCreate:
    """A deleted slot is made again, at *ipa* (None: where it was), over the same host memory.

    *fail* is that of `GuestAccess`, for device memory, which is mapped at once.
    """

    slot: str
    ipa: int | None = None
    log: bool = False
    ro: bool = False
    fail: int | None = None


declare(
    SlotCreate,
    24,
    "slot SLOT create [ipa=ADDRESS] [log=on|off] [ro=on|off] [fail=COUNT]",
    needs=(DELETED,),
    checkers=("translation", "contract", "dirty-log"),
)


@dataclass(frozen=True, slots=True)
class SlotMove:
    """A slot moves to another guest address; *fail* as in `SlotCreate`."""

    slot: str
    ipa: int
    fail: int | None = None


declare(
    SlotMove,
    25,
    "slot SLOT move ADDRESS [fail=COUNT]",
    needs=(LIVE,),
    checkers=("translation", "contract", "dirty-log"),
)

SlotOperation: TypeAlias = SetLog | GetLog | ClearLog | SlotDelete | SlotCreate | SlotMove
