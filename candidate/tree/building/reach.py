# SPDX-License-Identifier: GPL-2.0-only
"""What a tree has and no operation of a program can reach: this list, and nothing else, says so to people.

Each entry is found by a probe, as in `candidate.tree.building.probes`. Whoever makes one reachable removes it.
"""

from dataclasses import dataclass
from typing import Final

from .source import ARM, KVM_MAIN, MMU, NESTED, PGTABLE, Source


@dataclass(frozen=True)
class Feature:
    """Code that is compiled and never runs.

    :param name: in the words of the kernel's documentation
    :param why: what is missing here
    :param pattern: regular expression that finds it
    :param path: where to look
    """

    name: str
    why: str
    pattern: str
    path: str


_KVM_HOST: Final = f"{ARM}/include/asm/kvm_host.h"

FEATURES: Final = (
    Feature(
        "protected VMs (pKVM)", "the host runs in VHE, without a hypervisor of its own", r"\bis_protected_kvm", MMU
    ),
    Feature("nVHE", "hypercalls lead nowhere", r"\bkvm_call_hyp", MMU),
    Feature("page tables of the hypervisor", "only stage 2 is driven", r"^int kvm_pgtable_hyp_map\(", PGTABLE),
    Feature("nested guests", "guests have no EL2", r"\bkvm_s2_mmu\b", NESTED),
    Feature("MTE", "no memory has tags", r"\bkvm_has_mte\(", MMU),
    Feature("guest_memfd", "slots are memory of user space", r"\bkvm_gmem_|\bgmem_abort\(", MMU),
    Feature("private memory and its attributes", "guests share all memory", r"\bkvm_vm_set_mem_attributes\(", KVM_MAIN),
    Feature("hugetlbfs", "huge pages are transparent ones", r"\bis_vm_hugetlb_page\(|VM_HUGETLB", MMU),
    Feature("poisoned pages", "no memory fails", r"\bkvm_send_hwpoison_signal\(", MMU),
    Feature(
        "the caches of the guest, switched and flushed by set and way",
        "vCPUs have no registers in C",
        r"\bkvm_toggle_cache\(",
        MMU,
    ),
    Feature("errors that the guest's accesses raise", "the machine has none", r"\bkvm_handle_guest_sea\(", MMU),
    Feature("devices mapped by KVM itself", "there is no interrupt controller", r"\bkvm_phys_addr_ioremap\(", MMU),
    Feature("reset of vCPUs", "VMs are created anew", r"\bstage2_unmap_vm\(", MMU),
    Feature("dirty rings", "logs are bitmaps", r"\bkvm_dirty_ring_push\(|\bkvm_dirty_ring_alloc\(", KVM_MAIN),
    Feature(
        "logs that are cleared by user space, or begin full",
        "a log is got and cleared at once",
        r"\bkvm_vm_ioctl_clear_dirty_log\(",
        KVM_MAIN,
    ),
    Feature(
        "replacing a page under the guest at once",
        "the host invalidates, and the guest faults",
        r"\bkvm_set_spte_(?:hva|gfn)\(|\bkvm_mmu_notifier_change_pte\(",
        KVM_MAIN,
    ),
    Feature("52-bit addresses with 4K and 16K pages (LPA2)", "physical addresses have 48 bits", "lpa2", PGTABLE),
)


def unreachable(source: Source) -> list[Feature]:
    """The features that a tree has and that stay unexercised."""
    return [feature for feature in FEATURES if source.declares(feature.pattern, feature.path)]
