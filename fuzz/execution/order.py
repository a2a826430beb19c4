# SPDX-License-Identifier: GPL-2.0-only
"""Results of a par block that depend on the order of its actors' steps, where all steps are right."""

from ..language.operations import (
    ClearLog,
    Concurrent,
    GetLog,
    GuestAccess,
    HostDiscard,
    HostReap,
    HostWrite,
    HostWriteback,
    Operation,
    Par,
    SetLog,
    SlotCreate,
    SlotDelete,
    SlotMove,
    Threaded,
    is_host,
    plain,
)


def depends_on_order(op: Par, access: Concurrent) -> bool:
    """Tell whether the value of an operation of a block depends on the order of steps, where all of them are right.

    A value read depends on it where another actor writes anywhere or takes pages away, because places may share a page
    of the host. The result of a thread's operation, such as the ages that the host gets, always depends on it.
    """
    if isinstance(access, Threaded):
        return True
    others = [each for each in op.operations if each.cpu != access.cpu]
    if access.kind not in ("read", "fetch", "walk"):
        return False
    return any(writes(plain(each)) or is_host(each.cpu) for each in others)


def writes(op: Operation) -> bool:
    """Tell whether an operation of a block may leave pages with other contents."""
    if isinstance(op, GuestAccess):
        return op.kind in ("write", "clean")
    return isinstance(op, (HostWrite, HostWriteback, HostDiscard, HostReap))


def takes_logs(op: Par) -> bool:
    """Tell whether dirty logs collected after a block depend on its order."""
    kinds = (GetLog, ClearLog, SetLog, SlotCreate, SlotDelete, SlotMove)
    return any(isinstance(plain(each), kinds) for each in op.operations)


def changes_slots(op: Par) -> list[SlotCreate | SlotDelete | SlotMove]:
    """Return the operations of a block that create, move or delete slots."""
    return [each for each in map(plain, op.operations) if isinstance(each, (SlotCreate, SlotDelete, SlotMove))]
