# SPDX-License-Identifier: GPL-2.0-only
"""The end of one VM while others continue: it is judged then, is no longer notified, and the others are unaffected."""

from typing import Final

import pytest

import candidate
from candidate import Candidate
from fuzz.checkers import Violation
from fuzz.execution.executor import Executor
from fuzz.language.program import ProgramError
from fuzz.language.text import parse
from reference.events import Observer
from reference.kvm import kvm
from reference.kvm_host import KvmHost
from reference.mmu import Mmu
from reference.pgtable import Pgtable, kvm_pgtable

TWO_VMS: Final = (
    "s2fuzz 1\nvm cpus=1 vms=2 manual=on\nslot a size=4M backing=thp\nslot b size=4M backing=thp vm=1 alias=a log=on\n"
)
USED: Final = "cpu0 read a+4K\ncpu1 write b+2M\ncpu1 read b+0\n"
ORIGINAL: Final = candidate.get("original")


class Order(Observer):
    """Records the VMs whose mmu locks are taken, and the VMs whose tables are walked."""

    def __init__(self) -> None:
        self.locked: set[int] = set()
        self.walked: set[int] = set()

    def lock(self, name: str, vmid: int) -> None:
        if name == "mmu":
            self.locked.add(vmid)

    def walk(self, vmid: int, start: int, end: int) -> None:
        self.walked.add(vmid)


def run(text: str, version: Candidate = ORIGINAL) -> tuple[Executor, list[Violation]]:
    """Run a program without its teardown; return the executor and the violations."""
    executor = Executor(version, parse(TWO_VMS + text))
    found = executor.create()
    for at in range(len(executor.program.operations)):
        found += executor.step(at)[1]
    return executor, found


def broken(mmu: type[Mmu] = Mmu, pgtable: type[Pgtable] = Pgtable) -> Candidate:
    return Candidate("broken", pgtable, mmu, "for a test")


@pytest.mark.parametrize("ended", [0, 1])
@pytest.mark.parametrize(
    "change",
    ["migrate a+0 8K", "discard a+0 4M", "split a+0", "age a+0 4M", "testage a+4K", "unmap b+0 4K", "poison a+0"],
)
def test_notifiers_reach_the_remaining_vms(ended: int, change: str) -> None:
    executor, found = run(f"{USED}vm end {ended}\n")
    noted = Order()
    executor.side.kernel.observe(noted)
    text = parse(f"{TWO_VMS}{USED}vm end {ended}\nhost {change}\n")
    executor.program = text
    assert found + executor.step(4)[1] == []
    assert noted.locked == {2 - ended}
    assert noted.walked <= {2 - ended}
    assert executor.destroy() == []


def test_stale_tlb_entries_of_an_ended_vm_are_no_access() -> None:
    executor, found = run(f"{USED}vm end 1\nhost discard b+0 4M\n")
    kept = [tlb.leaves for tlb in executor.side.computer.tlbs[1]]
    assert any(level for leaves in kept for level in leaves)
    assert found + executor.destroy() == []


@pytest.mark.parametrize("number", [0, 1])
def test_an_ended_vm_leaves_nothing(number: int) -> None:
    executor, found = run(f"{USED}vm end {number}\n")
    assert found == []
    assert executor.side.guests[number].kvm.memslots == []
    assert executor.checkers.shadows[number].by_page == {}
    pages = sum(count > 0 for count in executor.side.kernel.counts)
    assert pages == len(executor.checkers.shadows[1 - number].by_page)


class KeepsRoot(Pgtable):
    def kvm_pgtable_stage2_destroy(self, pgt: kvm_pgtable) -> None:
        self.k.get_page(self.k.virt_to_page(pgt.pgd))
        super().kvm_pgtable_stage2_destroy(pgt)


class KeepsArea(Mmu):
    def kvm_free_stage2_pgd(self, kvm: kvm) -> None:
        super().kvm_free_stage2_pgd(kvm)
        # This allocates more than the function frees.
        self.k.alloc_percpu()


@pytest.mark.parametrize(
    ("version", "what"),
    [(broken(pgtable=KeepsRoot), "table pages left"), (broken(KeepsArea), "allocations left")],
    ids=["table", "area"],
)
def test_leaks_of_a_vm_are_reported_once_at_its_end(version: Candidate, what: str) -> None:
    executor, found = run(f"{USED}vm end 1\ncpu0 write a+0\n", version)
    assert [(each.signature, each.at) for each in found] == [(f"leak: kvm_free_stage2_pgd: {what}", 3)]
    assert found[0].reason.startswith("of VM 1: ")
    (other,) = executor.destroy()
    assert other.signature == found[0].signature
    # The first VM leaks an area, too.
    assert other.reason.count("[") == found[0].reason.count("[")
    assert other.reason != found[0].reason


