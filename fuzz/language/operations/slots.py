# SPDX-License-Identifier: GPL-2.0-only
"""Creation, moves and deletion of slots, and their dirty logs."""

from dataclasses import dataclass
from typing import Final, TypeAlias

from .declaration import DELETED, LIVE, LOGGED, MANUAL, MAPPED, RAM, WORD, declare
from .host import SlotRange

# Checkers that depend on the address of a slot.
LAYOUT: Final = ("translation", "contract", "dirty-log")


@dataclass(frozen=True, slots=True)
class OnSlot:
    """Base of operations on a slot as a whole."""

    slot: str


@dataclass(frozen=True, slots=True)
class SetLog(OnSlot):
    """Dirty logging of a slot is turned on or off. KVM refuses to turn it on for a slot of device memory.

    *fail* as in `GuestAccess`, for the blocks that are then split. If none are, a tree gets ``fail - 1`` small
    allocations (the slot, its bitmap) in this call, and further ones fail. User space then tries again.
    """

    on: bool
    fail: int | None = None


declare(
    SetLog,
    20,
    "log SLOT on|off [fail=COUNT]",
    backings=MAPPED,
    needs=(LIVE,),
    checkers=("translation", "dirty-log", "contract"),
    title="log on, off",
)


@dataclass(frozen=True, slots=True)
class GetLog(OnSlot):
    """The dirty log of a slot is collected (and cleared, unless a separate call clears it)."""


declare(GetLog, 21, "log SLOT get", backings=RAM, needs=(LIVE, LOGGED), checkers=("translation", "dirty-log"))


@dataclass(frozen=True, slots=True)
class ClearLog(SlotRange):
    """User space clears the collected part of the log in the range (KVM_CLEAR_DIRTY_LOG).

    *offset* is a multiple of 64 pages, and so is *size* unless the range ends with the slot. *fail* as in `SetLog`.
    """

    fail: int | None = None


declare(
    ClearLog,
    22,
    "log SLOT clear OFF SIZE [fail=COUNT]",
    align=WORD,
    backings=RAM,
    needs=(LOGGED, MANUAL),
    checkers=("translation", "dirty-log"),
)


@dataclass(frozen=True, slots=True)
class SlotDelete(OnSlot):
    """A slot is deleted."""


declare(SlotDelete, 23, "slot SLOT delete", needs=(LIVE,), checkers=("translation", "dirty-log", "fault-order"))


@dataclass(frozen=True, slots=True)
class SlotCreate(OnSlot):
    """A deleted slot is created again, at *ipa* (None: where it was), over the same host memory.

    KVM refuses it where the slot would end beyond the guest's address space, and refuses a log of device memory. The
    slot then stays deleted.

    *fail* as in `GuestAccess`, for device memory, which is mapped at once; for other memory as in `SetLog`.
    """

    ipa: int | None = None
    log: bool = False
    ro: bool = False
    fail: int | None = None


declare(
    SlotCreate,
    24,
    "slot SLOT create [ipa=ADDRESS] [log=on|off] [ro=on|off] [fail=COUNT]",
    needs=(DELETED,),
    checkers=LAYOUT,
)


@dataclass(frozen=True, slots=True)
class SlotMove(OnSlot):
    """A slot moves to another guest address. *fail* as in `SlotCreate`.

    KVM refuses it where the slot would end beyond the guest's address space. The slot then stays where it is.
    """

    ipa: int
    fail: int | None = None


declare(
    SlotMove,
    25,
    "slot SLOT move ADDRESS [fail=COUNT]",
    backings=MAPPED,
    needs=(LIVE,),
    checkers=(*LAYOUT, "fault-order"),
)

# Operations that make one call of KVM_SET_USER_MEMORY_REGION.
SlotChange: TypeAlias = SetLog | SlotDelete | SlotCreate | SlotMove
SlotOperation: TypeAlias = GetLog | ClearLog | SlotChange
