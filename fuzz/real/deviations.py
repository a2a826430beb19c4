# SPDX-License-Identifier: GPL-2.0-only
"""Known differences between the model and a real kernel under QEMU, each with its reason: these, and no other.

None is known of outcomes. Those of tables are the host model's: it notifies for less than Linux does, or gives a
guest more rights at once. They hold for the 2M of host memory around an operation of the host, on anonymous memory
alone. There the kernel may have fewer leaves, and fewer rights, never more.
"""

from dataclasses import dataclass
from typing import Final

from ..language.operations import (
    HostCollapse,
    HostDiscard,
    HostMigrate,
    HostPoison,
    HostShare,
    HostSplit,
    HostUnmap,
    SlotPlace,
    SlotRange,
)

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
FOLIO: Final = HostDeviation(
    "large folio",
    "A page is poisoned, migrated or split together with its large folio, which small entries may map by then: all of "
    "it is unmapped (unmap_folio()). The model knows of entries, and of no folios.",
)
COLLAPSE: Final = HostDeviation(
    "what is collapsed",
    "MADV_COLLAPSE takes blocks with holes and with shared pages too (hpage_collapse_scan_pmd()). The model does not.",
)
CAUSES: Final[dict[type, HostDeviation]] = {
    HostDiscard: ZERO,
    HostShare: BOUNDARY,
    HostUnmap: BOUNDARY,
    HostPoison: FOLIO,
    HostMigrate: FOLIO,
    HostSplit: FOLIO,
    HostCollapse: COLLAPSE,
}


def blocks_of(op: SlotPlace, hva: int, page_size: int) -> range:
    """The aligned 2M of host memory that an operation meets, by number.

    :param hva: of its place
    """
    size = op.size if isinstance(op, SlotRange) else page_size
    return range(hva >> BLOCK_SHIFT, (hva + size - 1 >> BLOCK_SHIFT) + 1)
