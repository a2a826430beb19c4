# SPDX-License-Identifier: GPL-2.0-only
"""Pages that threads of the host write while vCPUs run: nobody has to clean them for those vCPUs.

A thread that writes a page beside a fault that maps it cannot know whether the fault cleaned the page before or
after the write.
"""

from ..language.operations import HostWrite, Operation, Par, plain
from ..sides.guest import Guest
from .guest_pages import Range, without


def written_beside(guest: Guest, op: Operation | None) -> list[Range]:
    """Return the guest addresses that host threads write in an operation, if it is a par block."""
    found: list[Range] = []
    if isinstance(op, Par):
        for each in map(plain, op.operations):
            if isinstance(each, HostWrite):
                start = guest.side.by_name[each.slot].hva + each.offset
                found += guest.ipa_ranges(start, start + each.size)
    return found


def not_written(ranges: list[Range], written: list[Range]) -> list[Range]:
    """Return the parts of *ranges* that are not in *written*."""
    return [part for start, end in ranges for part in without(start, end, written)]
