# SPDX-License-Identifier: GPL-2.0-only
"""Mistakes planted in copies of a tree are found by the right checker, whose finding names the C function."""

import re
from pathlib import Path
from typing import Final, NamedTuple

import pytest

import candidate
from candidate.tree import PREFIX
from candidate.tree.building.source import KVM_MAIN, MMU, PGTABLE
from fuzz.generation.generator import Generator
from fuzz.judging.differential import REGRESSION, Differential
from fuzz.reports.calls import places_in

from .trees import around, changed, real_tree

# Upper bound on the programs that are judged until one shows the mistake.
PROGRAMS: Final = 400
SEED: Final = 1


class Planted(NamedTuple):
    """A mistake: file, text, replacement, checker, and the contents of the finding.

    *function*: the C function of the event; *code*: text of the named line; *chain*: part of the call chain
    """

    file: str
    text: str
    instead: str
    checker: str
    function: str
    code: str
    chain: str


# The place where a fault makes an entry; the mistake itself comes earlier.
MAKES: Final = ("stage2_make_pte", "smp_store_release(ctx->ptep, new)", "kvm_handle_guest_abort > user_mem_abort > ")

PLANTED: Final = {
    "a put dropped": Planted(
        PGTABLE,
        "\tmm_ops->put_page(ctx->ptep);\n}\n\nstatic bool stage2_pte_cacheable",
        "}\n\nstatic bool stage2_pte_cacheable",
        "refcount",
        *("kvm_clear_pte", "WRITE_ONCE(*ptep, 0)", "stage2_unmap_walker > stage2_unmap_put_pte > kvm_clear_pte"),
    ),
    "a flush dropped from table to block": Planted(
        PGTABLE, "\t\t\tkvm_tlb_flush_vmid_range(mmu, addr, size);\n", "", "bbm", *MAKES
    ),
    "a flush before the store": Planted(
        PGTABLE,
        "\t\tkvm_clear_pte(ctx->ptep);\n\n\t\tif (kvm_pte_table",
        "\t\tkvm_call_hyp(__kvm_tlb_flush_vmid, mmu);\n\t\tkvm_clear_pte(ctx->ptep);\n"
        "\t\treturn mm_ops->put_page(ctx->ptep);\n\n\t\tif (kvm_pte_table",
        "tlb",
        *("kvm_clear_pte", "WRITE_ONCE(*ptep, 0)", "stage2_unmap_walker > stage2_unmap_put_pte > kvm_clear_pte"),
    ),
    "a wrong level hint": Planted(
        PGTABLE,
        "\t\t\tkvm_call_hyp(__kvm_tlb_flush_vmid_ipa, mmu,\n\t\t\t\t     ctx->addr, ctx->level);",
        "\t\t\tkvm_call_hyp(__kvm_tlb_flush_vmid_ipa, mmu,\n\t\t\t\t     ctx->addr, 3);",
        "bbm",
        *MAKES,
    ),
    "a clean dropped": Planted(
        PGTABLE,
        "mm_ops->dcache_clean_inval_poc &&\n\t    stage2_pte_cacheable(pgt, new))",
        "mm_ops->dcache_clean_inval_poc &&\n\t    0)",
        "dcache",
        *MAKES,
    ),
    "an I-cache invalidation dropped": Planted(
        PGTABLE,
        "mm_ops->icache_inval_pou &&\n\t    stage2_pte_executable(new))",
        "mm_ops->icache_inval_pou &&\n\t    0)",
        "icache",
        *MAKES,
    ),
    "a wrong condition in user_mem_abort": Planted(
        MMU, "} else if (logging_active && !write_fault) {", "} else if (logging_active) {", "progress", *MAKES
    ),
    "the mmap lock kept": Planted(
        MMU,
        'for hva 0x%lx\\n", hva);\n\t\tmmap_read_unlock(current->mm);',
        'for hva 0x%lx\\n", hva);',
        "locking",
        *("user_mem_abort", "mmap_read_lock(current->mm)", "kvm_handle_guest_abort > user_mem_abort > mmap_read_lock"),
    ),
    "a top-up dropped": Planted(
        MMU,
        "\tif (!fault_is_perm || (logging_active && write_fault)) {",
        "\tif (logging_active && write_fault) {",
        "memcache",
        *(
            "stage2_memcache_zalloc_page",
            "kvm_mmu_memory_cache_alloc(mc)",
            "stage2_map_walker > stage2_map_walk_leaf > ",
        ),
    ),
    "a grace period dropped": Planted(
        MMU,
        "\tcall_rcu(&page->rcu_head, stage2_free_unlinked_table_rcu_cb);",
        "\tstage2_free_unlinked_table_rcu_cb(&page->rcu_head);",
        "lifetime",
        *("kvm_s2_put_page", "put_page(p)", "stage2_free_unlinked_table > stage2_free_unlinked_table_rcu_cb > "),
    ),
    "an off-by-one": Planted(
        MMU,
        "phys_addr_t end = (base_gfn + __fls(mask) + 1) << PAGE_SHIFT;",
        "phys_addr_t end = (base_gfn + __fls(mask)) << PAGE_SHIFT;",
        "translation",
        # The page stays writable after its bit was taken there.
        *("kvm_get_dirty_log_protect", "mask = xchg(&dirty_bitmap[i], 0);", "kvm_vm_ioctl_get_dirty_log > "),
    ),
}