class FreesOthers(Mmu):
    """Frees the tables of the previous VM together with those of the last one."""

    def __init__(self, host: KvmHost, pgtable: Pgtable) -> None:
        super().__init__(host, pgtable)
        self.first: kvm_pgtable | None = None

    def kvm_init_stage2_mmu(self, kvm: kvm) -> int:
        ret = super().kvm_init_stage2_mmu(kvm)
        self.first = self.first or kvm.pgt
        return ret

    def kvm_free_stage2_pgd(self, kvm: kvm) -> None:
        super().kvm_free_stage2_pgd(kvm)
        if self.first is not None and self.first.pgd >= 0:
            self.p.kvm_pgtable_stage2_destroy(self.first)


def test_cleaned_device_frames_are_found_after_the_end_of_the_first_vm() -> None:
    head = "s2fuzz 1\nvm cpus=1 vms=2\nslot a size=4K backing=anon\nslot b size=4K backing=device vm=1\n"
    program = parse(head + "vm end 0\ncpu1 read b+0\ncpu1 cache on\ncpu1 setway\n")
    executor = Executor(candidate.get("bug-device-clean"), program)
    executor.create()
    found = [executor.step(at)[1] for at in range(len(program.operations))]
    assert [each.signature for each in found[2]] == ["dcache: stage2_flush_walker: device frame cleaned"]
    assert found[2][0].reason.startswith("VM 1: ")


def test_the_tables_of_others_are_not_excused() -> None:
    _, found = run(f"{USED}vm end 1\n", broken(FreesOthers))
    assert "lifetime: stage2_free_walker: freed while reachable" in [each.signature for each in found]
    assert {each.at for each in found} == {3}


@pytest.mark.parametrize(
    ("line", "wrong"),
    [
        ("cpu1 read b+0", "cpu1: VM 1 has ended; allowed: VM 0"),
        ("cpu1 reset", "cpu1: VM 1 has ended; allowed: VM 0"),
        ("cpu1 evict b+0", "cpu1: VM 1 has ended; allowed: VM 0"),
        ("log b get", "slot b: VM 1 has ended; allowed: VM 0"),
        ("log b clear 0 4M", "slot b: VM 1 has ended; allowed: VM 0"),
        ("slot b create", "slot b: VM 1 has ended; allowed: VM 0"),
        ("slot b move 4G", "slot b: VM 1 has ended; allowed: VM 0"),
        ("table map b+0 4K r", "slot b: VM 1 has ended; allowed: VM 0"),
        ("table mkold b+0", "slot b: VM 1 has ended; allowed: VM 0"),
        ("vm end 1", "end 1: VM 1 has ended; allowed: VM 0"),
        ("vm end 0", "end 0: no other VM has slots; allowed: a VM, if another one has slots"),
        ("vm end 2", "end 2; allowed: 0 to 1"),
        ("vm cpus=1", "second vm; allowed: exactly one"),
    ],
)
def test_operations_on_an_ended_vm_are_refused(line: str, wrong: str) -> None:
    with pytest.raises(ProgramError) as caught:
        parse(f"{TWO_VMS}vm end 1\n{line}\n", "x.s2")
    assert str(caught.value) == f"x.s2:6: {wrong}"


def test_a_mapped_file_keeps_its_vm() -> None:
    text = "s2fuzz 1\nvm vms=2\nslot a size=4K backing=anon\nslot b size=4K backing=memfd vm=1\nvm end 1\n"
    with pytest.raises(ProgramError, match=r"^<text>:5: end 1: slot b has backing=memfd; allowed: a VM without"):
        parse(text)


@pytest.mark.parametrize("line", ["vm end 1", "user0 vm end 1", "host0 age a+0 4K\n  vm end 1"])
def test_the_end_of_a_vm_is_refused_in_a_par_block(line: str) -> None:
    with pytest.raises(ProgramError, match="vm end in a par block; allowed: cpuN read"):
        parse(f"{TWO_VMS}par\n  cpu0 read a+0\n  {line}\nend\n")
