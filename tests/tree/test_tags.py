# SPDX-License-Identifier: GPL-2.0-only
"""Memory tags: trees and guests with MTE, and mistakes planted in copies."""

from pathlib import Path
from typing import Final, NamedTuple

import pytest

import candidate
from candidate.tree.building.source import MMU
from fuzz.execution.executor import Executor
from fuzz.judging.differential import COMMON, REGRESSION, Differential
from fuzz.language.text import parse
from reference.events import Observer

from ..unit.block_run import Run
from .trees import planted, version

NOT_CLEARED: Final = "tags: stage2_map_walker: mapped, tags not cleared after a translation fault"
ONE_PAGE: Final = "s2fuzz 1\nvm cpus=1 mte=on\nslot a size=4K backing=anon\ncpu0 read a+0\n"


class Changed(NamedTuple):
    """A change of mmu.c: a text and its replacement; a program, and the signature of the first regression."""

    tree: str
    text: str
    instead: str
    program: str
    signature: str


CHANGES: Final = {
    "never": Changed(
        "6.12", "sanitise_mte_tags(kvm, pfn, vma_pagesize);", "(void)mte_allowed;", ONE_PAGE, f"{NOT_CLEARED} L3"
    ),
    "the first page of a block only": Changed(
        "6.12",
        "sanitise_mte_tags(kvm, pfn, vma_pagesize);",
        "sanitise_mte_tags(kvm, pfn, PAGE_SIZE);",
        "s2fuzz 1\nvm cpus=1 mte=on\nslot a size=2M backing=thp\ncpu0 write a+0\n",
        f"{NOT_CLEARED} L2",
    ),
    "each time": Changed(
        "7.3",
        "if (try_page_mte_tagging(page)) {",
        "{",
        ONE_PAGE + "table unmap a+0 4K\ncpu0 read a+0\n",
        "tags: kvm_handle_guest_abort: tags cleared again after a translation fault",
    ),
    "flagged first": Changed(
        "6.12",
        "\t\t\tmte_clear_page_tags(page_address(page));\n\t\t\tset_page_mte_tagged(page);\n",
        "\t\t\tset_page_mte_tagged(page);\n\t\t\tmte_clear_page_tags(page_address(page));\n",
        ONE_PAGE,
        "tags: kvm_handle_guest_abort: flagged before its tags were cleared after a translation fault",
    ),
    "shifted by one frame": Changed(
        "6.12",
        "\tunsigned long i, nr_pages = size >> PAGE_SHIFT;\n\tstruct page *page = pfn_to_page(pfn);",
        "\tunsigned long i, nr_pages = size >> PAGE_SHIFT;\n\tstruct page *page = pfn_to_page(pfn + 1);",
        "s2fuzz 1\nvm cpus=1 mte=on\nslot a size=2M backing=thp\ncpu0 write a+0\n",
        "tags: kvm_handle_guest_abort: tags of a frame not owned cleared after a translation fault",
    ),
    "only where the area may not have tags": Changed(
        "6.12",
        "return vma->vm_flags & VM_MTE_ALLOWED;",
        "return !(vma->vm_flags & VM_MTE_ALLOWED);",
        ONE_PAGE,
        "contract: kvm_set_memory_region: error -22",
    ),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=list(CHANGES))
def test_a_change_is_found(change: Changed, tmp_path: Path) -> None:
    copy = candidate.get(planted(change.tree, tmp_path / "tree", MMU, change.text, change.instead))
    verdict = Differential(candidate.get(version(change.tree)), copy).run(parse(change.program))
    found = [each for each in verdict.findings if each.kind == REGRESSION]
    assert found
    assert found[0].signature == change.signature


class Cleared(Observer):
    """Records the frames whose tags are cleared."""

    def __init__(self) -> None:
        self.frames: list[int] = []

    def tags_cleared(self, pfn: int, flagged: bool) -> None:
        self.frames.append(pfn)


def cleared(tree: str, program: str) -> list[int]:
    """Return the frames whose tags a tree clears, in order."""
    executor = Executor(candidate.get(version(tree)), parse(program))
    seen = Cleared()
    executor.side.kernel.observe(seen)
    executor.create()
    for at in range(len(executor.program.operations)):
        assert executor.step(at)[1] == []
    executor.destroy()
    executor.dismantle()
    return seen.frames


