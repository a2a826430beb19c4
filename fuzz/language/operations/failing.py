# SPDX-License-Identifier: GPL-2.0-only
"""The operations in which a program may make an allocation fail."""

from typing import Final

from .concurrent import Par
from .guest import GuestAccess, GuestOperation
from .host import HostOperation
from .hyp import HypMap
from .slots import ClearLog, SetLog, SlotCreate, SlotMove, SlotOperation
from .tables import TableMap, TableOperation
from .vms import VmEnd

FAILING: Final = (GuestAccess, SetLog, ClearLog, SlotCreate, SlotMove, TableMap, HypMap)


def fail_of(op: GuestOperation | HostOperation | SlotOperation | TableOperation | HypMap | VmEnd | Par) -> int | None:
    """Return the number of the allocation of an operation that fails, from 1; None: none does."""
    return op.fail if isinstance(op, FAILING) else None
