# SPDX-License-Identifier: GPL-2.0-only
"""The rights that one leaf gives and another does not."""

from typing import Final

from reference.machine.walk import FETCH, FETCH_EL0, READ, WRITE, permits

RIGHTS: Final = ((READ, "read"), (WRITE, "write"), (FETCH, "fetch"), (FETCH_EL0, "fetch at EL0"))


def lost(old: int, new: int, dirty: bool = False) -> str:
    """Return the names of the rights that leaf *old* grants and leaf *new* does not; "" if none.

    :param dirty: the hardware manages the dirty state (`Regime.dirty`)
    """
    gone = [name for access, name in RIGHTS if permits(old, access, dirty) and not permits(new, access, dirty)]
    return ", ".join(gone)