def test_where_maps_differ(tmp_path: Path) -> None:
    original = real_tree("6.12")
    source = (original / MMU).read_text()
    text = "\tif (writable)\n\t\tprot |= KVM_PGTABLE_PROT_W;"
    assert text in source
    changes = {MMU: source.replace(text, text.replace("(writable)", "(writable && write_fault)"))}
    copy = changed(original, tmp_path / "tree", changes)
    differential = Differential(candidate.get(f"{PREFIX}{original}"), candidate.get(f"{PREFIX}{copy}"))
    generator = Generator(SEED)
    for _ in range(PROGRAMS):
        for each in differential.run(generator.next()).findings:
            if each.signature == "map":
                place = r"written at stage2_make_pte \(pgtable\.c:\d+\), by kvm_handle_guest_abort > user_mem_abort > "
                assert re.search(f"; reference: {place}.*; candidate: {place}", each.reason), each.reason
                return
    pytest.fail("no difference")


def names(reason: str, planted: Planted, copy: Path) -> bool:
    """Return whether a reason names the function, a line with the code, and the call chain."""
    for function, file, line, calls in places_in(reason):
        lines = (copy / {"pgtable.c": PGTABLE, "mmu.c": MMU, "kvm_main.c": KVM_MAIN}[file]).read_text().splitlines()
        if function == planted.function and planted.code in lines[int(line) - 1] and planted.chain in " > ".join(calls):
            return True
    return False


@pytest.mark.parametrize("mistake", PLANTED)
def test_planted(mistake: str, tmp_path: Path) -> None:
    original = real_tree("6.12")
    planted = PLANTED[mistake]
    before, _, after = around(original / planted.file, planted.text)
    copy = changed(original, tmp_path / "tree", {planted.file: before + planted.instead + after})
    differential = Differential(candidate.get(f"{PREFIX}{original}"), candidate.get(f"{PREFIX}{copy}"))
    generator = Generator(SEED)
    found: list[str] = []
    for _ in range(PROGRAMS):
        worse = [each for each in differential.run(generator.next()).findings if each.kind == REGRESSION]
        mine = [each.reason for each in worse if each.signature.startswith(f"{planted.checker}: ")]
        if any(names(each, planted, copy) for each in mine):
            return
        # A direct call reaches the same place by another call chain.
        assert all("kvm_pgtable_stage2_map" in each and "user_mem_abort" not in each for each in mine), mine
        found += mine
    pytest.fail(f"no regression of {planted.checker} on the way of {planted.chain} in {PROGRAMS} programs: {found}")
