# SPDX-License-Identifier: GPL-2.0-only
"""Known differences between the model and a real kernel under QEMU, each with its reason: these, and no other.

They are the host model's: it notifies for less than Linux does, or gives a guest more rights at once. Those of tables
hold for the 2M of host memory around an operation of the host. There the kernel may have fewer leaves and fewer
rights, and leaves of the page of zeroes, nothing else.
"""

from dataclasses import dataclass
from typing import Final

from ..language.operations import (
    GuestAccess,
    HostDiscard,
    HostPoison,
    HostShare,
    HostUnmap,
    SlotPlace,
    SlotRange,
)
from ..language.program import HUGE_SHIFT, Program
from .compare import OutcomeDifference

# log2 of what a transparent huge page, and a large folio at most, is aligned to.
BLOCK_SHIFT: Final = 21
# The backings of anonymous memory.
ANONYMOUS: Final = ("anon", "thp")


@dataclass(frozen=True)
class HostDeviation:
    """One way in which the host of a real kernel does otherwise.

    :param name: a few words
    :param reason: what Linux does, by function, and what the model does
    """

    name: str
    reason: str


ZERO: Final = HostDeviation(
    "page of zeroes",
    "A read of anonymous memory that was discarded maps the kernel's page of zeroes, small or huge, read-only, and a "
    "later write copies it (do_anonymous_page(), do_huge_pmd_anonymous_page()). The model maps a writable page.",
)
BOUNDARY: Final = HostDeviation(
    "boundary of a VMA",
    "A boundary of a VMA that is put inside an aligned 2M notifies for all of it, huge or not "
    "(split_huge_pmd_address()). munmap() makes such boundaries, and /init does for what a child gets of a fork(). "
    "The model notifies for the range.",
)
PRIVATE: Final = HostDeviation(
    "private hugetlb page",
    "A read of a private hugetlb page that was discarded maps a new one read-only, and a later write makes it writable "
    "(hugetlb_no_page()). The model maps a writable page.",
)
# What an operation on anonymous memory, and on hugetlb, explains.
CAUSES: Final[dict[type, HostDeviation]] = {
    HostDiscard: ZERO,
    HostShare: BOUNDARY,
    HostUnmap: BOUNDARY,
}
HUGE_CAUSES: Final[dict[type, HostDeviation]] = {HostDiscard: PRIVATE}


def cause_of(op: SlotPlace, backing: str) -> HostDeviation | None:
    """The deviation that an operation of the host leads to, on memory of this kind; None: none is known."""
    if backing in ANONYMOUS:
        return CAUSES.get(type(op))
    return HUGE_CAUSES.get(type(op)) if backing in HUGE_SHIFT else None


def explained(program: Program, difference: OutcomeDifference) -> HostDeviation | None:
    """The deviation that explains another outcome, poison that does not stick to the page of zeroes; None: none does.

    Behind it the two have different memory, and nothing more can be compared.
    """
    if difference.at < 0 or difference.model != "sigbus" or difference.real is None or difference.real.status != "ok":
        return None
    op = program.operations[difference.at]
    if not isinstance(op, GuestAccess):
        return None
    page = op.offset & -program.vm.granule
    before = program.operations[: difference.at]
    discarded = [at for at, each in enumerate(before) if isinstance(each, HostDiscard) and meets(each, op.slot, page)]
    poisoned = [at for at, each in enumerate(before) if isinstance(each, HostPoison) and meets(each, op.slot, page)]
    return ZERO if discarded and poisoned and discarded[0] < poisoned[-1] else None


def meets(op: SlotPlace, slot: str, page: int) -> bool:
    """Tell whether an operation meets a page of a slot."""
    size = op.size if isinstance(op, SlotRange) else 1
    return op.slot == slot and op.offset <= page < op.offset + size


def blocks_of(op: SlotPlace, hva: int, page_size: int) -> range:
    """The aligned 2M of host memory that an operation meets, by number.

    :param hva: of its place
    """
    size = op.size if isinstance(op, SlotRange) else page_size
    return range(hva >> BLOCK_SHIFT, (hva + size - 1 >> BLOCK_SHIFT) + 1)
