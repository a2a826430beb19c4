# SPDX-License-Identifier: GPL-2.0-only
"""The classes that represent one tree: those of `candidate.tree.runtime`, with facts from the text of its files."""

import re
from collections.abc import Callable, Collection, Sequence
from pathlib import Path

from reference.assembly import Assembly
from reference.kernel import Kernel
from reference.kvm import kvm
from reference.kvm_host import KvmHost
from reference.machine.address_space import HostTraits

from . import facts
from .building.probes import optional
from .building.source import ARM, MMU, PGTABLE, TLB, VHE, TreeSource
from .lines.c_text import without_comments
from .runtime.tlb import TreeTlb
from .runtime.versions import TreeMain, TreeMmu, TreePgtable

# Each class below defines __init__ because mypyc runs an inherited one twice.


def pgtable_of(source: TreeSource, added: Sequence[str], library_of: Callable[[int], Path]) -> type[TreePgtable]:
    """Return the class for pgtable.c of a tree.

    :param added: further files with its code (`candidate.tree.building.added`)
    :param library_of: returns the library for a log2 of the page size in bytes
    """
    device = _found(source, f"{ARM}/include/asm/memory.h", r"^#define MT_DEVICE_nGnRE\s+(\d+)")
    walks = f"{ARM}/include/asm/kvm_pgtable.h"

    class BoundPgtable(TreePgtable):
        """pgtable.c of this tree."""

        COUNTS_NON_ZERO = _has_any(source, (PGTABLE, *added), "stage2_pte_is_counted")
        COUNTS_HYP = _has_any(source, (PGTABLE, *added), r"hyp_map_walker_try_leaf\((?:(?!^}).)*get_page\(")
        WALKS_UNDER_RCU = _has(source, walks, r"\brcu_read_lock\(\)")
        EXCHANGES_SHARED = _has(source, walks, "KVM_PGTABLE_WALK_SHARED")
        ASKS_FOR_BBM = _has_any(source, (PGTABLE, MMU, *added), r"\bsystem_supports_bbml|\bARM64_HAS_BBML")
        HYP_DEVICE_INDEX = int(device[1]) if device else 0

        def __init__(self, kernel: Kernel) -> None:
            super().__init__(kernel)

        @staticmethod
        def root() -> Path:
            return source.root

        @staticmethod
        def library(granule: int) -> Path:
            return library_of(granule)

    return BoundPgtable


def mmu_of(source: TreeSource, added: Sequence[str]) -> type[TreeMmu]:
    """Return the class for mmu.c of a tree.

    :param added: further files with its code (`candidate.tree.building.added`)
    """
    files = MMU, *added

    class BoundMmu(TreeMmu):
        """mmu.c of this tree."""

        TELLS_MEMORY_FAULTS = _has_any(source, files, r"\bkvm_prepare_memory_fault_exit\(")
        ACCOUNTS_TABLES = _has_any(source, files, r"\bkvm_account_pgtable_pages\(")
        REFUSES_UNCACHEABLE = _has_any(source, files, r"\bkvm_supports_cacheable_pfnmap\(")
        SAMPLES_UNDER_MMAP = _has_any(
            source, files, r"_seq;(?:(?!^\}|mmap_read_lock\().)*(?:mmap_read_unlock|vma_end_read)\("
        )

        def __init__(self, host: KvmHost, pgtable: TreePgtable) -> None:
            super().__init__(host, pgtable)

    return BoundMmu


def main_of(source: TreeSource, declared: Collection[str], number: str) -> type[TreeMain]:
    """Return the class for kvm_main.c of a tree, and for the host's memory management in its version.

    :param declared: names of the probes that match (`candidate.tree.building.probes`)
    :param number: the version of the tree (`candidate.tree.facts.version`)
    """

    class BoundMain(TreeMain):
        """kvm_main.c of this tree."""

        FEATURES = tuple(optional(declared))
        SPLITS_EAGERLY = "HAVE_SPLIT_CHUNK" in declared
        HAS_DIRTY_RINGS = "HAVE_DIRTY_RING" in declared
        HAS_GUEST_MEMFD = "HAVE_GUEST_MEMFD" in declared
        PRE_FAULTS = {"HAVE_PRE_FAULT", "HAVE_PRE_FAULT_RANGE", "HAVE_PRE_FAULT_PAGE"} <= set(declared)
        HAS_LPA2 = "HAVE_LPA2" in declared
        HAS_MTE = "HAVE_MTE" in declared
        HAS_BBM = "HAVE_BBM" in declared
        HAS_NESTED = "HAVE_NESTED" in declared
        TAGS_HUGETLB = "HAVE_TAGS_OF_HUGETLB" in declared
        ELIDES_AGED_FLUSH = "ELIDES_AGED_FLUSH" in declared
        AGES_WITHOUT_LOCK = "AGES_WITHOUT_LOCK" in declared
        FREES_BY_RANGE = "DESTROYS_BY_RANGE" in declared
        HOST = HostTraits(
            drops_zeroes=_has(source, "include/linux/rmap.h", r"\b\w+_USE_SHARED_ZEROPAGE\b"),
            fills_zeroes=facts.host_since(number, 6, 13),
            collapses_read_only=facts.host_since(number, 6, 18),
            unmaps_by_area=facts.host_since(number, 6, 18),
            frees_tables=facts.host_since(number, 7, 0),
        )

        def __init__(self, kvm: kvm, mmu: TreeMmu) -> None:
            super().__init__(kvm, mmu)

    return BoundMain


def tlb_of(source: TreeSource, added: Sequence[str]) -> type[TreeTlb]:
    """Return the class for tlb.c of a tree.

    :param added: further files, which may have its code (`candidate.tree.building.added`)
    """

    class BoundTlb(TreeTlb):
        """tlb.c of this tree."""

        content = " ".join(source.digest(path) for path in (TLB, *added) if path.startswith(VHE))

        def __init__(self, assembly: Assembly) -> None:
            super().__init__(assembly)

    return BoundTlb


def _found(source: TreeSource, file: str, pattern: str) -> re.Match[str] | None:
    """Return the match of a pattern in a file of a tree, outside of comments; it may span lines."""
    text = without_comments((source.root / file).read_text(errors="replace"))
    return re.search(pattern, text, re.DOTALL | re.MULTILINE)


def _has(source: TreeSource, file: str, pattern: str) -> bool:
    """Return whether a pattern matches in a file of a tree, as in `_found`."""
    return _found(source, file, pattern) is not None


def _has_any(source: TreeSource, files: Sequence[str], pattern: str) -> bool:
    """Return whether a pattern matches in one of some files of a tree, as in `_found`."""
    return any(_has(source, file, pattern) for file in files)
