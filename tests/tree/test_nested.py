# SPDX-License-Identifier: GPL-2.0-only
"""vCPUs at EL1 have tables of their own: all rules hold for them, and mistakes in keeping them are found."""

from pathlib import Path
from typing import Final, NamedTuple

import pytest

import candidate
from fuzz.execution.executor import Executor
from fuzz.judging.differential import CURED, Differential
from fuzz.language.text import load, parse

from ..unit.block_run import Run
from .runs import violations
from .trees import planted, version

TREES: Final = ("6.12", "7.3")
MMU: Final = "arch/arm64/kvm/mmu.c"
NESTED: Final = "arch/arm64/kvm/nested.c"
ROOT: Final = Path(__file__).parents[2]
HEAD: Final = "s2fuzz 1\nvm nested=on\nslot a size=4M backing=thp\ncpu0 read a+0\ncpu1 write a+0\n"
# The VM has no leaf of the page.
ALONE: Final = "s2fuzz 1\nvm nested=on\nslot a size=4M backing=thp\ncpu1 write a+0\n"
LOGGED: Final = "s2fuzz 1\nvm nested=on\nslot a size=4M backing=thp log=on\ncpu1 write a+0\nlog a get\ncpu1 write a+0\n"
BESIDE: Final = (
    f"{HEAD}par\n  cpu1 write a+4K\n  cpu0 read a+4K\n  host0 discard a+0 4K\n"
    "  switch host0 to cpu1 before lock 1\n  switch cpu1 to host0 after store 1\nend\ncpu1 read a+0\n"
)
# The first block of the slot is one of the guest hypervisor's, the second is a table of pages.
STAGE2: Final = (
    "s2fuzz 1\nvm granule={} nested=on stage2=on\nslot a ipa=4G size={} backing=thp\nhost write a+0 {}\n"
    "cpu1 write a+0\ncpu1 read a+{}\nhost migrate a+0 {}\ncpu1 fetch a+0\n"
)
SIZES: Final = {"4K": ("4M", "2M"), "16K": ("64M", "32M")}


class Planted(NamedTuple):
    """A mistake: where it is, its text and what is there instead; a program, and what it shows."""

    path: str
    text: str
    instead: str
    program: str
    shows: str


MISTAKES: Final = {
    "notifiers forget them": Planted(
        *(MMU, "\tkvm_nested_s2_unmap(kvm, range->may_block);\n", ""),
        *(f"{HEAD}host migrate a+0 4K\n", "translation: stage2_unmap_walker: still mapped after invalidation L2"),
    ),
    "their caches are not cleaned": Planted(
        *(MMU, "\tkvm_nested_s2_flush(kvm);\n", ""),
        *(f"{ALONE}cpu1 cache on\n", "dcache: stage2_flush_walker: flushed, not cleaned L2"),
    ),
    "they are not freed": Planted(
        *(NESTED, "\t\t\tkvm_free_stage2_pgd(mmu);\n", "\t\t\tkvm_init_nested_s2_mmu(mmu);\n"),
        *(HEAD, "leak: kvm_free_stage2_pgd: table pages left"),
    ),
    "the VM's tables are unmapped twice": Planted(
        *(NESTED, "kvm_stage2_unmap_range(mmu, 0, kvm_phys_size(mmu), may_block)"),
        "kvm_stage2_unmap_range(&kvm->arch.mmu, 0, kvm_phys_size(&kvm->arch.mmu), may_block)",
        *(f"{HEAD}host migrate a+0 4K\n", "translation: stage2_unmap_walker: still mapped after invalidation L2"),
    ),
}


_INNER: Final = "s2fuzz 1\nvm nested=on stage2=on\nslot a ipa=4G size=4M backing=thp\nhost write a+0 4M\n"
STAGE2_MISTAKES: Final = {
    "leaves as large as the host's pages": Planted(
        *(MMU, "\t\tmax_map_size = min(kvm_s2_trans_size(s2fd->nested), max_map_size);\n", ""),
        *(f"{_INNER}cpu1 read a+2M\n", "translation: stage2_map_walker: larger than the guest hypervisor's leaf L2"),
    ),
    "the level is not recorded": Planted(
        *(MMU, "\treturn prot | kvm_encode_nested_level(nested);\n", "\treturn prot;\n"),
        *(f"{_INNER}cpu1 read a+0\n", "map"),
    ),
    "the address of the next page": Planted(
        *(MMU, "\treturn ALIGN_DOWN(ipa, s2vi->vma_pagesize) >> PAGE_SHIFT;\n"),
        "\treturn (ALIGN_DOWN(ipa, s2vi->vma_pagesize) >> PAGE_SHIFT) + 1;\n",
        *(f"{_INNER}cpu1 read a+2M\n", "isolation: stage2_map_walker: access to a frame not owned"),
    ),
    "pages as large as the guest hypervisor's": Planted(
        *(NESTED, "\tout->block_size = 1UL << ((3 - level) * stride + wi->pgshift);\n"),
        "\tout->block_size = PAGE_SIZE;\n",
        *(f"{_INNER}cpu1 read a+0\n", "map"),
    ),
    "rights of the guest hypervisor the other way round": Planted(
        *(MMU, "\tif (!kvm_s2_trans_writable(nested))\n", "\tif (kvm_s2_trans_writable(nested))\n"),
        *(f"{_INNER}cpu1 write a+0\n", "progress: "),
    ),
}