@pytest.mark.parametrize("tree", ["6.1", "6.12", "7.3"])
def test_tags_of_each_frame_are_cleared_once(tree: str) -> None:
    frames = cleared(
        tree,
        "s2fuzz 1\nvm mte=on\nslot a size=4M backing=thp\ncpu0 write a+0\ncpu1 write a+4K\nlog a on\ncpu0 write a+8K\n",
    )
    assert len(frames) == len(set(frames)) == 512
    assert not cleared(tree, "s2fuzz 1\nvm\nslot a size=4M backing=thp\ncpu0 write a+0\n")


@pytest.mark.parametrize("tree", ["6.1", "6.12", "7.3"])
def test_a_page_that_moves_keeps_its_tags(tree: str) -> None:
    moved = "cpu0 write a+0\nhost migrate a+0 4K\ncpu0 write a+0\nhost share a+0 4K\ncpu0 write a+0\n"
    assert len(cleared(tree, f"s2fuzz 1\nvm mte=on\nslot a size=4K backing=anon\n{moved}")) == 1


def test_pages_of_hugetlb_have_tags_where_the_tree_allows_it() -> None:
    program = "s2fuzz 1\nvm mte=on\nslot a size=2M backing=hugetlb2m\ncpu0 write a+0\n"
    assert len(cleared("7.3", program)) == 512
    verdict = Differential(candidate.get(version("6.12")), candidate.get(version("6.12"))).run(parse(program))
    assert "memory tags (mte=) with hugetlb" in verdict.refused


# Not bugs: a permission fault that maps an already mapped page, and a page that the host has split meanwhile.
SILENT: Final = (
    "slot a size=2M backing=thp log=on\ncpu0 read a+0\ncpu0 write a+0\nlog a off\ncpu0 read a+4K\n",
    "slot a size=2M backing=thp\ncpu0 read a+0\ncpu0 write a+0\nhost split a+0\ncpu0 write a+4K\n",
    "slot a size=8K backing=anon\ncpu0 write a+0\nhost migrate a+0 4K\ncpu0 write a+0\ncpu0 write a+4K\n",
    "slot a size=2M backing=thp\ncpu0 read a+0\nhost split a+0\ncpu0 write a+0\nhost migrate a+0 4K\ncpu0 write a+0\n",
    "slot a size=8K backing=anon\ncpu0 read a+0\nhost share a+0 8K\ncpu0 write a+0\ncpu0 read a+4K\n",
)


@pytest.mark.parametrize("lines", SILENT)
@pytest.mark.parametrize("tree", ["6.1", "6.12", "7.3"])
def test_correct_behaviour_is_clean(tree: str, lines: str) -> None:
    side = candidate.get(version(tree))
    assert Differential(side, side).run(parse(f"s2fuzz 1\nvm cpus=1 mte=on\n{lines}")).findings == []


# Two vCPUs that fault on the same new memory; one of them stops at a step of its clearing.
RACE: Final = (
    "s2fuzz 1\nvm cpus=2 mte=on\nslot a size=2M backing={}\npar\ncpu0 write a+0\ncpu1 write a+4K\n"
    "switch cpu0 to cpu1 {}\nend\n"
)


@pytest.mark.parametrize("place", ["before tags 1", "after tags 1", "after tags 512"])
@pytest.mark.parametrize("tree", ["6.1", "6.12", "7.3"])
def test_only_one_vcpu_clears_the_tags_of_a_page(tree: str, place: str) -> None:
    run = Run(version(tree), RACE.format("thp", place))
    assert run.violations == []
    # The other vCPU got its turn in the middle, or had to wait for the lock or the page.
    assert run.order().startswith("010")


@pytest.mark.parametrize("count", [1, 512])
def test_only_one_vcpu_clears_the_tags_of_hugetlb(count: int) -> None:
    run = Run(version("7.3"), RACE.format("hugetlb2m", f"before tags {count}"))
    assert run.violations == []
    assert run.order().startswith("010")


@pytest.mark.parametrize("tree", ["6.1", "6.12", "7.3"])
def test_a_huge_page_after_logging_is_a_known_bug(tree: str) -> None:
    side = candidate.get(version(tree))
    program = (
        "s2fuzz 1\nvm cpus=1 mte=on\nslot a size=2M backing=thp log=on\ncpu0 read a+0\nlog a off\ncpu0 write a+0\n"
    )
    found = Differential(side, side).run(parse(program)).findings
    assert [(each.kind, each.known) for each in found] == [(COMMON, "T2")]
