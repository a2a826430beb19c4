# SPDX-License-Identifier: GPL-2.0-only
"""contract: no warning, no error for a correct caller, no refusal of an access that the slot allows."""

import pytest

from fuzz.checkers.contract import Contract
from reference.kvm import KVM_MEM_LOG_DIRTY_PAGES, kvm, kvm_memory_slot, kvm_vcpu
from reference.mmu import Mmu
from reference.pgtable import NULL, Pgtable, stage2_map_data
from reference.services.errors import EFAULT, EINVAL, EIO
from reference.syndrome import FSC_TLB_CONFLICT, ESR_ELx_FSC, kvm_vcpu_trap_is_iabt

from .case import ORIGINAL, Case, broken, each, violations
from .switched import Split


class RefuseToSplit(Pgtable):
    def stage2_map_walk_leaf(self, addr: int, end: int, level: int, ptep: int, data: stage2_map_data) -> int:
        fits = self.kvm_block_mapping_supported(addr, end, data.phys, level)
        if data.anchor == NULL and not fits and self.kvm_pte_valid(self.mem[ptep]):
            return -EINVAL
        return super().stage2_map_walk_leaf(addr, end, level, ptep, data)


class BadPointer(Mmu):
    def kvm_mmu_cache_min_pages(self, kvm: kvm) -> int:
        return self.p.mem[1 << 60]


class AbortsFetches(Mmu):
    def kvm_handle_guest_abort(self, vcpu: kvm_vcpu) -> int:
        if not kvm_vcpu_trap_is_iabt(vcpu):
            return super().kvm_handle_guest_abort(vcpu)
        self.h.inject("pabt", vcpu.hfar)
        return 1


class EmulatesReads(Mmu):
    def kvm_handle_guest_abort(self, vcpu: kvm_vcpu) -> int:
        return self.h.io_mem_abort(vcpu.fault_ipa)


class LetsFetchesComeAgain(Mmu):
    def kvm_handle_guest_abort(self, vcpu: kvm_vcpu) -> int:
        return 1 if kvm_vcpu_trap_is_iabt(vcpu) else super().kvm_handle_guest_abort(vcpu)


class TellsThePhysicalAddress(Mmu):
    def kvm_handle_guest_abort(self, vcpu: kvm_vcpu) -> int:
        if vcpu.fault_ipa < vcpu.kvm.phys_size:
            return super().kvm_handle_guest_abort(vcpu)
        self.h.inject("pabt" if kvm_vcpu_trap_is_iabt(vcpu) else "dabt", vcpu.fault_ipa | vcpu.hfar & 0xFFF)
        return 1


class SucceedsWithoutTables(Mmu):
    def kvm_init_stage2_mmu(self, kvm: kvm) -> int:
        super().kvm_init_stage2_mmu(kvm)
        return 0


class TakesAnySlot(Mmu):
    """Succeeds where `kvm_arch_prepare_memory_region` refuses."""

    def kvm_arch_prepare_memory_region(self, kvm: kvm, memslot: kvm_memory_slot, change: int) -> int:
        ret = super().kvm_arch_prepare_memory_region(kvm, memslot, change)
        return 0 if ret in (-EFAULT, -EINVAL) else ret


class AnotherError(Mmu):
    def kvm_arch_prepare_memory_region(self, kvm: kvm, memslot: kvm_memory_slot, change: int) -> int:
        ret = super().kvm_arch_prepare_memory_region(kvm, memslot, change)
        return -EINVAL if ret == -EFAULT else ret


class GoesOnAfterConflicts(Mmu):
    def kvm_handle_guest_abort(self, vcpu: kvm_vcpu) -> int:
        conflict = vcpu.esr & ESR_ELx_FSC == FSC_TLB_CONFLICT
        return 1 if conflict else super().kvm_handle_guest_abort(vcpu)


class SignalsPages(Mmu):
    def kvm_send_hwpoison_signal(self, address: int, lsb: int) -> None:
        super().kvm_send_hwpoison_signal(address, self.PAGE_SHIFT)


