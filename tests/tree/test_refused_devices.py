# SPDX-License-Identifier: GPL-2.0-only
"""Memory of a device that user space maps with caches, on CPUs on which KVM would need cache maintenance for it."""

from pathlib import Path
from typing import Final

import pytest

import candidate
from candidate.tree.building.source import MMU
from fuzz.judging.differential import REGRESSION, Differential
from fuzz.language.text import parse
from tests.good_bad.case import violations

from .trees import clean_run, edited, version

SLOT: Final = "slot w ipa=1G size=64K backing=devicewb\n"
ACCESSES: Final = "cpu0 read w+0\ncpu0 write w+4K\ncpu0 fetch w+8K\ncpu0 clean w+12K\n"
AGAIN: Final = "slot w delete\nslot w create\ncpu0 read w+0\n"
MOVED: Final = "slot w move 2G\ncpu0 read w+0\n"
# The checks of 7.3: at a fault, and at the creation of a slot.
FAULT: Final = "if (!kvm_supports_cacheable_pfnmap()) {"
CREATION: Final = "if (kvm_vma_is_cacheable(vma) && !kvm_supports_cacheable_pfnmap()) {"
ACCEPTED: Final = "contract: kvm_set_memory_region: success for a slot of device memory with caches, without FWB or DIC"
MAPPED: Final = (
    "contract: kvm_handle_guest_abort: success for an access to device memory with caches, without FWB or DIC"
)


def statuses(name: str, machine: str, operations: str) -> list[str]:
    """Run a program that breaks no rule; return the status of each operation."""
    return clean_run(version(name), parse(f"s2fuzz 1\nvm cpus=1 {machine}\n{SLOT}{operations}"))[1]


@pytest.mark.parametrize("machine", ["", "fwb=on", "dic=on"])
def test_a_tree_with_the_checks_refuses(machine: str) -> None:
    # The area is mapped after the slot was created, so only the faults can be refused.
    assert statuses("7.3", machine, ACCESSES) == ["efault"] * 4
    assert statuses("7.3", machine, AGAIN + MOVED) == ["ok", "error", "io", "ok", "io"]
    assert statuses("7.3", machine, MOVED) == ["error", "efault"]
    # The slot is at 1G still: the second move changes nothing.
    assert statuses("7.3", machine, "slot w move 2G\nslot w move 1G\n") == ["error", "ok"]
    # Without the area, there is nothing to refuse.
    assert statuses("7.3", machine, "host unmap w+0 64K\n" + AGAIN + MOVED) == [
        "ok",
        "ok",
        "ok",
        "efault",
        "ok",
        "efault",
    ]


@pytest.mark.parametrize("name", ["6.1", "6.12"])
def test_a_tree_without_them_maps_device_memory(name: str) -> None:
    assert statuses(name, "", ACCESSES + AGAIN) == ["ok", "ok", "abort", "ok", "ok", "ok", "ok"]


def test_a_tree_with_the_checks_refuses_nothing_if_the_cpu_can() -> None:
    assert statuses("7.3", "fwb=on dic=on", ACCESSES + AGAIN) == ["ok"] * 7


@pytest.mark.parametrize(
    ("text", "instead", "shown", "quiet"),
    [
        (FAULT, "if (0) {", MAPPED, ""),
        (CREATION, "if (0) {", "", ACCEPTED),
        (FAULT, FAULT.replace("{", "{\n\t\t\t\tif (1)\n\t\t\t\t\treturn -EINVAL;"), "error -22", ""),
    ],
    ids=["fault", "creation", "another error"],
)
def test_a_missing_check_is_a_regression(text: str, instead: str, shown: str, quiet: str, tmp_path: Path) -> None:
    """:param shown: the finding of the accesses; *quiet*: that of the second creation alone"""
    copy = edited("7.3", tmp_path / "tree", MMU, [(text, instead)])
    differential = Differential(candidate.get(version("7.3")), candidate.get(copy))
    for operations, signature in ((ACCESSES, shown), (AGAIN, quiet)):
        program = parse(f"s2fuzz 1\nvm cpus=1\n{SLOT}{operations}")
        found = [each.signature for each in differential.run(program).findings if each.kind == REGRESSION]
        assert any(each.endswith(signature) for each in found) if signature else not found or shown
    assert differential.run(parse(f"s2fuzz 1\nvm cpus=1 fwb=on dic=on\n{SLOT}{ACCESSES}{AGAIN}")).findings == []


def test_a_leaf_with_caches_is_wrong_without_fwb_or_dic(tmp_path: Path) -> None:
    copy = candidate.get(edited("7.3", tmp_path / "tree", MMU, [(FAULT, "if (0) {")]))
    found = {each.signature for each in violations(copy, f"vm cpus=1 fwb=on\n{SLOT}cpu0 read w+0\n")}
    assert "translation: stage2_map_walker: device frame mapped as normal memory L3" in found


def test_a_comment_is_no_check(tmp_path: Path) -> None:
    line = "\tvfio_allow_any_uc = "
    copy = edited(
        "6.12", tmp_path / "tree", MMU, [(line, f"\t/* kvm_supports_cacheable_pfnmap() is missing. */\n{line}")]
    )
    assert violations(candidate.get(copy), f"vm cpus=1\n{SLOT}{ACCESSES}{AGAIN}") == []
