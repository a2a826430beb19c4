# SPDX-License-Identifier: GPL-2.0-only
"""A compiled tree and the port of the same version: the same events, in the same order."""

from pathlib import Path

import pytest

from candidate.tree.building.source import KVM_MAIN, MMU, PGTABLE
from fuzz.generation.generator import Generator
from fuzz.language.text import load

from .fidelity import Stream, difference
from .trees import asks_for_more, planted, version

CORPUS = Path(__file__).parents[2] / "corpus"
# All but those that ask for what neither has.
FILES = [
    path
    for path in sorted([*CORPUS.glob("seeds/*.s2"), *CORPUS.glob("regressions/*.s2")])
    if not asks_for_more(load(path))
]
PORT = "v5.12.9"
# Random programs, some for each of the tests that xdist may spread.
SEEDS = range(100, 104)
PROGRAMS = 15


@pytest.fixture(scope="module")
def tree() -> str:
    """The tree of which there is a port."""
    return version("5.12.9")


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_corpus(file: Path, tree: str) -> None:
    program = load(file)
    ported, compiled = Stream(PORT, program), Stream(tree, program)
    assert compiled.refused == ""
    assert difference(ported, compiled) == ""
    assert len(ported) > 0


@pytest.mark.parametrize("seed", SEEDS)
def test_random(seed: int, tree: str) -> None:
    generator = Generator(seed)
    for _ in range(PROGRAMS):
        program = generator.next()
        ported, compiled = Stream(PORT, program), Stream(tree, program)
        assert compiled.refused == ""
        assert difference(ported, compiled) == ""


FLUSHES = "kvm_pgtable_walk(pgt, addr, size, &walker);\n}\n\nint kvm_pgtable_stage2_init"
# Of each kind of event that is compared one change in the tree: file, text, what stands there instead.
PLANTED = {
    "plain store": (PGTABLE, "\t\tWRITE_ONCE(*ptep, pte);", "\t\t*ptep = pte;"),
    "walk": (PGTABLE, f"return {FLUSHES}", f"return kvm_pgtable_walk(pgt, addr, 0, &walker) ?: {FLUSHES}"),
    "store": (
        PGTABLE,
        "\tsmp_store_release(ptep, new);\n\tget_page(page);",
        "\tWRITE_ONCE(*ptep, new);\n\tget_page(page);",
    ),
    "flush": (PGTABLE, "\t\tkvm_call_hyp(__kvm_tlb_flush_vmid_ipa, pgt->mmu, addr, level);", "\t\tbarrier();"),
    "barrier": (PGTABLE, "\tdsb(ishst);\n\treturn ret;", "\treturn ret;"),
    "cache operation": (PGTABLE, "\t__flush_dcache_area(addr, size);", "\tbarrier();"),
    "table page": (PGTABLE, "\tsmp_store_release(ptep, new);\n\tget_page(page);", "\tsmp_store_release(ptep, new);"),
    "lock": (MMU, "\t\tspin_unlock(&kvm->mmu_lock);\n\t\tif (ret)", "\t\tif (ret)"),
    "frame released": (MMU, "\tkvm_release_pfn_clean(pfn);\n\treturn ret", "\treturn ret"),
    "frame marked": (MMU, "\t\tkvm_set_pfn_dirty(pfn);\n", ""),
    "notifier": (KVM_MAIN, "\tkvm->mmu_notifier_seq++;\n\tsmp_wmb();", "\tsmp_wmb();"),
    "result": (MMU, "return ret != -EAGAIN ? ret : 0;", "return -EFAULT;"),
}


@pytest.mark.parametrize("kind", PLANTED)
def test_planted(kind: str, tmp_path: Path) -> None:
    copy = planted("5.12.9", tmp_path / "tree", *PLANTED[kind])
    for file in FILES:
        program = load(file)
        if difference(Stream(PORT, program), Stream(copy, program)):
            return
    pytest.fail(f"no program of the corpus shows the change: {kind}")
