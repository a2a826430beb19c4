# SPDX-License-Identifier: GPL-2.0-only
"""Kernel code that flushes the host's own TLB entries: its barriers are events, and nothing else of it is modelled."""

from pathlib import Path
from typing import Final

import pytest

import candidate
from tests.good_bad.case import violations

from .dirty_log_call import PROGRAM, tree_with

FLUSHES: Final = """
	unsigned long end = PAGE_SIZE;

	local_flush_tlb_all();
	flush_tlb_all();
	flush_tlb_mm(kvm->mm);
	flush_tlb_kernel_range(0, end);
"""


@pytest.mark.parametrize("tree", ["6.1", "6.12", "7.3"])
def test_flushes_of_the_host(tree: str, tmp_path: Path) -> None:
    assert violations(candidate.get(tree_with(tree, tmp_path / "tree", FLUSHES)), PROGRAM) == []
