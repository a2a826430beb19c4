# SPDX-License-Identifier: GPL-2.0-only
"""contract: the mmu lock is not held for long work during which the other side reschedules."""

from collections.abc import Callable

import pytest

import candidate
from candidate import Candidate
from fuzz.generation.generator import Generator
from fuzz.judging.differential import Differential, Verdict
from fuzz.judging.stretch import ENTRIES, TIMES
from fuzz.language.text import parse
from reference.kvm import kvm, kvm_memory_slot
from reference.mmu import Mmu
from reference.pgtable import kvm_pgtable

from .case import ORIGINAL, broken


class NeverReschedules(Mmu):
    """``stage2_apply_range()`` without ``cond_resched_lock()``."""

    def stage2_apply_range(
        self, kvm: kvm, addr: int, end: int, fn: Callable[[kvm_pgtable, int, int], int], resched: bool
    ) -> int:
        return super().stage2_apply_range(kvm, addr, end, fn, False)


class OneWalk(Mmu):
    """Does all work in one walk, and then reschedules once for each root entry."""

    def stage2_apply_range(
        self, kvm: kvm, addr: int, end: int, fn: Callable[[kvm_pgtable, int, int], int], resched: bool
    ) -> int:
        assert kvm.pgt is not None
        ret = fn(kvm.pgt, addr, end - addr)
        while resched and addr != end:
            addr = self.stage2_pgd_addr_end(kvm, addr, end)
            self.k.cond_resched_lock()
        return ret


class UnmapsAtOnce(Mmu):
    """Reschedules, but not when a slot is removed."""

    def kvm_arch_flush_shadow_memslot(self, kvm: kvm, slot: kvm_memory_slot) -> None:
        start = slot.base_gfn << self.PAGE_SHIFT
        self.k.lock("mmu")
        self.__unmap_stage2_range__(kvm, start, slot.npages << self.PAGE_SHIFT, False)
        self.k.unlock("mmu")


class ReschedulesMore(Mmu):
    """Drops the lock after each 2M."""

    def stage2_pgd_addr_end(self, kvm: kvm, addr: int, end: int) -> int:
        return min((addr + self.PMD_SIZE) & -self.PMD_SIZE, end)


class Asks(Mmu):
    """Checks whether another task waits, and drops the lock itself."""

    def stage2_apply_range(
        self, kvm: kvm, addr: int, end: int, fn: Callable[[kvm_pgtable, int, int], int], resched: bool
    ) -> int:
        while addr != end:
            next = self.stage2_pgd_addr_end(kvm, addr, end)
            assert kvm.pgt is not None
            ret = fn(kvm.pgt, addr, next - addr)
            if ret:
                return ret
            if resched and next != end and (self.k.need_resched() or self.k.spin_needbreak()):
                self.k.unlock("mmu")
                self.k.cond_resched()
                self.k.lock("mmu")
            addr = next
        return 0


# One page in each 2M, so 36 tables. The start level is 2: a root entry covers 2M, and the lock may be dropped after it.
PAGES = "vm cpus=1 fwb=on ipa=32\nslot a ipa=1G size=72M backing=anon\n"
PAGES += "".join([f"table map a+{offset}M 4K rw\n" for offset in range(0, 72, 2)])
# The same within one root entry.
ONE_ENTRY = PAGES.replace("ipa=32", "ipa=40")
HELD = "contract: {}: mmu_lock held more than 4 times as long, without rescheduling"
REGION = HELD.format("kvm_set_memory_region")


def judged(version: Candidate, text: str, reference: Candidate = ORIGINAL) -> Verdict:
    return Differential(reference, version, measure=True).run(parse("s2fuzz 1\n" + text))


def findings(version: Candidate, text: str, reference: Candidate = ORIGINAL) -> list[tuple[str, str]]:
    return [(each.kind, each.signature) for each in judged(version, text, reference).findings]


