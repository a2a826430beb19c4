# SPDX-License-Identifier: GPL-2.0-only
"""A SIGBUS of a tree reports the page that failed."""

from pathlib import Path
from typing import Final

import pytest

import candidate
from candidate.tree.building.source import MMU
from tests.good_bad.case import violations

from .trees import planted, version

# The call where the page was looked up, and the same with the start of the slot.
CALLS: Final = {
    "6.1": ("signal(hva, vma_shift)", "signal(memslot->userspace_addr, vma_shift)"),
    "7.3": ("signal(s2fd->hva, __ffs", "signal(s2fd->memslot->userspace_addr, __ffs"),
}
PROGRAM: Final = """vm cpus=1
slot a size=4M backing=hugetlb2m
cpu0 write a+2052K
host poison a+2M
cpu0 read a+2052K
"""


@pytest.mark.parametrize("name", CALLS)
def test_a_signal_for_another_page_is_found(name: str, tmp_path: Path) -> None:
    wrong = candidate.get(planted(name, tmp_path / "tree", MMU, *CALLS[name]))
    found = [each.signature for each in violations(wrong, PROGRAM)]
    assert found == ["contract: kvm_handle_guest_abort: SIGBUS for another page"]
    assert violations(candidate.get(version(name)), PROGRAM) == []


def test_a_forced_signal_is_a_signal(tmp_path: Path) -> None:
    call = (
        "send_sig_mceerr(BUS_MCEERR_AR, (void __user *)address, lsb, current)",
        "force_sig_mceerr(BUS_MCEERR_AR, %s, lsb)",
    )
    at = {name: call[1] % f"(void __user *)({name})" for name in ("address", "address - SZ_2M")}
    right, wrong = (
        candidate.get(planted("7.3", tmp_path / str(n), MMU, call[0], each)) for n, each in enumerate(at.values())
    )
    assert violations(right, PROGRAM) == []
    found = [each.signature for each in violations(wrong, PROGRAM)]
    assert found == ["contract: kvm_handle_guest_abort: SIGBUS for another page"]
