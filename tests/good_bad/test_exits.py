# SPDX-License-Identifier: GPL-2.0-only
"""contract: return values and reported addresses of kvm_handle_guest_abort() for each way out of a fault."""

from fuzz.findings.severity import Severity, severity
from reference.kvm import kvm_vcpu
from reference.mmu import Mmu
from reference.services.errors import EFAULT
from reference.syndrome import FSC_FAULT, kvm_vcpu_abt_issea, kvm_vcpu_trap_is_iabt

from .case import ORIGINAL, Case, broken, each, violations


class PassesZeroOn(Mmu):
    """Returns the 0 of user_mem_abort() to the caller, which takes it for an exit to user space."""

    def kvm_handle_guest_abort(self, vcpu: kvm_vcpu) -> int:
        return min(super().kvm_handle_guest_abort(vcpu), 0)


class FailsAfterSignal(Mmu):
    def kvm_send_hwpoison_signal(self, address: int, lsb: int) -> None:
        super().kvm_send_hwpoison_signal(address, lsb)
        self.poisoned = True

    poisoned = False

    def kvm_handle_guest_abort(self, vcpu: kvm_vcpu) -> int:
        ret = super().kvm_handle_guest_abort(vcpu)
        return -EFAULT if self.poisoned else ret


class FailsAfterAbort(Mmu):
    """Returns an error to user space for an abort that the guest has already received."""

    def kvm_handle_guest_abort(self, vcpu: kvm_vcpu) -> int:
        ret = super().kvm_handle_guest_abort(vcpu)
        nowhere = self.h.gfn_to_memslot(vcpu.kvm, vcpu.fault_ipa >> self.PAGE_SHIFT) is None
        return -EFAULT if nowhere and kvm_vcpu_trap_is_iabt(vcpu) else ret


class FailsAfterExternalAbort(Mmu):
    def kvm_handle_guest_abort(self, vcpu: kvm_vcpu) -> int:
        ret = super().kvm_handle_guest_abort(vcpu)
        return -EFAULT if kvm_vcpu_abt_issea(vcpu) else ret


class EmulatesThePage(Mmu):
    """Omits the lowest 12 bits of the address, which HPFAR does not contain."""

    def _abort_in_slot(self, vcpu: kvm_vcpu, fault_ipa: int, is_iabt: bool, fault_status: int) -> int:
        vcpu.hfar &= -4096
        return super()._abort_in_slot(vcpu, fault_ipa, is_iabt, fault_status)


class EmulatesTheVirtualAddress(Mmu):
    """Combines HPFAR with all of HFAR, which is wrong only if the guest's MMU is on."""

    def _abort_in_slot(self, vcpu: kvm_vcpu, fault_ipa: int, is_iabt: bool, fault_status: int) -> int:
        if self.h.gfn_to_memslot(vcpu.kvm, fault_ipa >> self.PAGE_SHIFT) is None and not is_iabt:
            return self.h.io_mem_abort(fault_ipa | vcpu.hfar)
        return super()._abort_in_slot(vcpu, fault_ipa, is_iabt, fault_status)


class InjectsAtTheGuestAddress(Mmu):
    """Injects an abort at a physical address, although the guest uses virtual addresses."""

    def _abort_in_slot(self, vcpu: kvm_vcpu, fault_ipa: int, is_iabt: bool, fault_status: int) -> int:
        if is_iabt and fault_status == FSC_FAULT:
            vcpu.hfar = fault_ipa
        return super()._abort_in_slot(vcpu, fault_ipa, is_iabt, fault_status)


CALL = "contract: kvm_handle_guest_abort: "
PAGE = "vm cpus=1 fwb=on\nslot a size=4K backing=anon\n"
GONE = PAGE + "slot a delete\n"

CASES = (
    Case("0 after a fault", CALL + "returns 0 after a fault", broken(mmu=PassesZeroOn), PAGE + "cpu0 read a+0\n"),
    Case("0 after emulation", CALL + "returns 0 after an I/O exit", broken(mmu=PassesZeroOn), GONE + "cpu0 read a+0\n"),
    Case("0 after an abort", CALL + "returns 0 after an abort", broken(mmu=PassesZeroOn), GONE + "cpu0 fetch a+0\n"),
    Case(
        "0 after a signal",
        CALL + "returns 0 after a signal",
        broken(mmu=PassesZeroOn),
        PAGE + "host poison a+0\ncpu0 read a+0\n",
    ),
    Case(
        "0 after an external abort",
        CALL + "returns 0 after an abort",
        broken(mmu=PassesZeroOn),
        PAGE + "cpu0 abort a+0\n",
    ),
    Case(
        "an error after a signal",
        CALL + "returns -14 after a signal",
        broken(mmu=FailsAfterSignal),
        PAGE + "host poison a+0\ncpu0 read a+0\n",
    ),
    Case(
        "an error after an abort",
        CALL + "returns -14 after an abort",
        broken(mmu=FailsAfterAbort),
        GONE + "cpu0 fetch a+0\n",
    ),
    Case(
        "an error after an external abort",
        CALL + "returns -14 after an abort",
        broken(mmu=FailsAfterExternalAbort),
        PAGE + "cpu0 abort a+0\n",
    ),
    Case(
        "emulation of the page",
        CALL + "I/O exit at another address",
        broken(mmu=EmulatesThePage),
        GONE + "cpu0 read a+291\n",
    ),
    Case(
        "emulation of a virtual address",
        CALL + "I/O exit at another address",
        broken(mmu=EmulatesTheVirtualAddress),
        GONE + "cpu0 write a+8\n",
    ),
    Case(
        "an abort at a guest address",
        CALL + "abort at another address, the physical one",
        broken(mmu=InjectsAtTheGuestAddress),
        GONE + "cpu0 fetch a+0\n",
    ),
)


@each(CASES)
def test_exits_good(case: Case) -> None:
    assert case.all_good() == []


@each(CASES)
def test_exits_bad(case: Case) -> None:
    found = violations(case.bad, case.text)
    assert [violation.signature for violation in found] == [case.signature]
    assert not found[0].taints


ALL_WAYS_OUT = """vm cpus=1
slot a size=8K backing=anon ro=on
slot d ipa=2G size=4K backing=device
cpu0 write a+2047 mmu=off
cpu0 write a+2047
cpu0 clean a+64
cpu0 fetch d+16
cpu0 walk d+24
cpu0 abort a+32
host poison a+64K
cpu0 read a+65544
slot a delete
cpu0 read a+8191
cpu0 fetch a+4100 mmu=off
cpu0 walk a+8
cpu0 clean a+8
"""


def test_the_original_handles_all_aborts_correctly() -> None:
    for granule in ("4K", "16K", "64K"):
        text = ALL_WAYS_OUT.replace("cpus=1", f"cpus=1 granule={granule}").replace("8K", "128K").replace("=4K", "=64K")
        assert violations(ORIGINAL, text) == []


def test_emulation_at_another_address_is_corruption() -> None:
    assert severity(CALL + "I/O exit at another address") == Severity.CORRUPTION
    assert severity(CALL + "returns 0 after a fault") == Severity.CONTRACT
