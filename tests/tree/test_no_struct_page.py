# SPDX-License-Identifier: GPL-2.0-only
"""Kernel code accesses a struct page only of frames that have one: frames of devices have none."""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import pytest

import candidate
from candidate.tree.building.source import MMU
from tests.good_bad.case import violations

from .trees import planted

# After the look-up of the frame of a fault: the code there, and the frame.
LOOKED_UP: Final = {
    "6.1": ("if (kvm_is_device_pfn(pfn)) {", "pfn"),
    "6.12": ("if (kvm_is_device_pfn(pfn)) {", "pfn"),
    "7.3": ("if (unlikely(is_error_noslot_pfn(s2vi->pfn))) {", "s2vi->pfn"),
}
PROGRAM: Final = (
    "vm cpus=1 fwb=on dic=on\nslot a size=2M backing=thp\nslot d size=2M backing={}\ncpu0 read a+0\ncpu0 write d+0\n"
)
FOUND: Final = "contract: kvm_handle_guest_abort: page structure of a device"


# Each statement, on a line of its own, with the access that it makes.
ACCESSES: Final = {
    "if (PageReserved(PAGE)) return -EIO;": "reads",
    "if (compound_order(compound_head(PAGE)) > 9) return -EIO;": "reads",
    "if (page_count(PAGE) > 99) return -EIO;": "reads",
    "SetPageReserved(PAGE);": "writes",
    "mark_page_accessed(PAGE);": "writes",
}
SOUND: Final = (
    "if (pfn_valid(PFN) && (PageReserved(PAGE) || compound_order(compound_head(PAGE)) > 9)) return -EIO;",
    # Only an address is computed.
    "if (!PAGE || page_to_pfn(PAGE) != PFN) return -EIO;",
)


def found(name: str, folder: Path, statements: Iterable[str], backing: str = "device") -> list[tuple[str, str]]:
    """Plant statements about the struct page of the frame of a fault; return signatures and reasons."""
    text, pfn = LOOKED_UP[name]
    lines = [each.replace("PFN", pfn).replace("PAGE", f"pfn_to_page({pfn})") for each in statements]
    tree = candidate.get(planted(name, folder / "tree", MMU, text, "\n\t".join((*lines, text))))
    return [(each.signature, each.reason) for each in violations(tree, PROGRAM.format(backing))]


@pytest.mark.parametrize("name", LOOKED_UP)
def test_an_access_is_found(name: str, tmp_path: Path) -> None:
    shown = [reason for signature, reason in found(name, tmp_path, ACCESSES) if signature == FOUND]
    accesses = {int(re.findall(r"mmu\.c:(\d+)", reason)[0]): reason.split()[2] for reason in shown}
    assert [accesses[line] for line in sorted(accesses)] == list(ACCESSES.values())
    assert all("the page structure of frame 0x" in reason for reason in shown)


@pytest.mark.parametrize("name", LOOKED_UP)
def test_sound_code_is_clean(name: str, tmp_path: Path) -> None:
    assert found(name, tmp_path, SOUND) == []


@pytest.mark.parametrize("backing", ["devicenc", "devicewb", "devicehuge"])
def test_all_kinds_of_device_memory_have_none(backing: str, tmp_path: Path) -> None:
    assert FOUND in [signature for signature, _ in found("7.3", tmp_path, list(ACCESSES)[:1], backing)]