class SignalsBlocks(Mmu):
    def kvm_send_hwpoison_signal(self, address: int, lsb: int) -> None:
        super().kvm_send_hwpoison_signal(address, self.PMD_SHIFT)


class SignalsHugetlb(Mmu):
    """Signals the size of the hugetlb page, even if stage 2 maps smaller pages."""

    def kvm_send_hwpoison_signal(self, address: int, lsb: int) -> None:
        vma = self.h.mm.vma_at(address)
        assert vma is not None
        super().kvm_send_hwpoison_signal(address, vma.huge_shift or self.PAGE_SHIFT)


class SignalsTheStartOfTheArea(Mmu):
    def kvm_send_hwpoison_signal(self, address: int, lsb: int) -> None:
        vma = self.h.mm.vma_at(address)
        assert vma is not None
        super().kvm_send_hwpoison_signal(vma.start, lsb)


class SignalsTheNextPage(Mmu):
    def kvm_send_hwpoison_signal(self, address: int, lsb: int) -> None:
        super().kvm_send_hwpoison_signal(address + self.PAGE_SIZE, lsb)


PAGE = "vm cpus=1 fwb=on\nslot a size=4K backing=anon\ncpu0 read a+0\n"
SPLIT = "vm cpus=1 fwb=on\nslot a size=2M backing=thp\ncpu0 read a+0\nlog a on\ncpu0 write a+0\n"

OUTSIDE = "vm cpus=1 ipa=36\nslot a size=4K backing=anon\ncpu0 outside fetch 64G\n"

CASES = (
    Case(
        "warning in the page-table code",
        "contract: kvm_set_table_pte: WARN",
        Split.without("break"),
        SPLIT,
    ),
    Case("error", "contract: kvm_handle_guest_abort: error -22", broken(RefuseToSplit), SPLIT),
    Case(
        "crash",
        "contract: kvm_handle_guest_abort: oops IndexError in kvm_mmu_cache_min_pages",
        broken(mmu=BadPointer),
        PAGE,
    ),
    Case(
        "abort where there is memory",
        "contract: kvm_handle_guest_abort: fetch of memory answered with an abort",
        broken(mmu=AbortsFetches),
        PAGE + "cpu0 fetch a+0\n",
    ),
    Case(
        "a VM that is made without tables",
        "contract: kvm_init_stage2_mmu: WARN vm-without-tables",
        broken(mmu=SucceedsWithoutTables),
        "vm cpus=1 fail=1\nslot a size=4K backing=anon\ncpu0 read a+0\n",
    ),
    Case(
        "I/O exit where there is memory",
        "contract: kvm_handle_guest_abort: read of memory answered with an I/O exit",
        broken(mmu=EmulatesReads),
        PAGE,
    ),
    Case(
        "a slot behind the end, moved",
        "contract: kvm_set_memory_region: success for a slot that ends beyond the guest's address space",
        broken(mmu=TakesAnySlot),
        "vm cpus=1 ipa=36\nslot a size=8K backing=anon\nslot a move 67108860K\n",
    ),
    Case(
        "a slot behind the end, made",
        "contract: kvm_set_memory_region: error -22 for a slot that ends beyond the guest's address space",
        broken(mmu=AnotherError),
        "vm cpus=1 ipa=36\nslot a size=8K backing=anon\nslot a delete\nslot a create ipa=64G\n",
    ),
    Case(
        "a dirty log of device memory",
        "contract: kvm_set_memory_region: success for a dirty log of device memory",
        broken(mmu=TakesAnySlot),
        "vm cpus=1\nslot a size=4K backing=device\nlog a on\n",
    ),
    Case(
        "a TLB conflict",
        "contract: kvm_handle_guest_abort: success for a TLB conflict abort, which stage 2 cannot answer",
        broken(mmu=GoesOnAfterConflicts),
        "vm cpus=1\nslot a size=4K backing=anon\ncpu0 conflict a+0\n",
    ),
    Case(
        "behind the address space, emulated",
        "contract: kvm_handle_guest_abort: I/O exit beyond the guest's address space",
        broken(mmu=EmulatesReads),
        OUTSIDE,
    ),
    Case(
        "beyond the address space, forever",
        "contract: kvm_handle_guest_abort: no abort beyond the guest's address space",
        broken(mmu=LetsFetchesComeAgain),
        OUTSIDE,
    ),
    Case(
        "behind the address space, at another address",
        "contract: kvm_handle_guest_abort: abort at another address, the physical one",
        broken(mmu=TellsThePhysicalAddress),
        OUTSIDE,
    ),
)


