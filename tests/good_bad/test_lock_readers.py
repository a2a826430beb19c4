# SPDX-License-Identifier: GPL-2.0-only
"""Stores of entries under the mmu lock for reading, and ageing without the lock."""

from typing import ClassVar

import pytest

from candidate import Candidate
from reference.kvm_main import KvmMain
from reference.mmu import Mmu
from reference.pgtable import (
    KVM_PTE_LEAF_ATTR_LO_S2_S2AP_W,
    Pgtable,
    kvm_pgtable,
    stage2_attr_data,
    stage2_map_data,
)
from reference.services.structs import kvm_mmu_memory_cache

from .case import broken, violations

LOCKED = 1 << 10
AGED = "vm cpus=1 fwb=on\nslot a size=4K backing=anon\ncpu0 read a+0\nhost age a+0 4K\ncpu0 read a+0\n"


class Readers(Pgtable):
    """Maps with the lock held for reading."""

    def kvm_pgtable_stage2_map(
        self, pgt: kvm_pgtable, addr: int, size: int, phys: int, prot: int, mc: kvm_mmu_memory_cache | None
    ) -> int:
        # Same effect as read_lock().
        self.k.mmu_shared = True
        return super().kvm_pgtable_stage2_map(pgt, addr, size, phys, prot, mc)


class Exchanges(Readers):
    """Has walks that change entries by compare-exchange, but also stores to entries."""

    EXCHANGES_SHARED: ClassVar[bool] = True


class ExchangesAlone(Pgtable):
    """Has walks that change entries by compare-exchange, and maps with the lock held for writing."""

    EXCHANGES_SHARED: ClassVar[bool] = True


class MarksFirst(Exchanges):
    """Locks each entry by a compare-exchange that leaves a marker, as ``stage2_try_break_pte()`` does."""

    def stage2_map_walker(self, addr: int, end: int, level: int, ptep: int, flag: int, arg: stage2_map_data) -> int:
        if self.mem[ptep] == 0:
            self.k.cmpxchg(ptep, 0, LOCKED)
        return super().stage2_map_walker(addr, end, level, ptep, flag, arg)


AMONG_READERS = "locking: stage2_map_walker: entry written without a compare-exchange under mmu_lock for reading L"
READ = "vm cpus=1 ipa=39\nslot a size=4K backing=anon\ncpu0 read a+0\n"


def test_stores_under_the_lock_for_reading() -> None:
    signatures = [each.signature for each in violations(broken(Exchanges), READ)]
    assert signatures == [f"{AMONG_READERS}{level}" for level in (1, 2, 3)]
    assert violations(broken(ExchangesAlone), READ) == []
    # A version without shared walks must not map under the lock for reading either.
    assert [each.signature for each in violations(broken(Readers), READ)] == signatures


class RelaxesAsReader(Pgtable):
    """Relaxes rights with the lock held for reading, as kernels before v6.2 do."""

    EXCHANGES_SHARED: ClassVar[bool] = False

    def kvm_pgtable_stage2_relax_perms(self, pgt: kvm_pgtable, addr: int, prot: int) -> int:
        self.k.mmu_shared = True
        return super().kvm_pgtable_stage2_relax_perms(pgt, addr, prot)


class RelaxesAmongExchanges(RelaxesAsReader):
    """Does the same in a version in which concurrent walks change entries by compare-exchange."""

    EXCHANGES_SHARED: ClassVar[bool] = True


def test_permissions_relaxed_under_the_lock_for_reading() -> None:
    program = "vm cpus=1\nslot a size=4K backing=anon\ncpu0 write a+0\nlog a on\ncpu0 write a+0\n"
    found = [each.signature for each in violations(broken(RelaxesAmongExchanges), program)]
    stored = "entry written without a compare-exchange under mmu_lock for reading L3"
    assert found == [f"locking: stage2_attr_walker: {stored}"]
    assert violations(broken(RelaxesAsReader), program) == []


def test_the_owner_of_a_marker_may_store() -> None:
    found = violations(broken(MarksFirst), READ)
    assert [each.signature for each in found if each.checker == "locking"] == []


class ExchangesFlags(Pgtable):
    """Ages a leaf by a compare-exchange."""

    TAKES: ClassVar[int] = 0

    def stage2_attr_walker(self, addr: int, end: int, level: int, ptep: int, flag: int, arg: stage2_attr_data) -> int:
        pte = self.load(ptep)
        if self.kvm_pte_valid(pte):
            arg.level, arg.pte = level, pte
            self.k.cmpxchg(ptep, pte, (pte & ~arg.attr_clr & ~self.TAKES) | arg.attr_set)
        return 0


class TakesARight(ExchangesFlags):
    """Clears write permission together with the access flag."""

    TAKES: ClassVar[int] = KVM_PTE_LEAF_ATTR_LO_S2_S2AP_W


class AgesAsReader(KvmMain):
    """Ages pages as a reader of RCU, without the mmu lock."""

    AGES_WITHOUT_LOCK: ClassVar[bool] = True

    def clear_flush_young(self, start: int, end: int) -> int:
        self.k.lock("srcu")
        self.begin()
        young = self.mmu.kvm_age_hva(self.kvm, start, end)
        if young:
            self.mmu.kvm_flush_remote_tlbs(self.kvm)
        self.end()
        self.k.unlock("srcu")
        return young

    def begin(self) -> None:
        self.k.rcu_read_lock()

    def end(self) -> None:
        self.k.rcu_read_unlock()


class AgesUnprotected(AgesAsReader):
    """Does not keep the tables from being freed."""

    def begin(self) -> None:
        return None

    def end(self) -> None:
        return None


class AgesUnasked(AgesAsReader):
    """Does the same in a version that does not declare it."""

    AGES_WITHOUT_LOCK: ClassVar[bool] = False


@pytest.mark.parametrize(
    ("pgtable", "main", "wrong"),
    [
        (ExchangesFlags, AgesAsReader, False),
        (ExchangesFlags, AgesUnprotected, True),
        (ExchangesFlags, AgesUnasked, True),
        (TakesARight, AgesAsReader, True),
        (Pgtable, AgesAsReader, True),
    ],
)
def test_ageing_without_the_lock(pgtable: type[Pgtable], main: type[KvmMain], wrong: bool) -> None:
    version = Candidate("broken", pgtable, Mmu, "for a test", main=main)
    found = [each.signature for each in violations(version, AGED) if each.checker == "locking"]
    assert found == ["locking: stage2_attr_walker: entry written without mmu_lock L3"] * wrong
