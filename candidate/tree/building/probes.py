# SPDX-License-Identifier: GPL-2.0-only
"""Probes of declarations in which trees differ: each defines a macro that the kernel side of native/ tests or uses.

No version number is consulted, since patches move code between versions.
"""

import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

from .source import ARM, GUEST_MEMFD, KVM_MAIN, TreeSource


@dataclass(frozen=True)
class TreeProbe:
    """A text whose presence in a tree is tested.

    :param name: name of the macro that native/ tests
    :param pattern: regular expression; ``^`` is the beginning of a line
    :param path: the file to search
    :param feature: name of the feature for users; "" for details of the code
    """

    name: str
    pattern: str
    path: str
    feature: str = ""


@dataclass(frozen=True)
class MemberProbe:
    """A member of a structure, which trees name differently.

    :param name: name of the macro by which native/ refers to it
    :param pattern: regular expression; its group is the member
    :param path: the file to search
    :param name_otherwise: the member's name if the pattern does not match
    """

    name: str
    pattern: str
    path: str
    name_otherwise: str


def _selected(name: str, symbol: str, feature: str) -> TreeProbe:
    """Return a probe of what ``config KVM`` of arm64 selects; *symbol* may be a prefix of the symbol."""
    pattern = rf"^(?:menu)?config KVM\n(?:(?!^config |^menuconfig ).*\n)*\s+select {symbol}"
    return TreeProbe(name, pattern, f"{ARM}/kvm/Kconfig", feature)


# Parameters of functions in patterns.
_POINTER: Final = r"[\w\s]+\*\w*"
_NUMBER: Final = r"[\w\s]+"
_FLAGS: Final = r"enum kvm_pgtable_walk_flags\s+\w+"


def _known(name: str, path: str, *parameters: str, flags: bool = False) -> TreeProbe:
    """Return a probe of the parameters of a function that native/rt_*.c calls by a declaration of its own.

    A program that calls the function has no verdict if the tree declares other parameters.

    :param parameters: patterns of the parameters
    :param flags: further parameters may be flags, which are passed as 0
    """
    further = rf"(?:,\s*{_FLAGS})?" if flags else ""
    separator = r",\s*"
    return TreeProbe(f"KNOWS_{name}", rf"\b{name}\({separator.join(parameters)}{further}\);", path)


_FEATURES: Final = f"{ARM}/include/asm/cpufeature.h"
_KVM_HOST: Final = f"{ARM}/include/asm/kvm_host.h"
_PGTABLE_HEADER: Final = f"{ARM}/include/asm/kvm_pgtable.h"
_KVM_ASM: Final = f"{ARM}/include/asm/kvm_asm.h"

