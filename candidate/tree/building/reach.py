# SPDX-License-Identifier: GPL-2.0-only
"""The parts of a tree that no operation of a program can reach: this list, and nothing else, says so to people.

Each entry is found by a probe, as in `candidate.tree.building.probes`. Whoever makes one reachable removes it;
those that are a function of their own go by themselves, when the driver can call it.
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

from .source import KVM_MAIN, MMU, NESTED, PGTABLE, TreeSource


@dataclass(frozen=True)
class UnreachedFeature:
    """Code that is compiled and never runs.

    :param path: where to look for it
    :param pattern: regular expression that finds it
    :param name: in the words of the kernel's documentation
    :param why: what is missing here
    :param function: it is unreached only while nothing can call this one; "": conditions keep it from running
    """

    path: str
    pattern: str
    name: str
    why: str
    function: str = ""


_LIST: Final = (
    (MMU, r"\bis_protected_kvm", "protected VMs (pKVM)", "there is no hypervisor apart from the host"),
    (MMU, r"\bkvm_call_hyp", "nVHE", "the host runs in VHE"),
    (
        PGTABLE,
        r"^int kvm_pgtable_hyp_map\(",
        "page tables of the hypervisor",
        "only stage 2 is driven",
        "kvm_pgtable_hyp_map",
    ),
    (NESTED, r"\bkvm_s2_mmu\b", "nested guests", "guests have no EL2"),
    (KVM_MAIN, r"\bkvm_vm_set_mem_attributes\(", "memory attributes", "guests share all memory"),
    (MMU, r"\bkvm_toggle_cache\(", "caches that the guest switches", "vCPUs have no registers", "kvm_toggle_cache"),
    (MMU, r"\bkvm_set_way_flush\(", "flushes by set and way", "vCPUs have no registers", "kvm_set_way_flush"),
    (MMU, r"\bstage2_unmap_vm\(", "reset of vCPUs", "VMs are created anew", "stage2_unmap_vm"),
)
FEATURES: Final = tuple(UnreachedFeature(*each) for each in _LIST)


def unreachable(source: TreeSource, uncalled: Collection[str]) -> list[UnreachedFeature]:
    """The features that a tree has and that stay unexercised.

    :param uncalled: its functions that nothing the driver does can call
    """
    return [
        feature
        for feature in FEATURES
        if source.declares(feature.pattern, feature.path) and (not feature.function or feature.function in uncalled)
    ]
