# SPDX-License-Identifier: GPL-2.0-only
"""Kernel code that waits, or should wait, for SRCU or RCU readers; bitmap helpers that a patch may use."""

from pathlib import Path

import pytest

import candidate
from candidate.tree.building.source import KVM_MAIN, MMU
from fuzz.judging.differential import REGRESSION, Differential, Finding
from fuzz.language.text import parse

from .trees import planted, version

SLOT = parse("s2fuzz 1\nvm cpus=1\nslot a size=64K backing=anon log=on\ncpu0 write a+0\nlog a get\nlog a off\n")
WAIT = "\tsynchronize_srcu_expedited(&kvm->srcu);\n\n\t/*\n\t * Increment the new memslot generation a second time"
END = "\twrite_lock(&kvm->mmu_lock);\n\tpgt = mmu->pgt;\n"
LOG = "\tn = kvm_dirty_bitmap_bytes(memslot);\n\tflush = false;\n"
# Helper -> an expression that holds for any bitmap *map* of 64 bits.
HELPERS = {
    "__bitmap_weight": "bitmap_weight(map, n) <= n",
    "_find_first_bit": "bitmap_empty(map, n) == (find_first_bit(map, n) == n)",
    "_find_first_zero_bit": "bitmap_full(map, n) == (find_first_zero_bit(map, n) == n)",
    "_find_next_zero_bit": "find_next_zero_bit(map, n, 0) == find_first_zero_bit(map, n)",
    "_find_last_bit": "bitmap_empty(map, n) || find_last_bit(map, n) >= find_first_bit(map, n)",
    "_find_next_and_bit": "find_next_and_bit(map, map, n, 0) == find_first_bit(map, n)",
}


def found(folder: Path, file: str, text: str, instead: str) -> list[Finding]:
    """Return the findings of a changed 6.12."""
    copy = planted("6.12", folder / "tree", file, text, instead)
    verdict = Differential(candidate.get(version("6.12")), candidate.get(copy)).run(SLOT)
    assert verdict.refused == ""
    return verdict.findings


def test_slots_installed_without_waiting_for_readers_are_found(tmp_path: Path) -> None:
    findings = found(tmp_path, KVM_MAIN, WAIT, WAIT.replace("\tsynchronize_srcu_expedited(&kvm->srcu);\n", ""))
    assert (REGRESSION, "locking: kvm_set_memory_region: slots installed, readers not waited for") in [
        (each.kind, each.signature) for each in findings
    ]


def test_synchronize_rcu_without_a_lock_is_clean(tmp_path: Path) -> None:
    assert found(tmp_path, MMU, END, f"\tsynchronize_rcu();\n{END}") == []


def test_synchronize_rcu_under_the_mmu_lock_is_found(tmp_path: Path) -> None:
    lock, rest = END.split("\n", 1)
    findings = found(tmp_path, MMU, END, f"{lock}\n\tsynchronize_rcu();\n{rest}")
    assert [(each.kind, each.signature) for each in findings] == [
        (REGRESSION, "locking: kvm_free_stage2_pgd: sleeping call under mmu_lock")
    ]


@pytest.mark.parametrize("helper", HELPERS)
def test_helpers_on_bitmaps(helper: str, tmp_path: Path) -> None:
    """A wrong result would cause a WARN()."""
    use = f"\t{{ unsigned long *map = memslot->dirty_bitmap; n = memslot->npages; WARN_ON(!({HELPERS[helper]})); }}\n"
    copy = planted("6.12", tmp_path / "tree", KVM_MAIN, LOG, use + LOG)
    verdict = Differential(candidate.get(version("6.12")), candidate.get(copy)).run(SLOT)
    assert (verdict.refused, verdict.findings) == ("", [])