@each(CASES)
def test_contract_good(case: Case) -> None:
    assert case.all_good() == []


@each(CASES)
def test_contract_bad(case: Case) -> None:
    assert case.first_bad() == case.signature


REFUSED = """vm cpus=1 fwb=on
slot a size=4K backing=anon ro=on
slot d ipa=2G size=4K backing=device
cpu0 read a+0
cpu0 write a+0
cpu0 fetch d+0
cpu0 walk d+0
slot a delete
cpu0 read a+0
cpu0 fetch a+0
cpu0 walk a+0
"""


def test_accesses_forbidden_by_slot_or_memory_type_may_be_refused() -> None:
    assert violations(ORIGINAL, REFUSED) == []


@pytest.mark.parametrize("first", ["walk a+0", "read a+0\nhost age a+0 4K\ncpu0 walk a+0"])
def test_a_reading_walk_is_not_a_write(first: str) -> None:
    found = violations(ORIGINAL, f"vm cpus=1\nslot a size=4K backing=anon ro=on\ncpu0 {first}\n")
    assert [violation.signature for violation in found] == [
        "contract: kvm_handle_guest_abort: walk of memory answered with an abort"
    ]


# Slots, keyed by the property that makes stage 2 map blocks or pages.
SIGNALS = {
    "blocks": "slot a size=4M backing=hugetlb2m\n",
    "logged": "slot a size=4M backing=hugetlb2m log=on\n",
    "a part": "slot a size=1M backing=hugetlb2m\n",
    "not aligned": "slot a size=4M offset=4K backing=hugetlb2m\n",
    "a part of 1G": "slot a size=4M backing=hugetlb1g\n",
    "more than a page": "slot a size=128K backing=hugetlb64k\n",
    "small pages": "slot a size=4M backing=anon\n",
}
POISON = "cpu0 write a+0\nhost poison a+4K\ncpu0 write a+4K\n"
OTHER_SIZE = "contract: kvm_handle_guest_abort: SIGBUS of another size"


@pytest.mark.parametrize("slot", SIGNALS)
@pytest.mark.parametrize("mmu", [Mmu, SignalsHugetlb])
def test_signals_of_the_right_size(slot: str, mmu: type[Mmu]) -> None:
    text = f"vm cpus=1 fwb=on\n{SIGNALS[slot]}{POISON}"
    assert OTHER_SIZE not in [violation.signature for violation in violations(broken(mmu=mmu), text)]


@pytest.mark.parametrize(
    ("slot", "mmu"),
    [
        ("blocks", SignalsPages),
        ("a part of 1G", SignalsPages),
        ("small pages", SignalsBlocks),
        ("more than a page", SignalsBlocks),
    ],
)
def test_signals_of_the_wrong_size(slot: str, mmu: type[Mmu]) -> None:
    text = f"vm cpus=1 fwb=on\n{SIGNALS[slot]}{POISON}"
    assert [violation.signature for violation in violations(broken(mmu=mmu), text)] == [OTHER_SIZE]


FAR_POISON = "cpu0 write a+2M\nhost poison a+2052K\ncpu0 write a+2052K\n"
OTHER_PAGE = "contract: kvm_handle_guest_abort: SIGBUS for another page"


@pytest.mark.parametrize("slot", ["blocks", "logged", "not aligned", "a part of 1G", "small pages"])
def test_signals_for_the_page_that_failed(slot: str) -> None:
    text = f"vm cpus=1 fwb=on\n{SIGNALS[slot]}{FAR_POISON}"
    assert OTHER_PAGE not in [violation.signature for violation in violations(ORIGINAL, text)]
    # Every address in the huge page names it.
    found = violations(broken(mmu=SignalsTheNextPage), f"vm cpus=1 fwb=on\n{SIGNALS['blocks']}{FAR_POISON}")
    assert found == []


