# SPDX-License-Identifier: GPL-2.0-only
"""The parts of a tree that no operation of a program can reach. All user-visible statements on this use this list.

Each entry is found by a pattern, as in `candidate.tree.building.probes`. Remove an entry when its code becomes
reachable; an entry with a function disappears by itself when the driver can call that function.
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

from .source import KVM_MAIN, MMU, NESTED, PGTABLE, TreeSource


@dataclass(frozen=True)
class UnreachedFeature:
    """Code that is compiled and never runs.

    :param path: the file that has it
    :param pattern: regular expression that finds it
    :param name: its name in the kernel's documentation
    :param why: what s2fuzz lacks to run it
    :param function: the feature is unreachable only while this function cannot be called; "": conditions keep the code
        from running
    """

    path: str
    pattern: str
    name: str
    why: str
    function: str = ""


_LIST: Final = (
    (MMU, r"\bis_protected_kvm", "protected VMs (pKVM)", "there is no separate hypervisor"),
    (MMU, r"\bkvm_call_hyp", "nVHE", "the host runs in VHE"),
    (
        PGTABLE,
        r"^int kvm_pgtable_hyp_map\(",
        "page tables of the hypervisor",
        "only stage 2 is driven",
        "kvm_pgtable_hyp_map",
    ),
    (NESTED, r"\bkvm_s2_mmu\b", "changes of a guest hypervisor's tables, and its TLBIs", "they never change"),
    (KVM_MAIN, r"\bkvm_vm_set_mem_attributes\(", "memory attributes", "guests share all memory"),
    (MMU, r"\bkvm_toggle_cache\(", "caches that the guest switches", "vCPUs have no registers", "kvm_toggle_cache"),
    (MMU, r"\bkvm_set_way_flush\(", "flushes by set and way", "vCPUs have no registers", "kvm_set_way_flush"),
    (MMU, r"\bstage2_unmap_vm\(", "reset of vCPUs", "VMs are created anew", "stage2_unmap_vm"),
)
FEATURES: Final = tuple(UnreachedFeature(*each) for each in _LIST)


def unreachable(source: TreeSource, uncalled: Collection[str]) -> list[UnreachedFeature]:
    """Return the features of a tree that cannot be reached.

    :param uncalled: its functions that no request of the driver can call
    """
    return [
        feature
        for feature in FEATURES
        if source.declares(feature.pattern, feature.path) and (not feature.function or feature.function in uncalled)
    ]
