# SPDX-License-Identifier: GPL-2.0-only
"""The count of notifiers between their two halves (mn_active_invalidate_count), raised before they unmap."""

from pathlib import Path
from typing import Final

import candidate
from candidate.tree.building.source import KVM_MAIN
from fuzz.judging.differential import REGRESSION, Differential
from fuzz.language.text import parse

from .trees import edited, version

RAISED: Final = (
    "\tspin_lock(&kvm->mn_invalidate_lock);\n\tkvm->mn_active_invalidate_count++;\n"
    "\tspin_unlock(&kvm->mn_invalidate_lock);\n"
)
RECLAIMED: Final = "\t\tkvm_arch_guest_memory_reclaimed(kvm);\n\n\treturn 0;\n"
PROGRAM: Final = parse("s2fuzz 1\nvm cpus=1\nslot a size=8K backing=anon\ncpu0 write a+0\nhost discard a+0 4K\n")


def test_raised_after_the_unmap(tmp_path: Path) -> None:
    late = RECLAIMED.replace("\treturn 0;\n", f"{RAISED}\treturn 0;\n")
    copy = edited("6.12", tmp_path / "tree", KVM_MAIN, [(RAISED, ""), (RECLAIMED, late)])
    found = Differential(candidate.get(version()), candidate.get(copy)).run(PROGRAM).findings
    rule = "fault-order: kvm_mmu_notifier_invalidate_range_start: unmapped before mn_active_invalidate_count was raised"
    assert [(each.kind, each.signature) for each in found] == [(REGRESSION, rule)]


def test_guest_memfd_does_not_count_there() -> None:
    memfd = parse("s2fuzz 1\nvm cpus=1\nslot a size=8K backing=memfd\ncpu0 write a+0\nhost discard a+0 4K\n")
    tree = candidate.get(version("7.3"))
    assert Differential(tree, tree).run(memfd).findings == []