@pytest.mark.parametrize(
    ("slot", "mmu"),
    [
        ("blocks", SignalsTheStartOfTheArea),
        ("small pages", SignalsTheStartOfTheArea),
        ("small pages", SignalsTheNextPage),
    ],
)
def test_signals_for_another_page(slot: str, mmu: type[Mmu]) -> None:
    text = f"vm cpus=1 fwb=on\n{SIGNALS[slot]}{FAR_POISON}"
    assert [violation.signature for violation in violations(broken(mmu=mmu), text)] == [OTHER_PAGE]


@pytest.mark.parametrize(
    ("slot", "mmu", "allowed"),
    [
        ("a part of 1G", SignalsPages, "21 (the largest stage-2 mapping) or 30 (the host's page)"),
        ("more than a page", SignalsBlocks, "12 (the largest stage-2 mapping) or 16 (the host's page)"),
        ("small pages", SignalsBlocks, "12 (the host's page)"),
    ],
)
def test_the_reason_of_a_wrong_size_names_what_has_which_size(slot: str, mmu: type[Mmu], allowed: str) -> None:
    (found,) = violations(broken(mmu=mmu), f"vm cpus=1 fwb=on\n{SIGNALS[slot]}{POISON}")
    share = "only a part of what the guest cannot use" if mmu is SignalsPages else "intact memory"
    assert f", allowed: {allowed}: user space treats {share} as broken" in found.reason


def test_the_reason_of_a_wrong_signal_speaks_of_memory() -> None:
    assert "memory that has failed" in Contract.rule.reason(OTHER_PAGE)
    assert Contract.rule.reason(OTHER_PAGE) == Contract.rule.reason(OTHER_SIZE)
    assert Contract.rule.reason("contract: kvm_handle_guest_abort: error -22") == Contract.rule.why


def test_an_error_of_an_access_has_a_name_and_a_reason() -> None:
    (found, *_) = violations(broken(RefuseToSplit), SPLIT)
    access = "cpu0's write of a+0x0"
    assert found.reason.startswith(f"kvm_handle_guest_abort() returned -EINVAL, but slot and host allow {access}")


@pytest.mark.parametrize(
    ("slot", "operations", "due"),
    [
        ("backing=anon", "host write a+0 4K\nhost poison a+0\ncpu0 read a+0", "a signal"),
        ("backing=anon", "host unmap a+0 4K\ncpu0 read a+0", "-EFAULT"),
        ("backing=anon ro=on", "cpu0 write a+0", "an I/O exit"),
        ("backing=device", "cpu0 fetch a+0", "an abort"),
        ("backing=anon", "slot a delete\ncpu0 read a+0", "an abort or an I/O exit"),
    ],
)
def test_an_error_of_an_access_names_the_result_that_is_due(slot: str, operations: str, due: str) -> None:
    class FailsEachFault(Mmu):
        def kvm_handle_guest_abort(self, vcpu: kvm_vcpu) -> int:
            return -EIO

    (found,) = violations(broken(mmu=FailsEachFault), f"vm\nslot a size=64K {slot}\n{operations}\n")
    access = operations.splitlines()[-1].split()[1]
    assert found.reason == f"kvm_handle_guest_abort() returned -EIO, but cpu0's {access} of a+0x0 calls for {due}"


def test_an_error_of_a_call_of_the_host_has_a_name() -> None:
    class RefusesLogs(Mmu):
        def kvm_arch_prepare_memory_region(self, kvm: kvm, memslot: kvm_memory_slot, change: int) -> int:
            ret = super().kvm_arch_prepare_memory_region(kvm, memslot, change)
            return -EIO if memslot.flags & KVM_MEM_LOG_DIRTY_PAGES else ret

    (found, *_) = violations(broken(mmu=RefusesLogs), "vm\nslot a size=4K backing=anon\nlog a on\n")
    assert found.signature == "contract: kvm_set_memory_region: error -5"
    assert found.reason == "kvm_set_memory_region() returned -EIO, which nothing in the program calls for"
