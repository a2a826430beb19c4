# SPDX-License-Identifier: GPL-2.0-only
"""The pages that threads of the host write while vCPUs are at work: nobody has to clean them for those.

Whoever writes a page beside a fault that maps it cannot know whether that has cleaned it before or after the write.
"""

from ..language.operations import HostWrite, Operation, Par, plain
from ..sides.guest import Guest
from .places import Range, without


def written_beside(guest: Guest, op: Operation | None) -> list[Range]:
    """The guest addresses that threads of the host write in an operation, if it is a block."""
    found: list[Range] = []
    if isinstance(op, Par):
        for each in map(plain, op.operations):
            if isinstance(each, HostWrite):
                start = guest.side.by_name[each.slot].hva + each.offset
                found += guest.ipa_ranges(start, start + each.size)
    return found


def left_of(ranges: list[Range], written: list[Range]) -> list[Range]:
    """Return the parts of ranges that nobody writes."""
    return [part for start, end in ranges for part in without(start, end, written)]
