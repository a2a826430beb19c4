# SPDX-License-Identifier: GPL-2.0-only
"""Mistakes planted in copies of a tree are told from the tree itself: by the right checker, and with the C function."""

from pathlib import Path
from typing import Final, NamedTuple

import pytest

import candidate
from candidate.tree import PREFIX
from candidate.tree.building.source import MMU, PGTABLE
from fuzz.generation.generator import Generator
from fuzz.judging.differential import REGRESSION, Differential

from .trees import changed, real_tree

# Programs that are judged until one shows the mistake; each seed of its own must.
PROGRAMS: Final = 400
SEED: Final = 1


class Planted(NamedTuple):
    """A mistake: file, text, what stands there instead, checker, C function that the finding names."""

    file: str
    text: str
    instead: str
    checker: str
    function: str


PLANTED: Final = {
    "a put dropped": Planted(
        PGTABLE,
        "\tmm_ops->put_page(ctx->ptep);\n}\n\nstatic bool stage2_pte_cacheable",
        "}\n\nstatic bool stage2_pte_cacheable",
        "refcount",
        "stage2_unmap_walker",
    ),
    "a flush dropped from table to block": Planted(
        PGTABLE, "\t\t\tkvm_tlb_flush_vmid_range(mmu, addr, size);\n", "", "bbm", "stage2_make_pte"
    ),
    "a flush before the store": Planted(
        PGTABLE,
        "\t\tkvm_clear_pte(ctx->ptep);\n\n\t\tif (kvm_pte_table",
        "\t\tkvm_call_hyp(__kvm_tlb_flush_vmid, mmu);\n\t\tkvm_clear_pte(ctx->ptep);\n"
        "\t\treturn mm_ops->put_page(ctx->ptep);\n\n\t\tif (kvm_pte_table",
        "tlb",
        "stage2_unmap_walker",
    ),
    "a wrong level hint": Planted(
        PGTABLE,
        "\t\t\tkvm_call_hyp(__kvm_tlb_flush_vmid_ipa, mmu,\n\t\t\t\t     ctx->addr, ctx->level);",
        "\t\t\tkvm_call_hyp(__kvm_tlb_flush_vmid_ipa, mmu,\n\t\t\t\t     ctx->addr, 3);",
        "bbm",
        "stage2_make_pte",
    ),
    "a clean dropped": Planted(
        PGTABLE,
        "mm_ops->dcache_clean_inval_poc &&\n\t    stage2_pte_cacheable(pgt, new))",
        "mm_ops->dcache_clean_inval_poc &&\n\t    0)",
        "dcache",
        "stage2_make_pte",
    ),
    "an I-cache invalidation dropped": Planted(
        PGTABLE,
        "mm_ops->icache_inval_pou &&\n\t    stage2_pte_executable(new))",
        "mm_ops->icache_inval_pou &&\n\t    0)",
        "icache",
        "stage2_make_pte",
    ),
    "a wrong condition in user_mem_abort": Planted(
        MMU, "} else if (logging_active && !write_fault) {", "} else if (logging_active) {", "progress", ""
    ),
    "the mmap lock kept": Planted(
        MMU,
        'for hva 0x%lx\\n", hva);\n\t\tmmap_read_unlock(current->mm);',
        'for hva 0x%lx\\n", hva);',
        "locking",
        "kvm_handle_guest_abort",
    ),
    "a top-up dropped": Planted(
        MMU,
        "\tif (!fault_is_perm || (logging_active && write_fault)) {",
        "\tif (logging_active && write_fault) {",
        "memcache",
        "stage2_memcache_zalloc_page",
    ),
    "an off-by-one": Planted(
        MMU,
        "phys_addr_t end = (base_gfn + __fls(mask) + 1) << PAGE_SHIFT;",
        "phys_addr_t end = (base_gfn + __fls(mask)) << PAGE_SHIFT;",
        "translation",
        "",
    ),
}


@pytest.mark.parametrize("mistake", PLANTED)
def test_planted(mistake: str, tmp_path: Path) -> None:
    original = real_tree("6.12")
    planted = PLANTED[mistake]
    source = (original / planted.file).read_text()
    assert planted.text in source
    copy = changed(original, tmp_path / "tree", {planted.file: source.replace(planted.text, planted.instead, 1)})
    differential = Differential(candidate.get(f"{PREFIX}{original}"), candidate.get(f"{PREFIX}{copy}"))
    generator = Generator(SEED)
    for _ in range(PROGRAMS):
        worse = [each for each in differential.run(generator.next()).findings if each.kind == REGRESSION]
        mine = [each for each in worse if each.signature.startswith(f"{planted.checker}: ")]
        if mine:
            assert any(planted.function in f"{each.signature} {each.reason}" for each in mine), mine
            return
    pytest.fail(f"no regression of {planted.checker} in {PROGRAMS} programs")
