# SPDX-License-Identifier: GPL-2.0-only
"""Code that looks slots up without SRCU: ``kvm->slots_lock`` keeps them as well."""

from pathlib import Path
from typing import Final

import candidate
from candidate.tree.building.source import MMU
from tests.good_bad.case import violations

from .trees import edited

MARK: Final = "\tmark_page_dirty({}, 0x40000);\n"
# A slot is deleted under slots_lock; a guest turns its caches on with no lock held.
UNMAP: Final = "\tunmap_stage2_range(&kvm->arch.mmu, gpa, size);\n"
TOGGLE: Final = "\tbool now_enabled = vcpu_has_cache_enabled(vcpu);\n\n"
PROGRAM: Final = "vm cpus=1\nslot a size=2M backing=anon log=on\ncpu0 write a+4K\ncpu0 cache on\nslot a delete\n"


def found_with(text: str, kvm: str, folder: Path) -> list[str]:
    """Return the signatures of what is wrong in 6.1 if a page is marked dirty after some code.

    :param kvm: the expression that denotes the VM there
    """
    changed = edited("6.1", folder / "tree", MMU, [(text, text + MARK.format(kvm))])
    return [each.signature for each in violations(candidate.get(changed), PROGRAM)]


def test_slots_lock_keeps_the_slots(tmp_path: Path) -> None:
    assert found_with(UNMAP, "kvm", tmp_path) == []


def test_slots_without_srcu_and_slots_lock(tmp_path: Path) -> None:
    assert found_with(TOGGLE, "vcpu->kvm", tmp_path) == ["locking: mark_page_dirty: slots used outside of srcu"]