PROBES: Final = (
    # Arguments of functions.
    TreeProbe("HAVE_FDNAME", r"kvm_create_vm\(unsigned long type, const char", KVM_MAIN),
    TreeProbe(
        "HAVE_INIT_STAGE2_TYPE",
        r"kvm_init_stage2_mmu\(struct kvm \*kvm, struct kvm_s2_mmu \*mmu, unsigned long type",
        f"{ARM}/include/asm/kvm_mmu.h",
    ),
    TreeProbe(
        "HAVE_MEM_REGION2",
        r"kvm_vm_ioctl_set_memory_region\(struct kvm \*kvm,\s+struct kvm_userspace_memory_region2",
        KVM_MAIN,
    ),
    TreeProbe("HAVE_FOLLOW_PTE_VMA", r"int follow_pte\(struct vm_area_struct", "include/linux/mm.h"),
    TreeProbe(
        "HAVE_KVMALLOC_ALIGN",
        r"__kvmalloc_node_noprof\(DECL_\w+\([^)]*\), unsigned long align",
        "include/linux/slab.h",
    ),
    TreeProbe("HAVE_BULK_LIST", r"alloc_pages_bulk(?:_noprof)?\([^;{]*struct list_head \*", "include/linux/gfp.h"),
    TreeProbe("HAVE_CACHE_ARGS", r"^struct kmem_cache_args \{", "include/linux/slab.h"),
    TreeProbe("HAVE_TEST_YOUNG_RANGE", r"\(\*test_young\)\([^)]*start", "include/linux/mmu_notifier.h"),
    # Arguments of functions that native/rt_*.c calls by declarations of its own.
    _known("kvm_pgtable_stage2_map", _PGTABLE_HEADER, _POINTER, *(_NUMBER,) * 4, _POINTER, flags=True),
    _known("kvm_pgtable_stage2_unmap", _PGTABLE_HEADER, _POINTER, _NUMBER, _NUMBER),
    _known("kvm_pgtable_stage2_wrprotect", _PGTABLE_HEADER, _POINTER, _NUMBER, _NUMBER),
    _known("kvm_pgtable_stage2_flush", _PGTABLE_HEADER, _POINTER, _NUMBER, _NUMBER),
    _known("kvm_pgtable_stage2_mkyoung", _PGTABLE_HEADER, _POINTER, _NUMBER, flags=True),
    _known("kvm_pgtable_stage2_relax_perms", _PGTABLE_HEADER, _POINTER, _NUMBER, _NUMBER, flags=True),
    _known("kvm_pgtable_stage2_mkold", _PGTABLE_HEADER, _POINTER, _NUMBER),
    _known("kvm_pgtable_stage2_is_young", _PGTABLE_HEADER, _POINTER, _NUMBER),
    _known("kvm_pgtable_stage2_test_clear_young", _PGTABLE_HEADER, _POINTER, _NUMBER, _NUMBER, _NUMBER),
    _known("__kvm_tlb_flush_vmid_ipa", _KVM_ASM, _POINTER, _NUMBER, _NUMBER),
    _known("__kvm_tlb_flush_vmid_ipa_nsh", _KVM_ASM, _POINTER, _NUMBER, _NUMBER),
    _known("__kvm_tlb_flush_vmid_range", _KVM_ASM, _POINTER, _NUMBER, _NUMBER),
    _known("__kvm_tlb_flush_vmid", _KVM_ASM, _POINTER),
    # Functions that the tree defines itself, inline or not.
    TreeProbe("HAVE_GET_VTCR", r"^u64 kvm_get_vtcr\(", _PGTABLE_HEADER),
    TreeProbe(
        "HAVE_FVI_INLINE", r"static inline\s+struct vm_area_struct \* ?find_vma_intersection", "include/linux/mm.h"
    ),
    TreeProbe("HAVE_TASK_STATE", r"^\s+unsigned int\s+__state;", "include/linux/sched.h"),
    TreeProbe("HAVE_RCUWAIT_EXTERN", r"extern void finish_rcuwait", "include/linux/rcuwait.h"),
    TreeProbe(
        "HAVE_FIND_IN_ONE",
        r"_find_next_bit\(const unsigned long \*addr1, unsigned long nbits,",
        "include/linux/find.h",
    ),
    # Maple trees; the tree of the host's areas; how a state says where it is.
    TreeProbe("HAVE_MAPLE_TREE", r"mtree_load", "include/linux/maple_tree.h"),
    TreeProbe("HAVE_MTREE", r"mtree_load", "include/linux/mm.h"),
    TreeProbe("HAVE_MAPLE_STATUS", r"^enum maple_status \{", "include/linux/maple_tree.h"),
    TreeProbe("HAVE_PFN_VALID_FN", r"(?:int|bool) pfn_valid\(unsigned long", f"{ARM}/include/asm/page.h"),
    TreeProbe("HAVE_PTE_UNMAP_RCU", r"void pte_unmap\(pte_t \*\w+\)\s*\{\s*rcu_read_unlock", "include/linux/pgtable.h"),
    TreeProbe("HAVE_FOLLOW_PFNMAP", r"follow_pfnmap_start\(", "include/linux/mm.h"),
    TreeProbe(
        "HAVE_NOTIFIER_EVENT", r"enum mmu_notifier_event event;", "include/linux/mmu_notifier.h", "MMU notifier events"
    ),
    TreeProbe("HAVE_CHANGE_PTE", r"\(\*change_pte\)", "include/linux/mmu_notifier.h"),
    TreeProbe("HAVE_ARCH_FREE_VM", r"^void kvm_arch_free_vm", _KVM_HOST),
    # Data types and their members.
    TreeProbe("HAVE_MM_OPS", r"^struct kvm_pgtable_mm_ops \{", _PGTABLE_HEADER),
    TreeProbe("HAVE_CPU_HWCAP_KEYS", r"cpu_hwcap_keys", _FEATURES),
    TreeProbe("HAVE_CPU_HWCAPS", r"DECLARE_BITMAP\(cpu_hwcaps", _FEATURES),
    TreeProbe("HAVE_SYSTEM_CPUCAPS", r"DECLARE_BITMAP\(system_cpucaps", _FEATURES),
    TreeProbe("HAVE_VCPU_ARRAY", r"struct xarray vcpu_array;", "include/linux/kvm_host.h"),
    TreeProbe("HAVE_VMID_ID", r"^struct kvm_vmid \{\n\s+atomic64_t id;", _KVM_HOST),
    # Dirty rings.
    _selected("HAVE_DIRTY_RING", "HAVE_KVM_DIRTY_RING", "dirty rings"),
    TreeProbe("HAVE_RING_OF_VM", r"int kvm_dirty_ring_alloc\(struct kvm \*", "include/linux/kvm_dirty_ring.h"),
    TreeProbe(
        "HAVE_RING_PUSH",
        r"^void kvm_dirty_ring_push\(struct kvm_vcpu \*\w+, u32 \w+, u64 \w+\);",
        "include/linux/kvm_dirty_ring.h",
    ),
    # Ageing does not flush the TLB.
    _selected("ELIDES_AGED_FLUSH", "KVM_ELIDE_TLB_FLUSH_IF_YOUNG", "ageing without a flush"),
    # Ageing does not take the mmu lock.
    _selected("AGES_WITHOUT_LOCK", "KVM_MMU_LOCKLESS_AGING", "ageing without the mmu lock"),
    # Slots whose memory is a guest_memfd.
    _selected("HAVE_GUEST_MEMFD", "KVM_GUEST_MEMFD", "guest_memfd"),
    TreeProbe("HAVE_GMEM_MOUNT", r"struct vfsmount \*kvm_gmem_mnt", GUEST_MEMFD),
    TreeProbe("HAVE_MAPPING_LIST", r"struct list_head\s+i_private_list;", "include/linux/fs.h"),
    # Guest memory can be mapped before the guest touches it (KVM_PRE_FAULT_MEMORY), with functions that native/ knows.
    _selected("HAVE_PRE_FAULT", "KVM_GENERIC_PRE_FAULT_MEMORY", "pre-faulting (KVM_PRE_FAULT_MEMORY)"),
    TreeProbe(
        "HAVE_PRE_FAULT_RANGE",
        r"^static int kvm_vcpu_pre_fault_memory\(struct kvm_vcpu \*\w+,\s+struct kvm_pre_fault_memory \*\w+\)",
        KVM_MAIN,
    ),
    TreeProbe(
        "HAVE_PRE_FAULT_PAGE",
        r"^long kvm_arch_vcpu_pre_fault_memory\(struct kvm_vcpu \*\w+,\s+struct kvm_pre_fault_memory \*\w+\);",
        "include/linux/kvm_host.h",
    ),
    # Physical addresses of 52 bits with 4K and 16K pages. KVM had them before the host, which maps its memory.
    TreeProbe(
        "HAVE_LPA2",
        r"^config ARM64_PA_BITS_52\n(?:(?!^config ).*\n)*?\s+depends on ARM64_64K_PAGES \|\|",
        f"{ARM}/Kconfig",
        "52-bit physical addresses (LPA2)",
    ),
    # The tables of a VM are freed range by range, over its whole address space.
    TreeProbe(
        "DESTROYS_BY_RANGE",
        r"\bkvm_pgtable_stage2_destroy_range\(",
        _PGTABLE_HEADER,
        "tables destroyed range by range",
    ),
    TreeProbe("HAVE_ACTIVE_COUNT", r"\bmn_active_invalidate_count;", "include/linux/kvm_host.h"),
    # Place of a VM's VTCR_EL2.
    TreeProbe("HAVE_MMU_VTCR", r"^struct kvm_s2_mmu \{\n(?:(?!^\};).*\n)*?\s+u64\s+vtcr;", _KVM_HOST),
    # Nested virtualisation: vCPUs with EL2, and their further tables.
    TreeProbe("HAVE_NESTED", r"\bkvm_vcpu_load_hw_mmu\(", f"{ARM}/include/asm/kvm_nested.h", "nested virtualisation"),
    TreeProbe("HAVE_VM_ID_REG", r"\b__vm_id_reg\(", _KVM_HOST),
    TreeProbe("HAVE_DESTROY_NESTED", r"\bkvm_destroy_nested\(", f"{ARM}/include/asm/kvm_nested.h"),
    # Memory tags (MTE): how user space requests them, and which areas may have them.
    TreeProbe("HAVE_MTE", r"#define kvm_has_mte\(", _KVM_HOST, "memory tagging (MTE)"),
    TreeProbe("HAVE_MTE_FLAG", r"#define KVM_ARCH_FLAG_MTE_ENABLED", _KVM_HOST),
    # CPUs on which the size of a live mapping may change without a break.
    TreeProbe("HAVE_BBM", r"^HAS_BBML(?:3|2_NOABORT)$", f"{ARM}/tools/cpucaps", "FEAT_BBM"),
    TreeProbe("HAVE_FLAG_BITS_OF_FILE", r"arch_calc_vm_flag_bits\(struct file \*", f"{ARM}/include/asm/mman.h"),
    TreeProbe("HAVE_TAGS_OF_HUGETLB", r"MAP_ANONYMOUS \| MAP_HUGETLB", f"{ARM}/include/asm/mman.h"),
    TreeProbe("HAVE_HEAD_OF_ORDER", r"set_compound_head\([^)]*unsigned int order", "include/linux/page-flags.h"),
    TreeProbe("HAVE_SET_COMPOUND_ORDER", r"inline void set_compound_order\(", "include/linux/mm.h"),
    TreeProbe("HAVE_FOLIO_ORDER", r"unsigned char _folio_order;", "include/linux/mm_types.h"),
    TreeProbe("HAVE_HUGETLB_FLAG", r"PG_hugetlb = PG_active", "include/linux/page-flags.h"),
    TreeProbe("HAVE_HUGETLB_TYPE", r"^FOLIO_TYPE_OPS\(hugetlb,", "include/linux/page-flags.h"),
    TreeProbe("HAVE_FOLIO_NR_PAGES", r"\bunsigned int _folio_nr_pages;", "include/linux/mm_types.h"),
    # Tables of VMs are counted (SecPageTables in /proc/meminfo).
    TreeProbe(
        "HAVE_SECONDARY_PAGETABLE",
        r"\bNR_SECONDARY_PAGETABLE\b",
        "include/linux/mmzone.h",
        "page-table accounting (SecPageTables)",
    ),
    # Blocks can be split when logging begins.
    TreeProbe("HAVE_SPLIT_CHUNK", r"split_page_chunk_size", _KVM_HOST, "eager page splitting"),
)