@pytest.mark.parametrize(
    ("mmu", "text", "entry"),
    [
        (NeverReschedules, "log a on", "kvm_set_memory_region"),
        (NeverReschedules, "host discard a+0 72M", "kvm_mmu_notifier_invalidate_range_start"),
        (OneWalk, "log a on", "kvm_set_memory_region"),
        (UnmapsAtOnce, "slot a delete", "kvm_set_memory_region"),
    ],
)
def test_held_too_long(mmu: type[Mmu], text: str, entry: str) -> None:
    version = broken(mmu=mmu)
    assert findings(version, f"{PAGES}{text}\n") == [("regression", HELD.format(entry))]
    assert findings(ORIGINAL, f"{PAGES}{text}\n", version) == [("cured", HELD.format(entry))]


def test_the_reason_says_how_long() -> None:
    (finding,) = judged(broken(mmu=NeverReschedules), PAGES + "log a on\n").findings
    assert finding.at == 36
    assert finding.reason == (
        "the candidate visits 18468 entries under one hold of the mmu lock (rescheduled 0 times), "
        "the reference 513 (35 times)"
    )


@pytest.mark.parametrize("operation", ["log a on", "slot a delete", "host discard a+0 72M"])
def test_more_reschedules_are_no_regression(operation: str) -> None:
    version = broken(mmu=ReschedulesMore)
    assert findings(version, f"{PAGES}{operation}\n") == []
    assert {kind for kind, _ in findings(version, f"{ONE_ENTRY}{operation}\n")} == {"cured"}


@pytest.mark.parametrize("setting", ["", " resched=1", " contended=3"])
def test_a_version_that_asks_reschedules(setting: str) -> None:
    text = f"{PAGES.replace('ipa=32', f'ipa=32{setting}')}log a on\n"
    assert findings(broken(mmu=Asks), text) == []
    assert [kind for kind, _ in findings(broken(mmu=NeverReschedules), text, broken(mmu=Asks))] == ["regression"]


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(PAGES.replace("72M", "62M").split("table map a+62M")[0] + "log a on\n", id="short enough"),
        pytest.param(ONE_ENTRY + "log a on\n", id="no reschedule is due"),
        pytest.param(PAGES, id="destruction holds no lock"),
    ],
)
def test_no_false_alarm(text: str) -> None:
    assert findings(broken(mmu=NeverReschedules), text) == []


def test_pages_instead_of_blocks_are_no_regression() -> None:
    """The longer hold contains the same number of reschedules."""

    class NeverHuge(Mmu):
        def transparent_hugepage_adjust(
            self, memslot: kvm_memory_slot, hva: int, pfn: int, ipa: int
        ) -> tuple[int, int, int]:
            return self.PAGE_SIZE, pfn, ipa

    touch = "".join([f"cpu0 write a+{offset}M\n" for offset in range(0, 128, 2)])
    text = f"vm cpus=1 fwb=on\nslot a ipa=960M size=128M backing=thp\n{touch}log a on\n"
    costs = judged(broken(mmu=NeverHuge), text).costs
    assert costs is not None
    assert costs.candidate.longest_hold_entries > max(ENTRIES, TIMES * costs.reference.longest_hold_entries)
    assert [kind for kind, _ in findings(broken(mmu=NeverHuge), text)] == ["divergence"]


def test_the_cost_table_has_the_longest_hold() -> None:
    costs = judged(broken(mmu=NeverReschedules), PAGES + "log a on\n").costs
    assert costs is not None
    # Write-protected in parts, or all under one hold.
    assert (costs.reference.longest_hold_entries, costs.candidate.longest_hold_entries) == (513, 18468)


def test_registered_versions_show_nothing() -> None:
    generator = Generator(43)
    for _ in range(12):
        program = generator.next()
        for name in candidate.names():
            for finding in Differential(ORIGINAL, candidate.get(name)).run(program).findings:
                assert "mmu_lock held" not in finding.signature
