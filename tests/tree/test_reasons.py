# SPDX-License-Identifier: GPL-2.0-only
"""Reasons of invalidations: trees receive the event that Linux uses for a host operation, at its start and its end."""

import re
from pathlib import Path
from typing import Final

import pytest

import candidate
from candidate.tree import PREFIX
from candidate.tree.building.source import KVM_MAIN
from tests.good_bad.case import violations

from .trees import changed, edited, real_tree, version

EVENTS: Final = ("CLEAR", "UNMAP", "PROTECTION_VMA", "PROTECTION_PAGE")
# After the declarations of kvm_mmu_notifier_invalidate_range_start() and of ..._end().
START: Final = "\ttrace_kvm_unmap_hva_range(range->start, range->end);\n"
END: Final = "\tbool wake;\n"
HEAD: Final = "vm\nslot a size=2M backing=anon\ncpu0 write a+0\n"
# Operation -> events; each event comes at the start and at the end.
OPERATIONS: Final = {
    "unmap a+0 2M": "UNMAP",
    # Where an area is split inside of a block, all entries of the block are cleared.
    "unmap a+4K 4K": "CLEAR UNMAP",
    "reap a+0 2M": "UNMAP",
    "discard a+0 2M": "CLEAR",
    "migrate a+0 4K": "CLEAR",
    "merge a+0": "CLEAR CLEAR",
    "poison a+0": "CLEAR",
    "collapse a+0": "CLEAR",
    "protect a+0 2M on": "PROTECTION_VMA",
    "protect a+4K 4K on": "CLEAR PROTECTION_VMA",
    "share a+0 2M": "PROTECTION_PAGE",
}


def warned_of(tree: str, program: str) -> str:
    """Return the events of which a tree warns, in order, except the two after the end of the VM."""
    found = [re.search(r"MMU_NOTIFY_(\w+)", each.reason) for each in violations(candidate.get(tree), HEAD + program)]
    return " ".join([each[1] for each in found if each][:-2])


@pytest.fixture(scope="module")
def warning(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Make a tree that warns of each event."""
    asked = "".join([f"\tWARN_ON(range->event == MMU_NOTIFY_{event});\n" for event in EVENTS])
    edits = [(START, START + asked), (END, END + asked)]
    return edited("7.3", tmp_path_factory.mktemp("warning") / "tree", KVM_MAIN, edits)


@pytest.mark.parametrize("operation", OPERATIONS)
def test_an_operation_has_the_event_of_linux(warning: str, operation: str) -> None:
    wanted = OPERATIONS[operation].split()
    assert warned_of(warning, f"host {operation}\n") == " ".join([each for event in wanted for each in (event, event)])


def test_threads_of_the_host_have_events_of_their_own(warning: str) -> None:
    block = "par\nhost0 share a+0 2M\nhost1 migrate a+0 4K\nswitch host0 to host1 {}\nend\n"
    shared, moved = "PROTECTION_PAGE", "CLEAR"
    assert warned_of(warning, block.format("before start 1")) == f"{moved} {moved} {shared} {shared}"
    assert warned_of(warning, block.format("after start 1")) == f"{shared} {moved} {moved} {shared}"


@pytest.mark.parametrize("name", ["5.12.9", "7.3"])
def test_a_tree_that_ignores_an_event_is_found(name: str, tmp_path: Path) -> None:
    head = "const struct mmu_notifier_range *range)\n{\n\tstruct kvm *kvm = mmu_notifier_to_kvm(mn);\n"
    original = (real_tree(name) / KVM_MAIN).read_text()
    assert original.count(head) == 2
    # The early return comes before the function's next declarations, and uses none of their names.
    skip = "\tif (range->event == MMU_NOTIFY_PROTECTION_VMA)\n\t\treturn{};\n"
    first, second, third = original.split(head)
    text = first + head + skip.format(" 0") + second + head + skip.format("") + third
    tree = f"{PREFIX}{changed(real_tree(name), tmp_path / 'tree', {KVM_MAIN: text})}"
    program = f"{HEAD}host protect a+0 2M on\ncpu0 write a+0\n"
    signatures = [each.signature for each in violations(candidate.get(tree), program)]
    assert "translation: kvm_mmu_notifier_invalidate_range_start: still mapped after invalidation L3" in signatures
    assert violations(candidate.get(version(name)), program) == []
