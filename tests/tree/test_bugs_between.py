# SPDX-License-Identifier: GPL-2.0-only
"""Bugs of kernels between the available ones: each is planted in a copy of a tree, detected there, and explained.

Each is also detected in a kernel that had it, if `S2FUZZ_TREES` has one.
"""

from pathlib import Path
from typing import Final, NamedTuple

import pytest

import candidate
from candidate.tree import PREFIX
from candidate.tree.building.source import MMU, PGTABLE, TLB
from fuzz.judging.differential import COMMON, REGRESSION, Differential
from fuzz.judging.known import program_of
from fuzz.judging.versions_with_bug import bug_run
from fuzz.language.text import load, parse

from .trees import changed, planted, real_trees, version


class Back(NamedTuple):
    """A bug planted again in a copy of a tree.

    :param tree: tree that does not have the bug
    :param path: path of the changed file
    :param text: text in the file
    :param instead: replacement that brings the bug back
    :param has: kernels that have the bug
    """

    bug: str
    tree: str
    path: str
    text: str
    instead: str
    has: tuple[str, ...]


# Kernels that take the size of a device mapping from the area.
AREA_SIZED: Final = (
    *("5.15", "5.17", "5.19", "6.0", "6.3", "6.4", "6.6", "6.8", "6.13", "6.14", "6.18", "6.19", "7.1"),
)
FLUSHES: Final = "arch/arm64/include/asm/tlbflush.h"
HINT: Final = "kvm_call_hyp(__kvm_tlb_flush_vmid_ipa_nsh, pgt->mmu, addr,\n\t\t\t     "
BACK: Final = (
    Back("I1", "6.12", MMU, "local_irq_save(flags);", "flags = 0;", ("5.15", "5.17", "5.19", "6.0")),
    Back(
        *("B22", "6.12", PGTABLE, "if (kvm_pte_table(ctx->old, ctx->level)) {\n\t\t\tkvm_call_hyp("),
        "if (!stage2_unmap_defer_tlb_flush(pgt)) {\n\t\t\tkvm_call_hyp(",
        ("6.8",),
    ),
    Back("G1", "7.3", MMU, "if (perm_fault) {\n\t\t/*", "if (0) {\n\t\t/*", ("6.18", "6.19")),
    Back(
        "X4",
        "7.3",
        PGTABLE,
        "if (prot & KVM_PGTABLE_PROT_X) {\n\t\tret = stage2_set_xn_attr(",
        "{\n\t\tret = stage2_set_xn_attr(",
        ("6.19", "7.1"),
    ),
    Back(
        *("V1", "6.12", MMU, "vma_shift = get_vma_page_shift(vma);"),
        "vma_shift = get_vma_page_shift(vma);\n\t\tif (vma->vm_flags & VM_PFNMAP && "
        "ALIGN_DOWN(hva, PMD_SIZE) >= vma->vm_start &&\n\t\t    ALIGN(hva, PMD_SIZE) <= vma->vm_end)\n"
        "\t\t\tvma_shift = PMD_SHIFT;",
        AREA_SIZED,
    ),
    Back(
        *("V2", "6.12", MMU, "vma_shift = get_vma_page_shift(vma);"),
        "vma_shift = get_vma_page_shift(vma);\n\t\tif (vma->vm_flags & VM_PFNMAP && "
        "ALIGN_DOWN(hva, PMD_SIZE) >= vma->vm_start &&\n\t\t    ALIGN_DOWN(hva, PMD_SIZE) + PMD_SIZE <= vma->vm_end)\n"
        "\t\t\tvma_shift = PMD_SHIFT;",
        AREA_SIZED,
    ),
    Back(
        *("B21", "6.12", PGTABLE, "ctx->addr,\n\t\t\t\t     TLBI_TTL_UNKNOWN);\n\t\t} else if (!stage2_unmap_defer"),
        *("ctx->addr,\n\t\t\t\t     ctx->level);\n\t\t} else if (!stage2_unmap_defer", ("6.8",)),
    ),
    Back("H1", "7.3", PGTABLE, f"{HINT}(ret == -EAGAIN) ? TLBI_TTL_UNKNOWN : level", f"{HINT}level", ("6.8", "7.1")),
    Back(
        *("B23", "6.12", FLUSHES, "\t\t(__pages >> (5 * (scale) + 1)) - 1;\t\t\t\\\n"),
        "\t\t(((pages) >> (5 * (scale) + 1)) & 31) - 1 + 0 * __pages;\t\\\n",
        ("6.8",),
    ),
    Back(
        "B24", "6.12", TLB, "start, pages, stride,\n\t\t\t\tTLBI_TTL_UNKNOWN);", "start, pages, stride, 0);", ("6.8",)
    ),
)
each_bug = pytest.mark.parametrize("back", BACK, ids=[back.bug for back in BACK])


def copy_with(back: Back, folder: Path) -> str:
    """Copy the tree with the bug; return the name of the version."""
    return planted(back.tree, folder / "tree", back.path, back.text, back.instead)


