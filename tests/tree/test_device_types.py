# SPDX-License-Identifier: GPL-2.0-only
"""Memory types with which trees map device frames: device, non-cacheable, cacheable."""

from pathlib import Path
from typing import Final, NamedTuple

import pytest

import candidate
from candidate.tree.building.source import MMU
from fuzz.engines.unit_run import offers_of
from fuzz.generation.generator import Generator
from fuzz.judging.differential import DIVERGENCE, REGRESSION, Differential
from fuzz.language.program import CACHED, UNCACHED
from fuzz.language.text import load, parse
from reference.machine.descriptor import memattr

from ..unit.console import ROOT
from .trees import clean_run, edited, version

HEAD: Final = "s2fuzz 1\nvm cpus=1 dic=on fwb={}\nslot a ipa=1G size=64K backing={}\n"
# MemAttr of stage 2.
NGNRE, NON_CACHEABLE, FORCED_WRITE_BACK = 0x1, 0x5, 0x6


def types(tree: str, text: str) -> tuple[set[int], list[str]]:
    """Run a program on a tree; return the memory types of the remaining leaves, and the status of each operation."""
    leaves, outcomes = clean_run(version(tree), parse(text))
    return {memattr(entry) for _, _, entry in leaves}, outcomes


@pytest.mark.parametrize(
    ("tree", "fwb", "backing", "mapped", "fetched"),
    [
        ("6.1", "on", UNCACHED, NGNRE, "abort"),
        ("6.12", "on", UNCACHED, NON_CACHEABLE, "abort"),
        ("6.12", "off", UNCACHED, NON_CACHEABLE, "abort"),
        ("6.12", "on", CACHED, NGNRE, "abort"),
        ("7.3", "on", "device", NGNRE, "abort"),
        ("7.3", "off", UNCACHED, NON_CACHEABLE, "abort"),
        ("7.3", "on", CACHED, FORCED_WRITE_BACK, "ok"),
    ],
)
def test_types(tree: str, fwb: str, backing: str, mapped: int, fetched: str) -> None:
    text = HEAD.format(fwb, backing) + "cpu0 read a+0\ncpu0 write a+4K\ncpu0 fetch a+8K\n"
    assert types(tree, text) == ({mapped}, ["ok", "ok", fetched])


class Mistake(NamedTuple):
    """A change of a tree, the kind of device memory that shows it, and the finding there.

    :param quiet: kinds of device memory that show nothing
    """

    tree: str
    text: str
    instead: str
    backing: str
    found: str
    quiet: tuple[str, ...]


ALL: Final = ("device", UNCACHED, CACHED)
TYPE: Final = f"{REGRESSION} translation: stage2_map_walker: device frame mapped"
MISTAKES: Final = {
    # This breaks no rule of the architecture: a guest only has fewer memory types, as with older kernels.
    "no non-cacheable memory": Mistake(
        "6.12",
        "\t\tif (vfio_allow_any_uc)\n",
        "\t\tif (false)\n",
        UNCACHED,
        f"{DIVERGENCE} map",
        ("device", CACHED),
    ),
    "normal memory for all devices": Mistake(
        "6.12",
        "\t\tif (vfio_allow_any_uc)\n",
        "\t\tif (true)\n",
        "device",
        f"{TYPE} as normal memory L3",
        (UNCACHED,),
    ),
    "uncached device memory mapped cacheable": Mistake(
        "7.3",
        "s2vi->map_non_cacheable = true;",
        "s2vi->map_non_cacheable = !(s2vi->vm_flags & VM_ALLOW_ANY_UNCACHED);",
        UNCACHED,
        f"{TYPE} with caches L3",
        ("device", CACHED),
    ),
    "MT_DEVICE_nGnRnE not recognised": Mistake(
        "7.3", "\tcase MT_DEVICE_nGnRnE:\n", "", UNCACHED, f"{TYPE} with caches L3", ("device", CACHED)
    ),
    "cached device memory mapped non-cacheable": Mistake(
        "7.3",
        "if (s2vi->is_vma_cacheable) {",
        "if (false) {",
        CACHED,
        f"{DIVERGENCE} map",
        ("device", UNCACHED),
    ),
    "a comment": Mistake(
        "6.12",
        "\tvfio_allow_any_uc = ",
        "\t/* kvm_supports_cacheable_pfnmap() comes later. */\n\tvfio_allow_any_uc = ",
        "",
        "",
        ALL,
    ),
    "another name": Mistake(
        "7.3",
        "*prot |= (s2vi->vm_flags & VM_ALLOW_ANY_UNCACHED) ?",
        "*prot |= (s2vi->vm_flags & INIT_VM_FLAG(ALLOW_ANY_UNCACHED)) ?",
        "",
        "",
        ALL,
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES.values(), ids=list(MISTAKES))
def test_a_change_shows_on_the_memory_it_concerns(mistake: Mistake, tmp_path: Path) -> None:
    copy = edited(mistake.tree, tmp_path / "tree", MMU, [(mistake.text, mistake.instead)])
    differential = Differential(candidate.get(version(mistake.tree)), candidate.get(copy))
    for backing in ALL:
        found = differential.run(parse(HEAD.format("on", backing) + "cpu0 read a+0\n")).titles()
        if backing == mistake.backing:
            assert mistake.found in found
        elif backing in mistake.quiet:
            assert not found


def test_a_direct_call_does_not_choose_the_type_of_memory() -> None:
    """Otherwise a leaf mapped as device memory would stay, and become executable where KVM treats it as RAM."""
    text = HEAD.format("on", CACHED) + "table map a+0 8K rw\ncpu0 write a+0\ncpu0 fetch a+4K\n"
    assert types("7.3", text) == ({FORCED_WRITE_BACK}, ["ok", "ok", "ok"])
    assert types("6.12", text) == ({NGNRE}, ["ok", "ok", "abort"])


def test_a_new_memory_type_is_no_regression() -> None:
    """6.1 has no non-cacheable memory. 6.12 maps it differently and breaks no rule."""
    differential = Differential(candidate.get(version("6.1")), candidate.get(version("6.12")))
    found = differential.run(parse(HEAD.format("on", UNCACHED) + "cpu0 read a+0\n"))
    assert not [each for each in found.findings if each.kind == REGRESSION]


@pytest.mark.parametrize("tree", ["6.12", "7.3"])
def test_random_programs_for_trees_have_all_types(tree: str) -> None:
    of_tree = candidate.get(version(tree))
    generator = Generator(3, offers=offers_of(of_tree, of_tree))
    seen = {slot.backing for _ in range(300) for slot in generator.next().slots}
    assert {UNCACHED, CACHED} <= seen


@pytest.mark.parametrize("tree", ["5.12.9", "6.1", "6.12", "7.3"])
def test_the_seed_is_clean(tree: str) -> None:
    of_tree = candidate.get(version(tree))
    assert Differential(of_tree, of_tree).run(load(ROOT / "corpus" / "seeds" / "device-types.s2")).findings == []
