# SPDX-License-Identifier: GPL-2.0-only
"""VTCR_EL2 and VTTBR_EL2 as kernel code composes them: the hardware walks the root as they describe it."""

from fuzz.execution.executor import Executor
from fuzz.language.text import parse
from reference.kvm import kvm
from reference.machine.granule import Granule
from reference.mmu import Mmu
from reference.vtcr import root_pages, start_level

from .case import Case, broken, each

SMALL = "vm cpus=1 fwb=on\nslot a size=4K backing=anon\n"
# PARange 48, 64K pages in TG0.
PS_48 = 5 << 16
OTHER_TG0 = 1 << 14


class Composes(Mmu):
    """Composes VTCR_EL2 and the base of VTTBR_EL2 itself, both right."""

    FLIPPED = 0
    BEYOND = 0

    def kvm_init_stage2_mmu(self, kvm: kvm) -> int:
        ret = super().kvm_init_stage2_mmu(kvm)
        if not ret and kvm.pgt is not None:
            kvm.composed_vtcr = (kvm.vtcr | PS_48) ^ self.FLIPPED
            kvm.pgd_phys = self.k.__pa__(kvm.pgt.pgd) + self.BEYOND
        return ret


class OuterShareable(Composes):
    """Has walks that are outer shareable, which includes the inner domain."""

    FLIPPED = 1 << 12


class NonShareable(Composes):
    """Has walks that are not shareable."""

    FLIPPED = 3 << 12


class NonCacheable(Composes):
    """Has walks that are inner non-cacheable."""

    FLIPPED = 1 << 8


class OtherGranule(Composes):
    """Has the TG0 of 64K pages."""

    FLIPPED = OTHER_TG0


class OneLevelMore(Composes):
    """Has a first look-up at level 0, where the root needs one page and not two."""

    FLIPPED = 3 << 6


class NextPage(Composes):
    """Has the base of VTTBR_EL2 one page beyond the root."""

    BEYOND = 4096


COMPOSES = broken(mmu=Composes)
ROOT = "lifetime: kvm_init_stage2_mmu: "

CASES = (
    Case("not shareable", f"{ROOT}VTCR_EL2 makes walks incoherent", broken(mmu=NonShareable), SMALL, COMPOSES),
    Case(
        "not cacheable",
        f"{ROOT}VTCR_EL2 makes walks incoherent",
        broken(mmu=NonCacheable),
        SMALL,
        broken(mmu=OuterShareable),
    ),
    Case("another granule", f"{ROOT}VTCR_EL2 has another granule", broken(mmu=OtherGranule), SMALL, COMPOSES),
    Case("another level", f"{ROOT}root larger than VTCR_EL2 says", broken(mmu=OneLevelMore), SMALL, COMPOSES),
    Case("another base", f"{ROOT}root at another address than VTTBR_EL2 has", broken(mmu=NextPage), SMALL, COMPOSES),
)


@each(CASES)
def test_good(case: Case) -> None:
    assert case.all_good() == []


@each(CASES)
def test_bad(case: Case) -> None:
    assert case.first_bad() == case.signature


def test_the_hardware_uses_both_registers() -> None:
    for mmu, level, beyond in ((Composes, 1, 0), (OneLevelMore, 0, 0), (NextPage, 1, 512)):
        executor = Executor(broken(mmu=mmu), parse("s2fuzz 1\n" + SMALL))
        executor.create()
        guest = executor.side.guests[0]
        assert guest.kvm.pgt is not None
        assert guest.regime.start_level == level
        assert guest.regime.root == guest.kvm.pgt.pgd + beyond
        executor.dismantle()


def test_level_and_size_of_the_root_by_sl0() -> None:
    for shift, levels in ((12, (2, 1, 0, 3)), (14, (3, 2, 1, 0)), (16, (3, 2, 1, 0))):
        granule = Granule(shift)
        assert tuple(start_level(sl0 << 6, granule) for sl0 in range(4)) == levels
    assert root_pages(1 << 6 | 24, Granule(12)) == 2
    assert root_pages(2 << 6 | 24, Granule(12)) == 1
    # Level 3 of 64K pages maps 2^29 bytes.
    assert root_pages(0 << 6 | 32, Granule(16)) == 8
