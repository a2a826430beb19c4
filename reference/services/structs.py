# SPDX-License-Identifier: GPL-2.0-only
# Derived from Linux 5.12 (arch/arm64/include/asm/kvm_host.h).
"""Structures of KVM, as far as the code under test and the machine use them."""


class kvm_mmu_memory_cache:
    """``struct kvm_mmu_memory_cache``: only counts objects; a page is allocated when one is taken.

    *number*: identifies the cache in events, from its first event until it is freed; 0: it has no number

    :param name: the member that it is in the kernel; "": a cache on the stack
    """

    def __init__(self, name: str = "") -> None:
        self.nobjs = 0
        self.name = name
        self.number = 0


class kvm_vmid:
    """``struct kvm_vmid``: the number of a VM in VTTBR_EL2, and the generation in which it is valid."""

    def __init__(self, vmid: int) -> None:
        self.vmid_gen = 1
        self.vmid = vmid


class kvm_s2_mmu:
    """``struct kvm_s2_mmu``: the tables of a VM.

    *vmid*: identifies the VM permanently, in events and reports; *hardware_vmid*: its number in TLBs, which changes;
    *vtcr* and *pgd_phys*: VTCR_EL2 and the base address in VTTBR_EL2, as the code of a tree composed them for a nested
    guest
    """

    def __init__(self, vmid: int = 1) -> None:
        self.vmid = vmid
        self.hardware_vmid = kvm_vmid(vmid)
        self.vtcr = 0
        self.pgd_phys = 0
