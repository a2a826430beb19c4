# SPDX-License-Identifier: GPL-2.0-only
"""A vCPU leaves the guest before its dirty ring is full, as often as user space enters it, and tells why."""

from pathlib import Path
from typing import Final

import pytest

import candidate
from candidate.tree.building.source import DIRTY_RING
from fuzz.language.text import load
from tests.corpus.files import REGRESSIONS
from tests.good_bad.case import all_found

from .trees import edited, version

PROGRAM: Final = next(load(path) for path in REGRESSIONS if path.stem == "dirty-ring-full")
CHECK: Final = "kvm_check_request(KVM_REQ_DIRTY_RING_SOFT_FULL, vcpu) &&"
AGAIN: Final = "\t\tkvm_make_request(KVM_REQ_DIRTY_RING_SOFT_FULL, vcpu);\n\t\tvcpu"
REASON: Final = "\t\tvcpu->run->exit_reason = KVM_EXIT_DIRTY_RING_FULL;\n"
WRONG: Final = {
    "it stays in the guest": (CHECK, "false &&"),
    "it stays the second time": (AGAIN, "\t\tvcpu"),
    "it does not tell why": (REASON, ""),
}


@pytest.mark.parametrize("name", WRONG)
def test_rings_that_overflow(name: str, tmp_path: Path) -> None:
    found = all_found(candidate.get(edited("7.3", tmp_path / "tree", DIRTY_RING, [WRONG[name]])), PROGRAM)
    assert "contract: kvm_dirty_ring_push: WARN" in {each.signature for each in found}


@pytest.mark.parametrize("tree", ["6.12", "7.3"])
def test_rings_that_are_emptied_in_time(tree: str) -> None:
    assert all_found(candidate.get(version(tree)), PROGRAM) == []
