# SPDX-License-Identifier: GPL-2.0-only
"""Rare paths through mmu.c: each has its own outcome, and a version that gets it wrong is found."""

import pytest

from fuzz.execution.executor import Executor
from fuzz.judging.differential import Differential
from fuzz.language.text import parse
from reference.kvm import kvm, kvm_vcpu
from reference.mmu import Mmu
from reference.pgtable import Pgtable, stage2_map_data
from reference.services.errors import ENOMEM

from .case import ORIGINAL, Case, broken, each, violations
from .switched import Root

VM = "vm cpus=1 fwb=on\n"
ANON = VM + "slot a size=64K backing=anon log=on\n"


@pytest.mark.parametrize(
    ("operations", "outcome"),
    [
        ("cpu0 walk a+0\nlog a get", "ok dirty page 0"),
        ("cpu0 clean a+4K\nlog a get", "ok dirty page 1"),
        ("cpu0 read a+0\nlog a get", "ok no dirty page"),
        ("slot a delete\ncpu0 walk a+0", "abort 0"),
        ("slot a delete\ncpu0 fetch a+0", "abort 0"),
        ("slot a delete\ncpu0 clean a+0", "ok skipped"),
        ("slot a delete\ncpu0 read a+0", "io 0"),
        ("slot a delete\nslot a create ro=on\ncpu0 clean a+0", "io 0"),
        ("slot a delete\nslot a create ro=on\ncpu0 read a+0\ncpu0 walk a+0", "ok 0"),
        ("cpu0 abort a+0", "abort 0"),
        ("cpu0 write a+0\nhost poison a+0\ncpu0 read a+0", "sigbus 0"),
        ("host poison a+0\nhost discard a+0 4K\ncpu0 write a+0", "ok 0"),
        ("cpu0 write a+0\nhost unmap a+0 4K\ncpu0 read a+0", "efault 0"),
        ("cpu0 write a+0\nhost unmap a+0 4K\ncpu0 write a+4K", "ok 0"),
        ("host unmap a+0 4K\ntable map a+0 64K r", "ok no frame"),
    ],
)
def test_outcome(operations: str, outcome: str) -> None:
    program = parse("s2fuzz 1\n" + ANON + operations + "\n")
    executor = Executor(ORIGINAL, program)
    assert executor.create() == []
    for at in range(len(program.operations)):
        seen, found = executor.step(at)
        assert found == []
    assert str(seen) == outcome
    assert executor.destroy() == []


class WalksAreReads(Mmu):
    """Ignores S1PTW: only the write bit of the syndrome determines whether an access is a write."""

    def kvm_handle_guest_abort(self, vcpu: kvm_vcpu) -> int:
        vcpu.esr &= ~(1 << 7)
        return super().kvm_handle_guest_abort(vcpu)


def test_a_walk_that_counts_as_a_read_is_a_divergence() -> None:
    program = parse("s2fuzz 1\n" + ANON + "cpu0 walk a+0\nlog a get\n")
    found = Differential(ORIGINAL, broken(mmu=WalksAreReads)).run(program)
    assert found.titles() == ["divergence map", "divergence result: log get"]


class SendsNoSignal(Mmu):
    def kvm_send_hwpoison_signal(self, address: int, lsb: int) -> None:
        """Do nothing."""


class KeepsHoles(Mmu):
    """Does not unmap in notifiers, so memory stays mapped after munmap()."""

    def kvm_unmap_hva_handler(self, kvm: kvm, gpa: int, size: int, may_block: bool) -> int:
        return 0


class NoTables(Mmu):
    """Assumes in a notifier that tables exist."""

    def kvm_age_hva(self, kvm: kvm, start: int, end: int) -> int:
        return self.handle_hva_to_gpa(kvm, start, end, self.kvm_age_hva_handler)


class KeepsWhatFailed(Root):
    """Does not free the structure if the root cannot be allocated."""

    forgets = True

    def kvm_init_stage2_mmu(self, kvm: kvm) -> int:
        pgt = self.root(kvm)
        if pgt is None:
            return -ENOMEM
        if not self.k.alloc_percpu():
            self.k.kfree()
            return -ENOMEM
        kvm.pgt = pgt
        return 0


class LetsDeviceMemoryRun(Pgtable):
    def stage2_map_set_prot_attr(self, prot: int, data: stage2_map_data) -> int:
        ret = super().stage2_map_set_prot_attr(prot & ~1, data)
        data.attr &= ~(1 << 54) if prot & 1 else -1
        return ret


CASES = (
    Case(
        "broken memory answered with nothing",
        "progress: kvm_handle_guest_abort: access does not complete",
        broken(mmu=SendsNoSignal),
        ANON + "host poison a+0\ncpu0 read a+0\n",
    ),
    Case(
        "broken memory still mapped",
        "translation: kvm_mmu_notifier_invalidate_range_start: still mapped after invalidation L3",
        broken(mmu=KeepsHoles),
        ANON + "cpu0 read a+0\nhost poison a+0\n",
    ),
    Case(
        "unmapped memory still mapped",
        "translation: kvm_mmu_notifier_invalidate_range_start: still mapped after invalidation L3",
        broken(mmu=KeepsHoles),
        ANON + "cpu0 read a+0\nhost unmap a+0 4K\n",
    ),
    Case(
        "notified when the tables are gone",
        "contract: kvm_free_stage2_pgd: oops AssertionError in kvm_age_hva_handler",
        broken(mmu=NoTables),
        ANON,
    ),
    Case(
        "structure left when the root failed",
        "leak: kvm_free_stage2_pgd: allocations left",
        broken(mmu=KeepsWhatFailed),
        "vm fail=2\nslot a size=4K backing=anon\n",
    ),
    Case(
        "root left when the per-CPU area failed",
        "leak: kvm_free_stage2_pgd: table pages left",
        broken(mmu=KeepsWhatFailed),
        "vm fail=3\nslot a size=4K backing=anon\n",
    ),
    Case(
        "device memory that runs",
        "translation: stage2_map_walker: device frame executable L3",
        broken(LetsDeviceMemoryRun),
        VM + "slot d size=4K backing=device\ntable unmap d+0 4K\ntable map d+0 4K rx\n",
    ),
)


@each(CASES)
def test_rare_good(case: Case) -> None:
    assert case.all_good() == []


@each(CASES)
def test_rare_bad(case: Case) -> None:
    assert case.first_bad() == case.signature


def test_a_failed_allocation_of_the_structure_is_retried() -> None:
    assert violations(broken(mmu=KeepsWhatFailed), "vm fail=1\nslot a size=4K backing=anon\ncpu0 read a+0\n") == []