# Names of members, by the code of the tree that reads them.
MEMBERS: Final = (
    MemberProbe("SEQ_MEMBER", r"\bkvm->(\w+)\)? != mmu_seq\b", "include/linux/kvm_host.h", "mmu_invalidate_seq"),
    MemberProbe(
        "COUNT_MEMBER",
        r"_retry\(struct kvm \*kvm, unsigned long mmu_seq\)\n\{\n"
        r"(?:(?!^\}).*\n)*?\s+if \(unlikely\((?:READ_ONCE\()?kvm->(\w+)\)",
        "include/linux/kvm_host.h",
        "mmu_invalidate_in_progress",
    ),
)


def members(source: TreeSource) -> dict[str, str]:
    """Return the names that the members of `MEMBERS` have in a tree, keyed by the macros for them."""
    names: dict[str, str] = {}
    for probe in MEMBERS:
        match = re.search(probe.pattern, source.text(probe.path), re.MULTILINE)
        names[probe.name] = match[1] if match else probe.name_otherwise
    return names


def found(source: TreeSource) -> list[str]:
    """Return the names of the probes that match a tree."""
    return [probe.name for probe in PROBES if source.declares(probe.pattern, probe.path)]


def optional(names: Collection[str]) -> list[str]:
    """Return the parts of KVM that a tree has and some trees lack, under the names that users know.

    :param names: of the probes that match the tree
    """
    return [probe.feature for probe in PROBES if probe.feature and probe.name in names]