@pytest.mark.parametrize("tree", TREES)
def test_right_code_breaks_no_rule(tree: str) -> None:
    assert violations(version(tree), load(ROOT / "corpus" / "seeds" / "nested.s2")) == []
    assert violations(version(tree), load(ROOT / "corpus" / "seeds" / "nested-stage2.s2")) == []
    assert violations(version(tree), parse(BESIDE)) == []


@pytest.mark.parametrize("tree", TREES)
def test_accesses_at_el1_use_other_tables(tree: str) -> None:
    program = parse(HEAD)
    executor = Executor(candidate.get(version(tree)), program)
    assert executor.create() == []
    for at in range(len(program.operations)):
        assert executor.step(at)[1] == []
    el2, el1 = (list(shadow.leaves_in(1 << 30, 2 << 30)) for shadow in executor.checkers.shadows)
    assert el2 == el1 != []
    assert executor.side.guests[0].regime.root != executor.side.guests[1].regime.root
    executor.dismantle()


def stage2(granule: str) -> str:
    """Return a program with blocks and pages of the guest hypervisor's stage 2."""
    size, block = SIZES[granule]
    return STAGE2.format(granule, size, size, block, granule)


@pytest.mark.parametrize("granule", SIZES)
@pytest.mark.parametrize("tree", TREES)
def test_leaves_are_as_large_as_those_of_the_guest_hypervisor(tree: str, granule: str) -> None:
    program = parse(stage2(granule))
    executor = Executor(candidate.get(version(tree)), program)
    assert executor.create() == []
    levels = []
    for at in range(len(program.operations)):
        assert executor.step(at)[1] == []
        levels.append([level for level, *_ in executor.checkers.shadows[1].leaves_in(0, 8 << 30)])
    assert levels == [[], [2], [2, 3], [], [2]]
    executor.dismantle()


@pytest.mark.parametrize("tree", TREES)
def test_the_guest_hypervisors_leaf_limits_what_a_sigbus_reports(tree: str) -> None:
    text = "s2fuzz 1\nvm ipa=36 nested=on stage2=on\nslot a ipa=2G size=1G backing=hugetlb1g\ncpu1 read a+0\n"
    text += "host poison a+2M\ncpu1 write a+2M\ncpu1 write a+0\n"
    assert violations(version(tree), parse(text)) == []


@pytest.mark.parametrize("name", STAGE2_MISTAKES)
def test_mistakes_in_nested_translation_are_found(name: str, tmp_path: Path) -> None:
    path, text, instead, program, shows = STAGE2_MISTAKES[name]
    wrong = planted("7.3", tmp_path / "tree", path, text, instead)
    found = Differential(candidate.get(version("7.3")), candidate.get(wrong)).run(parse(program)).findings
    assert any(each.signature.startswith(shows) for each in found), [each.signature for each in found]


@pytest.mark.parametrize("name", MISTAKES)
@pytest.mark.parametrize("tree", TREES)
def test_mistakes_are_found(tree: str, name: str, tmp_path: Path) -> None:
    path, text, instead, program, shows = MISTAKES[name]
    found = violations(planted(tree, tmp_path / "tree", path, text, instead), parse(program))
    assert shows in found


@pytest.mark.parametrize("tree", TREES)
def test_a_forgotten_write_protection_is_found(tree: str, tmp_path: Path) -> None:
    forgotten = planted(tree, tmp_path / "tree", MMU, "\tkvm_nested_s2_wp(kvm);\n}", "}")
    found = violations(forgotten, parse(LOGGED))
    assert "translation: stage2_attr_walker: writable and not in the dirty log L3" in found


@pytest.mark.parametrize("tree", TREES)
def test_a_flush_of_their_vmid_cures_n1(tree: str, tmp_path: Path) -> None:
    protects = "\t\t\tkvm_stage2_wp_range(mmu, 0, kvm_phys_size(mmu));\n"
    flushes = f"{protects[:-1]} kvm_call_hyp(__kvm_tlb_flush_vmid, mmu);\n"
    cured = planted(tree, tmp_path / "tree", NESTED, protects, f"\t\t{{\n{flushes}\t\t}}\n")
    assert violations(cured, parse(LOGGED)) == []
    found = Differential(candidate.get(version(tree)), candidate.get(cured)).run(parse(LOGGED)).findings
    assert {(each.kind, each.known) for each in found} == {(CURED, "N1")}


@pytest.mark.parametrize("name", ["v5.14", "tree 6.1"])
def test_a_version_without_el2_has_no_verdict(name: str) -> None:
    run = Run(version(name[5:]) if name.startswith("tree ") else name, HEAD)
    assert "vCPUs with EL2 (nested=)" in run.refused


@pytest.mark.parametrize("tree", TREES)
def test_an_invalidation_precedes_the_clean_of_another_fault(tree: str) -> None:
    """cpu0 relaxes its leaf, and owes no clean; cpu1 maps the same page in its own tables, and cleans."""
    text = "s2fuzz 1\nvm nested=on\nslot a size=64K backing=anon\ncpu0 write a+0\nhost write a+0 4K\n"
    text += "par\n  cpu0 fetch a+0\n  cpu1 write a+0\n  switch cpu0 to cpu1 before cmpxchg 1\nend\n"
    assert violations(version(tree), parse(text)) == []