def copy_of(bug: str, folder: Path) -> str:
    """Copy the tree of this bug with the bug; return the name of the version."""
    return copy_with(next(back for back in BACK if back.bug == bug), folder)


@each_bug
def test_bug_run_detects_it(back: Back, tmp_path: Path) -> None:
    assert bug_run(candidate.get(version(back.tree)), back.bug) == ("", "")
    assert bug_run(candidate.get(copy_with(back, tmp_path)), back.bug).signature


@each_bug
def test_it_is_common_if_both_have_it_and_a_regression_otherwise(back: Back, tmp_path: Path) -> None:
    without, having = candidate.get(version(back.tree)), candidate.get(copy_with(back, tmp_path))
    program = load(program_of(back.bug))
    common = Differential(having, having).run(program).findings
    assert {each.kind for each in common} == {COMMON}
    assert back.bug in {each.known for each in common}
    assert REGRESSION in {each.kind for each in Differential(without, having).run(program).findings}


@each_bug
def test_affected_kernels_have_it(back: Back) -> None:
    there = [name for name in back.has if name in real_trees()]
    if not there:
        pytest.skip(f"needs one of the trees {', '.join(back.has)} in S2FUZZ_TREES")
    assert all(bug_run(candidate.get(version(name)), back.bug).signature for name in there)


def test_a_block_beyond_the_begin_of_an_area_is_no_known_bug(tmp_path: Path) -> None:
    """V2 needs an unmap during the fault."""
    back = next(back for back in BACK if back.bug == "V2")
    begin = "ALIGN_DOWN(hva, PMD_SIZE) >= vma->vm_start &&\n"
    assert back.instead.count(begin) == 1
    wrong = planted(back.tree, tmp_path / "wrong", back.path, back.text, back.instead.replace(begin, "\n"))
    having = candidate.get(copy_with(back, tmp_path))
    program = "s2fuzz 1\nvm cpus=1\nslot a ipa=1G size=2M backing=device\nhost unmap a+0 1M\ncpu0 read a+1028K\n"
    found = Differential(having, candidate.get(wrong)).run(parse(program)).findings
    assert [(each.kind, each.signature, each.known) for each in found] == [
        (REGRESSION, "contract: kvm_handle_guest_abort: error -14", "")
    ]


AREA: Final = "s2fuzz 1\nvm cpus=1\nslot a ipa=1G size=4M backing=device\nhost unmap a+{} 4K\ncpu0 read a+{}\n"


@pytest.mark.parametrize(
    ("unmapped", "read", "known"), [("4K", "0", "V1"), ("2044K", "0", "V1"), ("4K", "8K", None), ("2M", "0", None)]
)
def test_a_block_beyond_an_area_is_mapped_from_its_first_page_only(
    unmapped: str, read: str, known: str | None, tmp_path: Path
) -> None:
    copy = candidate.get(copy_of("V1", tmp_path))
    found = Differential(copy, copy).run(parse(AREA.format(unmapped, read))).findings
    assert {each.known for each in found} == ({known} if known else set())


def test_an_access_through_the_block_before_the_fault_ends_is_explained(tmp_path: Path) -> None:
    """The access is judged before the block."""
    copy = candidate.get(copy_of("V1", tmp_path))
    par = "par\ncpu0 read a+0\ncpu1 read a+4K\nswitch cpu0 to cpu1 after store 2\nend\n"
    slot = "vm cpus=2\nslot a ipa=1G size=4M backing=device\nhost unmap a+4K 4K\n"
    found = Differential(copy, copy).run(parse(f"s2fuzz 1\n{slot}{par}")).findings
    assert {each.known for each in found} == {"V1"}
    assert any(each.signature.startswith("isolation: ") for each in found)


def test_level_0_is_the_hint_of_a_table_of_level_0(tmp_path: Path) -> None:
    """Until 6.7 level 0 meant that there is no hint. With 4K pages and without FEAT_LPA2 it is no level of a leaf."""
    copy = candidate.get(copy_of("B21", tmp_path))
    block = "s2fuzz 1\nvm ipa=45 cpus=1 ttl=on\nslot a ipa=2G size=1G backing=hugetlb1g\n"
    found = Differential(copy, copy).run(parse(f"{block}cpu0 read a+0\nhost discard a+0 1G\n")).findings
    assert {each.known for each in found} == {"B21"}


@pytest.mark.parametrize("backing", ["devicewb", "device"])
def test_a_direct_call_does_not_request_execution_of_device_memory(backing: str, tmp_path: Path) -> None:
    """The execute right is left out even if the program names it; if the leaf is executable, X4 then strikes."""
    program = f"vm cpus=1 fwb=on dic=on\nslot a ipa=1G size=4K backing={backing}\ncpu0 read a+0\ntable relax a+0 rx\n"
    copy = candidate.get(copy_of("X4", tmp_path))
    found = Differential(copy, copy).run(parse(f"s2fuzz 1\n{program}")).findings
    assert {each.known for each in found} <= {"X4"}
    assert bool(found) == (backing == "devicewb")


