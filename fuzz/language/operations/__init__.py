# SPDX-License-Identifier: GPL-2.0-only
"""The operations of programs: one class for each kind, declared where it stands (`declare`).

Offsets are in bytes from the start of a slot, sizes in bytes. What else an operation needs: docs/how-to/operation.md.
"""

from typing import Final, TypeAlias

from .concurrent import MOMENTS, ONLY_AFTER, POINTS, SWITCH_FORM, Moment, Par, Point, Switch
from .declaration import DECLARATIONS, Declaration, declaration_of
from .failing import fail_of
from .guest import (
    ACCESS_KINDS,
    AccessKind,
    Evict,
    GuestAccess,
    GuestCache,
    GuestExternalAbort,
    GuestMove,
    GuestOperation,
    GuestReset,
    GuestSetWay,
    OnCpu,
    Speculate,
)
from .host import (
    HostAge,
    HostCollapse,
    HostDiscard,
    HostMerge,
    HostMigrate,
    HostOperation,
    HostPoison,
    HostShare,
    HostSplit,
    HostTestAge,
    HostUnmap,
    HostWrite,
    HostWriteback,
    SlotPlace,
    SlotRange,
)
from .hyp import HYP_PROTS, HYP_REFUSED, HypMap, HypProt
from .slots import ClearLog, GetLog, OnSlot, SetLog, SlotChange, SlotCreate, SlotDelete, SlotMove, SlotOperation
from .tables import (
    PROTS,
    LockedTableOperation,
    Prot,
    TableFlush,
    TableIsYoung,
    TableMap,
    TableMkold,
    TableMkyoung,
    TableOperation,
    TablePlace,
    TableRange,
    TableRelax,
    TableUnmap,
    TableWrprotect,
)

Operation: TypeAlias = GuestOperation | HostOperation | SlotOperation | TableOperation | HypMap | Par

# All classes of single lines, by their position.
OPERATIONS: Final[tuple[type, ...]] = tuple(sorted(DECLARATIONS, key=lambda kind: DECLARATIONS[kind].position))

__all__ = [
    "ACCESS_KINDS",
    "DECLARATIONS",
    "HYP_PROTS",
    "HYP_REFUSED",
    "MOMENTS",
    "ONLY_AFTER",
    "OPERATIONS",
    "POINTS",
    "PROTS",
    "SWITCH_FORM",
    "AccessKind",
    "ClearLog",
    "Declaration",
    "Evict",
    "GetLog",
    "GuestAccess",
    "GuestCache",
    "GuestExternalAbort",
    "GuestMove",
    "GuestOperation",
    "GuestReset",
    "GuestSetWay",
    "HostAge",
    "HostCollapse",
    "HostDiscard",
    "HostMerge",
    "HostMigrate",
    "HostOperation",
    "HostPoison",
    "HostShare",
    "HostSplit",
    "HostTestAge",
    "HostUnmap",
    "HostWrite",
    "HostWriteback",
    "HypMap",
    "HypProt",
    "LockedTableOperation",
    "Moment",
    "OnCpu",
    "OnSlot",
    "Operation",
    "Par",
    "Point",
    "Prot",
    "SetLog",
    "SlotChange",
    "SlotCreate",
    "SlotDelete",
    "SlotMove",
    "SlotOperation",
    "SlotPlace",
    "SlotRange",
    "Speculate",
    "Switch",
    "TableFlush",
    "TableIsYoung",
    "TableMap",
    "TableMkold",
    "TableMkyoung",
    "TableOperation",
    "TablePlace",
    "TableRange",
    "TableRelax",
    "TableUnmap",
    "TableWrprotect",
    "declaration_of",
    "fail_of",
]
