# SPDX-License-Identifier: GPL-2.0-only
"""The ports contain every function of their C files, under its name and in its place."""

import ast
from pathlib import Path

import pytest

REFERENCE = Path(__file__).parents[3] / "reference"

# The functions of arch/arm64/kvm/hyp/pgtable.c, blob 4d177ce1d536, in the file's order.
PGTABLE_C = """
    kvm_granule_shift kvm_granule_size kvm_block_mapping_supported kvm_pgtable_idx __kvm_pgd_page_idx
    kvm_pgd_page_idx kvm_pgd_pages kvm_pte_valid kvm_pte_table kvm_pte_to_phys kvm_phys_to_pte kvm_pte_follow
    kvm_set_invalid_pte kvm_set_table_pte kvm_init_valid_leaf_pte kvm_pgtable_visitor_cb __kvm_pgtable_visit
    __kvm_pgtable_walk _kvm_pgtable_walk kvm_pgtable_walk hyp_map_set_prot_attr hyp_map_walker_try_leaf
    hyp_map_walker kvm_pgtable_hyp_map kvm_pgtable_hyp_init hyp_free_walker kvm_pgtable_hyp_destroy
    stage2_map_set_prot_attr stage2_map_walker_try_leaf stage2_map_walk_table_pre stage2_map_walk_leaf
    stage2_map_walk_table_post stage2_map_walker kvm_pgtable_stage2_map stage2_flush_dcache stage2_pte_cacheable
    stage2_unmap_walker kvm_pgtable_stage2_unmap stage2_attr_walker stage2_update_leaf_attrs
    kvm_pgtable_stage2_wrprotect kvm_pgtable_stage2_mkyoung kvm_pgtable_stage2_mkold kvm_pgtable_stage2_is_young
    kvm_pgtable_stage2_relax_perms stage2_flush_walker kvm_pgtable_stage2_flush kvm_pgtable_stage2_init
    stage2_free_walker kvm_pgtable_stage2_destroy
""".split()

# The stage-2 functions of arch/arm64/kvm/mmu.c, blob 8711894db8c2, in the file's order.
MMU_C = """
    stage2_apply_range memslot_is_logging kvm_flush_remote_tlbs kvm_is_device_pfn __unmap_stage2_range
    unmap_stage2_range stage2_flush_memslot stage2_flush_vm kvm_init_stage2_mmu stage2_unmap_memslot stage2_unmap_vm
    kvm_free_stage2_pgd kvm_phys_addr_ioremap stage2_wp_range kvm_mmu_wp_memory_region
    kvm_mmu_write_protect_pt_masked kvm_arch_mmu_enable_log_dirty_pt_masked clean_dcache_guest_page
    invalidate_icache_guest_page kvm_send_hwpoison_signal fault_supports_stage2_huge_mapping
    transparent_hugepage_adjust user_mem_abort handle_access_fault kvm_handle_guest_abort handle_hva_to_gpa
    kvm_unmap_hva_handler kvm_unmap_hva_range kvm_set_spte_handler kvm_set_spte_hva kvm_age_hva_handler
    kvm_test_age_hva_handler kvm_age_hva kvm_test_age_hva kvm_arch_commit_memory_region
    kvm_arch_prepare_memory_region kvm_arch_flush_shadow_all kvm_arch_flush_shadow_memslot kvm_set_way_flush
    kvm_toggle_cache
""".split()

# The functions of arch/arm64/kvm/hyp/{vhe,nvhe}/tlb.c, v5.12.9, in the files' order.
TLB_C = """
    __tlb_switch_to_guest __tlb_switch_to_host __kvm_tlb_flush_vmid_ipa __kvm_tlb_flush_vmid __kvm_flush_cpu_context
    __kvm_flush_vm_context
""".split()

# Methods that are no functions of the C file: macros, inline functions of headers, and one split function.
PGTABLE_OURS = {"set_up", "dismantle", "load", "run_alone", "PAGE_S2_MEMATTR"}
MMU_OURS = {
    "set_up",
    "kvm_mmu_cache_min_pages",
    "stage2_pgd_addr_end",
    "stage2_apply_range_resched",
    "__clean_dcache_guest_page",
    "__invalidate_icache_guest_page",
    "_abort_in_slot",
}
# An inline function of the header, and functions of later kernels.
TLB_OURS = {"__load_guest_stage2", "__kvm_tlb_flush_vmid_ipa_nsh", "__kvm_tlb_flush_vmid_range"}
PORTS = [("Pgtable", PGTABLE_C, PGTABLE_OURS), ("Mmu", MMU_C, MMU_OURS), ("AnyTlb", TLB_C, TLB_OURS)]


def functions(port: str) -> list[str]:
    """Return the C names of a port's methods, in the order of the source."""
    tree = ast.parse((REFERENCE / f"{port.removeprefix('Any').lower()}.py").read_text())
    (body,) = [node.body for node in tree.body if isinstance(node, ast.ClassDef) and node.name == port]
    names = [node.name for node in body if isinstance(node, ast.FunctionDef) and node.name != "__init__"]
    return [name.removesuffix("__") if name.startswith("__") else name for name in names]


@pytest.mark.parametrize(("port", "c_file", "ours"), PORTS)
def test_every_function_in_order(port: str, c_file: list[str], ours: set[str]) -> None:
    assert [name for name in functions(port) if name not in ours] == c_file


@pytest.mark.parametrize(("port", "ours"), [(port, ours) for port, _, ours in PORTS])
def test_listed_additions_exist(port: str, ours: set[str]) -> None:
    assert ours <= set(functions(port))