NEAR_MISSES: Final = {
    # No flush is deferred.
    "B22": "s2fuzz 1\nvm cpus=1 fwb=on range=off\nslot a size=4K backing=anon\ncpu0 read a+0\nhost discard a+0 4K\n",
    # Not a permission fault: another vCPU has mapped the page meanwhile.
    "G1": "s2fuzz 1\nvm\nslot a ipa=1G size=4K backing=memfd\ncpu0 read a+0\ncpu1 read a+0\n",
    # The first page of the block is outside of any area from the start; a page that the guest accesses is unmapped.
    "V2": "s2fuzz 1\nvm cpus=1\nslot a ipa=1G size=2M backing=device\nhost unmap a+0 4K\npar\ncpu0 read a+8K\n"
    "host0 unmap a+16K 4K\nswitch cpu0 to host0 before lookup 1\nend\ncpu0 read a+16K\n",
    # The other vCPU relaxes the leaf after the compare-exchange.
    "H1": "s2fuzz 1\nvm ttl=on\nslot a ipa=1G size=4K backing=anon log=on\ncpu0 read a+0\npar\n  cpu0 write a+0\n"
    "  cpu1 write a+0\n  switch cpu0 to cpu1 after cmpxchg 1\nend\n",
    # Less than one instruction can flush.
    "B23": "s2fuzz 1\nvm cpus=1 range=on\nslot a size=8388604K backing=anon\ncpu0 write a+4G\nlog a on\n",
    # Two pages, flushed by an instruction for ranges.
    "B24": "s2fuzz 1\nvm cpus=1 ttl=on range=on\nslot a size=8K backing=anon\ncpu0 write a+0\nlog a on\n",
    # Execution is requested.
    "X4": "s2fuzz 1\nvm cpus=1\nslot a ipa=1G size=4K backing=anon\ncpu0 fetch a+0\ntable relax a+0 rwx\n",
}


@pytest.mark.parametrize("back", [back for back in BACK if back.bug in NEAR_MISSES], ids=lambda back: back.bug)
def test_a_near_miss_is_clean(back: Back, tmp_path: Path) -> None:
    copy = candidate.get(copy_with(back, tmp_path))
    assert Differential(copy, copy).run(parse(NEAR_MISSES[back.bug])).findings == []


# The second page of two, whose range is flushed by its address with level 0 as the hint.
SECOND: Final = (
    "s2fuzz 1\nvm cpus=1 ttl=on range=on fwb=on\nslot a ipa=1G size=8K backing=anon\ncpu0 write a+0\n"
    "cpu0 write a+4K\n{}\ncpu0 write a+4K\n"
)


@pytest.mark.parametrize(
    ("change", "signature"),
    [
        ("host discard a+4K 4K", "isolation: kvm_handle_guest_abort: access to a frame not owned, through the TLB"),
        ("host merge a+4K", "isolation: kvm_handle_guest_abort: "),
    ],
)
def test_accesses_by_a_leaf_that_is_still_owed_a_flush_are_explained(
    change: str, signature: str, tmp_path: Path
) -> None:
    """B24: the CPU uses its old entry, in a later operation, until a flush covers it."""
    copy = candidate.get(copy_of("B24", tmp_path))
    found = Differential(copy, copy).run(parse(SECOND.format(change))).findings
    assert any(each.signature.startswith(signature) for each in found)
    assert {each.known for each in found} == {"B24"}


def planted_too(copy: str, path: str, text: str, instead: str, folder: Path) -> str:
    """Copy a copy of a tree with another change; return the name of the version."""
    tree = Path(copy.removeprefix(PREFIX))
    whole = (tree / path).read_text()
    assert whole.count(text) == 1
    return f"{PREFIX}{changed(tree, folder / 'more', {path: whole.replace(text, instead)})}"


ALONE: Final = "s2fuzz 1\nvm cpus=1 ttl=on range=on\nslot a ipa=1G size=8K backing=anon log=on\ncpu0 read a+0\n"
# By bug: a change of the same function, and a program that shows it although the bug does not strike.
NEARLY: Final = {
    "H1": (PGTABLE, f"{HINT}level", f"{HINT}0", f"{ALONE}cpu0 write a+0\n"),
    "B23": (TLB, "start, pages, stride,\n", "start, pages - 1, stride,\n", f"{ALONE}cpu0 write a+4K\nlog a get\n"),
    "B24": (TLB, "start, pages, stride, 0)", "start, pages - 1, stride, 0)", f"{ALONE}cpu0 write a+4K\nlog a get\n"),
}


@pytest.mark.parametrize("back", [back for back in BACK if back.bug in NEARLY], ids=lambda back: back.bug)
def test_another_bug_of_the_same_function_is_not_explained(back: Back, tmp_path: Path) -> None:
    path, text, instead, program = NEARLY[back.bug]
    having = copy_with(back, tmp_path)
    both = planted_too(having, path, text, instead, tmp_path)
    found = Differential(candidate.get(having), candidate.get(both)).run(parse(program)).findings
    assert {(each.kind, each.known) for each in found if each.signature.startswith("tlb: ")} == {(REGRESSION, "")}
