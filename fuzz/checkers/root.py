# SPDX-License-Identifier: GPL-2.0-only
"""The root of a VM's tables, judged against VTCR_EL2 and VTTBR_EL2, which tell the hardware how to walk them."""

from typing import Final

from reference.vtcr import VTCR_EL2_TG0, root_pages

from ..sides.guest import Guest

# Fields of VTCR_EL2 (Arm ARM D19.2): name, shift, and the values with which a walk does not see what CPUs have cached.
COHERENCE: Final = (
    ("SH0", 12, {0: "non-shareable", 1: "reserved"}),
    ("ORGN0", 10, {0: "outer non-cacheable"}),
    ("IRGN0", 8, {0: "inner non-cacheable"}),
)
TG0_FIELD: Final = 3 << 14


class RootFault:
    """A mistake in the root or in the registers: signature text and reason.

    *ruins*: the hardware walks memory that holds no tables of the VM; *harmless*: the walks are right nevertheless;
    *size*: it is the size that is wrong
    """

    def __init__(self, what: str, reason: str, ruins: bool = False, harmless: bool = False, size: bool = False) -> None:
        self.what = what
        self.reason = reason
        self.ruins = ruins
        self.harmless = harmless
        self.size = size


def faults_of_root(guest: Guest, first: int, pages: int) -> list[RootFault]:
    """Return the mistakes in a root and in the registers that describe it.

    :param first: number of its first page
    :param pages: the number of pages that were allocated
    """
    granule = guest.granule
    found = wrong_fields(guest)
    needed = root_pages(guest.vtcr, granule)
    reason = f"{pages} page{' was' if pages == 1 else 's were'} allocated for the root, VTCR_EL2 specifies {needed}"
    if pages < needed:
        reason += ": the hardware reads beyond the root"
        found.append(RootFault("root smaller than VTCR_EL2 says", reason, size=True))
    elif pages > needed:
        reason += ": the hardware does not use the rest"
        found.append(RootFault("root larger than VTCR_EL2 says", reason, harmless=True, size=True))
    root, base = guest.kernel.base + (first << granule.page_shift), guest.kvm.pgd_phys
    if base not in (-1, root):
        found.append(
            RootFault(
                "root at another address than VTTBR_EL2 has",
                f"VTTBR_EL2 gets {base:#x} from pgd_phys, and the root is at {root:#x}: other memory is walked",
                ruins=True,
            )
        )
    return found


def wrong_fields(guest: Guest) -> list[RootFault]:
    """Return the mistakes in the fields of VTCR_EL2 that describe the tables; none for a port, which composes none."""
    vtcr, granule = guest.kvm.composed_vtcr, guest.granule
    if not vtcr:
        return []
    found: list[RootFault] = []
    tg0, due = vtcr & TG0_FIELD, VTCR_EL2_TG0[granule.page_shift]
    if tg0 != due:
        found.append(
            RootFault(
                "VTCR_EL2 has another granule",
                f"TG0 is {tg0 >> 14}, and for tables of {granule.page_size >> 10}K pages it has to be {due >> 14}",
                ruins=True,
            )
        )
    for name, shift, bad in COHERENCE:
        value = vtcr >> shift & 3
        if value in bad:
            found.append(
                RootFault(
                    "VTCR_EL2 makes walks incoherent",
                    f"{name} is {value}, {bad[value]}: a walk may read memory and miss entries in the caches of CPUs",
                )
            )
            break
    return found
