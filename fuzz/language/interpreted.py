# SPDX-License-Identifier: GPL-2.0-only
"""The checkers that interpret an operation: their judgement depends on its kind.

Each class of `fuzz.language.operations` declares them here, by the names of the
checkers. The classes are compiled dataclasses, which cannot hold such a
constant: mypyc makes a field of it. A checker interprets a class if it tells it
from others, or if what the operation does reaches it by an event of the machine
alone (`BY_EVENTS`). All others judge what they see, whatever the operation.
"""

from typing import Final

from .operations import (
    ClearLog,
    Evict,
    GetLog,
    GuestAccess,
    GuestCache,
    GuestExternalAbort,
    GuestMove,
    GuestReset,
    GuestSetWay,
    HostAge,
    HostCollapse,
    HostDiscard,
    HostMerge,
    HostMigrate,
    HostPoison,
    HostShare,
    HostSplit,
    HostTestAge,
    HostUnmap,
    HostWrite,
    HostWriteback,
    HypMap,
    SetLog,
    SlotCreate,
    SlotDelete,
    SlotMove,
    Speculate,
    TableFlush,
    TableIsYoung,
    TableMap,
    TableMkold,
    TableMkyoung,
    TableRelax,
    TableUnmap,
    TableWrprotect,
)

# What the host does reaches checkers as notifications and as new contents of frames.
BY_EVENTS: Final[dict[type, tuple[str, ...]]] = {
    HostWrite: ("dcache", "icache"),
    HostWriteback: ("dcache",),
    HostCollapse: ("translation", "tlb"),
    HostSplit: ("translation", "tlb"),
    HostMigrate: ("translation", "isolation", "tlb"),
    HostDiscard: ("translation", "isolation", "tlb"),
    HostUnmap: ("translation", "isolation", "tlb"),
    HostPoison: ("translation", "isolation", "tlb"),
    HostShare: ("translation", "tlb"),
    HostMerge: ("translation", "isolation", "tlb"),
    GuestExternalAbort: ("contract",),
}

CHECKERS: Final[dict[type, tuple[str, ...]]] = {
    **BY_EVENTS,
    GuestAccess: ("translation", "contract", "fault-order", "page-reference"),
    GuestCache: ("translation", "dcache"),
    GuestSetWay: ("translation", "dcache"),
    GuestMove: ("translation",),
    GuestReset: ("translation", "dcache"),
    Speculate: ("translation",),
    Evict: ("translation",),
    HostAge: ("translation", "ageing"),
    HostTestAge: ("translation", "ageing"),
    SetLog: ("translation", "dirty-log"),
    GetLog: ("translation", "dirty-log"),
    ClearLog: ("translation", "dirty-log"),
    SlotDelete: ("translation", "dirty-log"),
    SlotCreate: ("translation", "contract", "dirty-log"),
    SlotMove: ("translation", "contract", "dirty-log"),
    TableMap: ("translation", "contract"),
    TableUnmap: ("translation",),
    TableWrprotect: ("translation",),
    TableFlush: ("translation", "dcache"),
    TableMkyoung: ("translation", "ageing"),
    TableMkold: ("translation", "ageing"),
    TableIsYoung: ("translation", "ageing"),
    TableRelax: ("translation",),
    HypMap: ("translation", "contract", "hyp"),
}


def checkers_of(kind: type) -> tuple[str, ...]:
    """The names of the checkers that interpret a class of operations; empty if it declares none."""
    return CHECKERS.get(kind, ())
