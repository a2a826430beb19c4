# SPDX-License-Identifier: GPL-2.0-only
"""Device memory that user space maps by blocks, on trees: the size with which KVM maps it, and mistakes in that size.

6.12.113 and 7.3 take the size from the tables of user space ("KVM: arm64: Use stage-1 leaf size for VM_PFNMAP"). A
mistake in that code shows nothing on device memory that user space maps by pages, nor on huge pages.
"""

from pathlib import Path
from typing import Final, NamedTuple

import pytest

import candidate
from candidate.tree.building.source import MMU
from fuzz.judging.differential import DIVERGENCE, REGRESSION, Differential
from fuzz.language.text import load, parse

from ..unit.console import ROOT
from .trees import clean_run, edited, version

SLOT: Final = "s2fuzz 1\nvm cpus=1\nslot a ipa=1G size=2M backing={}\n"
READ: Final = SLOT + "cpu0 read a+8K\n"
BLOCK, PAGE = 2, 3


def levels(tree: str, text: str) -> list[int]:
    """Run a program on a tree; return the levels of the remaining leaves from 1G to 2G, in order of address."""
    return [level for level, _, _ in clean_run(version(tree), parse(text))[0]]


@pytest.mark.parametrize(
    ("tree", "backing", "mapped"),
    [
        ("5.12.9", "devicehuge", [PAGE] * 512),
        ("6.12", "device", [PAGE]),
        ("6.12", "devicehuge", [BLOCK]),
        ("7.3", "device", [PAGE]),
        ("7.3", "devicehuge", [BLOCK]),
    ],
)
def test_kvm_maps_device_memory_as_user_space_does_since_6_12(tree: str, backing: str, mapped: list[int]) -> None:
    assert levels(tree, READ.format(backing)) == mapped


@pytest.mark.parametrize("tree", ["6.12", "7.3"])
def test_the_rest_of_a_block_is_mapped_by_pages(tree: str) -> None:
    text = READ.format("devicehuge") + "host unmap a+1M 4K\n"
    assert levels(tree, text) == []
    assert levels(tree, text + "cpu0 read a+8K\ncpu0 write a+0\n") == [PAGE] * 2


@pytest.mark.parametrize("tree", ["6.12", "7.3"])
def test_a_block_with_another_alignment_in_the_guest_is_mapped_by_pages(tree: str) -> None:
    skewed = SLOT.format("devicehuge").replace("size=2M", "size=4M offset=4K")
    assert levels(tree, skewed + "cpu0 read a+2M\n") == [PAGE]


class Mistake(NamedTuple):
    """A change of a tree, and the class and signature of a finding on device memory that is mapped by blocks."""

    tree: str
    text: str
    instead: str
    found: tuple[str, str]


MISTAKES: Final = {
    "the frame is not that of the block's first page": Mistake(
        "6.12",
        "pfn &= ~(PTRS_PER_PMD - 1);",
        "if (!kvm_is_device_pfn(pfn))\n\t\t\tpfn &= ~(PTRS_PER_PMD - 1);",
        (REGRESSION, "isolation: stage2_map_walker: access to a frame not owned, through the tables L3"),
    ),
    "the address is not that of the block": Mistake(
        "7.3",
        "gfn &= ~(PTRS_PER_PMD - 1);",
        "if (pfn_is_map_memory(pfn))\n\t\t\tgfn &= ~(PTRS_PER_PMD - 1);",
        (REGRESSION, "isolation: stage2_map_walker: access to a frame not owned, through the tables L3"),
    ),
    "a block is not treated as device memory": Mistake(
        "6.12",
        "if (device) {\n\t\tif (vfio",
        "if (device && vma_pagesize == PAGE_SIZE) {\n\t\tif (vfio",
        (REGRESSION, "translation: stage2_map_walker: device frame mapped as normal memory L2"),
    ),
    # Not a mistake: 6.1.192 does this.
    "everything is mapped by pages": Mistake(
        "6.12",
        "vma_shift = get_vma_page_shift(vma);",
        "vma_shift = get_vma_page_shift(vma);\n\t\tforce_pte = vma->vm_flags & VM_PFNMAP;",
        (DIVERGENCE, "map"),
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES.values(), ids=list(MISTAKES))
def test_a_mistake_shows_only_on_blocks_of_device_memory(mistake: Mistake, tmp_path: Path) -> None:
    copy = edited(mistake.tree, tmp_path / "tree", MMU, [(mistake.text, mistake.instead)])
    differential = Differential(candidate.get(version(mistake.tree)), candidate.get(copy))
    for backing in ("device", "thp", "anon"):
        assert differential.run(parse(READ.format(backing))).findings == []
    found = {(each.kind, each.signature) for each in differential.run(parse(READ.format("devicehuge"))).findings}
    assert mistake.found in found
    assert mistake.found[0] == REGRESSION or found == {mistake.found}


def test_the_area_does_not_determine_the_size(tmp_path: Path) -> None:
    """A copy maps a block wherever the frames are a device's, even if user space has unmapped one of its pages."""
    size = "int sz = get_user_mapping_size(kvm, hva);"
    guess = "int sz = kvm_is_device_pfn(pfn) ? PMD_SIZE : get_user_mapping_size(kvm, hva);"
    copy = edited("6.12", tmp_path / "tree", MMU, [(size, guess)])
    differential = Differential(candidate.get(version()), candidate.get(copy))
    kinds = differential.run(load(ROOT / "corpus" / "seeds" / "device-blocks.s2")).titles()
    assert f"{REGRESSION} translation: stage2_map_walker: wrong frame L2" in kinds
