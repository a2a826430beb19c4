# SPDX-License-Identifier: GPL-2.0-only
# Derived from Linux 5.12 (virt/kvm/kvm_main.c, arch/arm64/kvm/hyp/nvhe/tlb.c, arch/arm64/include/asm).
"""The kernel layer below pgtable.c and mmu.c: pages, locks, barriers, TLB and cache maintenance.

Kernel names are kept. A name that begins with two underscores also ends with
two, since Python would mangle it otherwise. Every call that touches the world
outside the code under test is an event (see `reference.events`).
"""

from .assembly import Assembly
from .capabilities import ARM64_HAS_TLB_RANGE, NO_VHE
from .compiled.annotations import mypyc_attr
from .machine.granule import Granule
from .machine.hardware import Hardware
from .machine.instructions import DOMAINS, ORDER_STORES
from .services.locks import Locks
from .services.structs import kvm_s2_mmu
from .tlb import AnyTlb, TlbNvhe, TlbVhe
from .tlbflush import MAX_TLBI_RANGE_PAGES


@mypyc_attr(allow_interpreted_subclasses=True)
class Kernel(Locks):
    """The kernel around the code under test, on one machine.

    :param granule: page size of host and guest
    :param hardware: the target of TLB and cache maintenance
    :param caps: ARM64_HAS_... bits
    :param tlb: tlb.c of the version; None: the original's, for VHE or nVHE depending on *caps*
    """

    def __init__(self, granule: Granule, hardware: Hardware, caps: int = 0, tlb: type[AnyTlb] | None = None) -> None:
        super().__init__(granule, hardware, caps)
        self.assembly = Assembly(hardware, caps, self.on.instruction)
        hardware.boot(not caps & NO_VHE)
        original = TlbNvhe if caps & NO_VHE else TlbVhe
        self.tlb: AnyTlb = (tlb or original)(self.assembly)

    def dsb(self, domain: str) -> None:
        if domain in DOMAINS:
            self.assembly.enter(self.cpu)
            self.assembly.barrier(DOMAINS[domain])
        for o in self.on_dsb:
            o.dsb(domain)

    def dmb(self, domain: str) -> None:
        """``dmb(domain)``: orders loads or stores, and completes nothing."""
        if domain in ORDER_STORES:
            self.hardware.processors[self.cpu].ordered += 1
        for o in self.on.dmb:
            o.dmb(domain)

    def smp_wmb(self) -> None:
        """Order earlier stores before later ones."""
        self.dmb("ishst")

    def smp_mb(self) -> None:
        """Order earlier loads and stores before later ones."""
        self.dmb("ish")

    def isb(self) -> None:
        self.assembly.cpu = self.cpu
        self.assembly.synchronize()
        for o in self.on.isb:
            o.isb()

    def __kvm_tlb_flush_vmid_ipa__(self, mmu: kvm_s2_mmu, ipa: int, level: int) -> None:
        """Hypercall: flush one address on all CPUs; level 0 is no hint."""
        self.reached("flush")
        self.assembly.enter(self.cpu)
        self.tlb.__kvm_tlb_flush_vmid_ipa__(mmu, ipa, level)
        self.assembly.leave()
        for o in self.on.tlbi_ipa:
            o.tlbi_ipa(mmu.vmid, ipa, level)
        self.passed("flush")

    def __kvm_tlb_flush_vmid_ipa_nsh__(self, mmu: kvm_s2_mmu, ipa: int, level: int) -> None:
        """Hypercall of v6.6 and later: as `__kvm_tlb_flush_vmid_ipa__`, but on this CPU only."""
        self.reached("flush")
        self.assembly.enter(self.cpu)
        self.tlb.__kvm_tlb_flush_vmid_ipa_nsh__(mmu, ipa, level)
        self.assembly.leave()
        for o in self.on.tlbi_ipa_local:
            o.tlbi_ipa_local(mmu.vmid, ipa, level)
        self.passed("flush")

    def __kvm_tlb_flush_vmid__(self, mmu: kvm_s2_mmu) -> None:
        """Hypercall: flush all entries of a VM, on all CPUs."""
        self.reached("flush")
        self.assembly.enter(self.cpu)
        self.tlb.__kvm_tlb_flush_vmid__(mmu)
        self.assembly.leave()
        for o in self.on.tlbi_vmid:
            o.tlbi_vmid(mmu.vmid)
        self.passed("flush")

    def __kvm_tlb_flush_vmid_range__(self, mmu: kvm_s2_mmu, ipa: int, pages: int) -> None:
        """Hypercall of v6.6 and later: flush a range of addresses on all CPUs, without a hint.

        Callers check for FEAT_TLBIRANGE (``system_supports_tlb_range()``) and pass no more than `MAX_TLBI_RANGE_PAGES`.
        """
        size = pages << self.granule.page_shift
        if not self.caps & ARM64_HAS_TLB_RANGE:
            self.warn("undefined-instruction")
            return
        if pages > MAX_TLBI_RANGE_PAGES:
            self.warn("more-pages-than-a-range-has")
            return
        self.reached("flush")
        self.assembly.enter(self.cpu)
        self.tlb.__kvm_tlb_flush_vmid_range__(mmu, ipa, pages)
        self.assembly.leave()
        for o in self.on.tlbi_range:
            o.tlbi_range(mmu.vmid, ipa & -self.granule.page_size, size)
        self.passed("flush")

    def __kvm_flush_cpu_context__(self, mmu: kvm_s2_mmu, cpu: int) -> None:
        """Hypercall on CPU *cpu*: drop entries that combine both stages on that CPU; stage-2 entries stay."""
        self.assembly.enter(cpu)
        self.tlb.__kvm_flush_cpu_context__(mmu)
        self.assembly.leave()
        for o in self.on.flush_cpu_context:
            o.flush_cpu_context(mmu.vmid, cpu)

    def __kvm_flush_vm_context__(self) -> None:
        """Hypercall: flush all entries of all VMs, on all CPUs."""
        self.assembly.enter(self.cpu)
        self.tlb.__kvm_flush_vm_context__()
        self.assembly.leave()
        for o in self.on.flush_vm_context:
            o.flush_vm_context()

    def __flush_dcache_area__(self, va: int, size: int) -> None:
        """Clean and invalidate to the point of coherency, by kernel address."""
        pa = self.base + (va << 3)
        self.reached("clean")
        self.hardware.clean_and_invalidate(pa, size)
        for o in self.on_dcache:
            o.dcache(pa, size)
        self.passed("clean")

    def invalidate_icache_range(self, va: int, size: int) -> None:
        pa = self.base + (va << 3)
        self.reached("clean")
        self.hardware.invalidate_icache(pa, size)
        for o in self.on.icache:
            o.icache(pa, size)
        self.passed("clean")

    def __flush_icache_all__(self) -> None:
        self.hardware.invalidate_icache_all()
        for o in self.on.icache_all:
            o.icache_all()
