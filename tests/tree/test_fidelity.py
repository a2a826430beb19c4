# SPDX-License-Identifier: GPL-2.0-only
"""A compiled tree and the port of the same version: the same events, in the same order."""

from pathlib import Path
from typing import Final

import pytest

from candidate.tree.building.source import KVM_MAIN, MMU, PGTABLE
from fuzz.generation.capabilities import Offers
from fuzz.generation.generator import Generator
from fuzz.language.program import has_blocks
from fuzz.language.text import load, parse

from .fidelity import Stream, difference
from .trees import needs_optional_features, planted, version

CORPUS = Path(__file__).parents[2] / "corpus"
# All programs except those that need a feature that neither version has.
FILES = [
    path
    for path in sorted([*CORPUS.glob("seeds/*.s2"), *CORPUS.glob("regressions/*.s2")])
    if not needs_optional_features(load(path))
]
PORT = "v5.12.9"
# Each seed, with `PROGRAMS` random programs, is a test of its own, so that xdist can distribute them.
SEEDS = range(100, 104)
PROGRAMS = 15


@pytest.fixture(scope="module")
def tree() -> str:
    """Return the tree that has a port."""
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


# Two vCPUs access the same pages; {} stands for the switches.
BLOCKS: Final = {
    "map": "slot a size=4M backing=anon\npar\ncpu0 write a+0\ncpu1 write a+4K\n{}end\n",
    "map one page": "slot a size=4M backing=anon\npar\ncpu0 write a+0\ncpu1 fetch a+0\n{}end\n",
    "map blocks": "slot a size=4M backing=thp\npar\ncpu0 write a+0\ncpu1 read a+2M\ncpu1 write a+0\n{}end\n",
    "relax": (
        "slot a size=2M backing=anon log=on\ncpu0 read a+0\npar\ncpu0 write a+0\ncpu1 write a+0\n{}end\nlog a get\n"
    ),
    "split": "slot a size=2M backing=thp\ncpu0 write a+0\nlog a on\npar\ncpu0 write a+4K\ncpu1 write a+0\n{}end\n",
    "coalesce": (
        "slot a size=2M backing=thp log=on\ncpu0 write a+0\ncpu0 write a+4K\nlog a off\npar\ncpu0 write a+4K\n"
        "cpu1 write a+8K\n{}end\n"
    ),
    "copy on write": (
        "slot a size=2M backing=anon\ncpu0 read a+0\nhost share a+0 8K\npar\ncpu0 write a+4K\ncpu1 write a+0\n{}end\n"
    ),
}
PLACES: Final = (
    *(f"{when} {point} {count}" for when in ("before", "after") for point in ("store", "flush") for count in (1, 2)),
    *(f"{when} {point} {count}" for when in ("before", "after") for point in ("lock", "unlock") for count in (1, 2, 3)),
    *(f"{when} {point} 1" for when in ("before", "after") for point in ("clean", "lookup", "cmpxchg")),
    # All loads of a fault that maps a page, and some of the loads below a table that a block replaces.
    *(f"after load {count}" for count in (*range(1, 16), 900, 998, 999)),
)


@pytest.mark.parametrize("name", BLOCKS)
def test_actors(name: str, tree: str) -> None:
    """Both reach the anchors and wait for locks at the same places, and have the same turns."""
    turns = 0
    for first in ("", "switch cpu0 to cpu1 after fault 1\n"):
        for place in ("", *PLACES):
            switch = f"switch cpu1 to cpu0 {place}\n" if place else ""
            program = parse("s2fuzz 1\nvm\n" + BLOCKS[name].format(first + switch))
            ported, compiled = Stream(PORT, program), Stream(tree, program)
            assert (place, difference(ported, compiled)) == (place, "")
            turns += sum(event[0] == "turn" for _, _, events in ported.steps for event in events)
    assert turns > 100


@pytest.mark.parametrize("seed", SEEDS)
def test_random_actors(seed: int, tree: str) -> None:
    generator = Generator(seed, offers=Offers(par=True))
    compared = 0
    while compared < PROGRAMS:
        program = generator.next()
        if not has_blocks(program):
            continue
        ported, compiled = Stream(PORT, program), Stream(tree, program)
        assert compiled.refused == ""
        assert difference(ported, compiled) == ""
        compared += 1


FLUSHES = "kvm_pgtable_walk(pgt, addr, size, &walker);\n}\n\nint kvm_pgtable_stage2_init"
# For each kind of compared event, one change in the tree: file, text, replacement.
PLANTED = {
    "plain store": (PGTABLE, "\t\tWRITE_ONCE(*ptep, pte);", "\t\t*ptep = pte;"),
    # After a walk that did something, since consecutive empty walks are reported as one.
    "walk": (
        PGTABLE,
        f"return {FLUSHES}",
        f"return {FLUSHES.replace(';', ' ?: kvm_pgtable_walk(pgt, addr, 0, &walker);', 1)}",
    ),
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
