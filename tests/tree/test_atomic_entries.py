# SPDX-License-Identifier: GPL-2.0-only
"""Entries that kernel code changes through atomic64_t or as a bitmap: one step, at the place of the code."""

from pathlib import Path
from typing import Final

import candidate
from candidate.tree.building.source import PGTABLE
from fuzz.checkers import Violation
from tests.good_bad.case import violations

from .trees import edited

AGES: Final = "\tif (data->mkold && !stage2_try_set_pte(ctx, new))\n\t\treturn -EAGAIN;\n"
# One way to clear the access flag, bit 10, for each page.
WAYS: Final = (
    "atomic64_fetch_andnot_relaxed(BIT(10), at)",
    "atomic64_xor(BIT(10), at)",
    "atomic64_sub(BIT(10), at)",
    "atomic64_add_return(-1024, at)",
    "atomic64_xchg(at, new)",
    "atomic64_cmpxchg(at, ctx->old, new)",
    "atomic64_set(at, atomic64_read(at) & ~BIT(10))",
    "clear_bit(10, (unsigned long *)ctx->ptep)",
    "test_and_clear_bit(10, (unsigned long *)ctx->ptep)",
)
AGEING: Final = (
    "vm cpus=1\nslot a size=64K backing=anon\n"
    + "".join(f"cpu0 read a+{4 * page}K\n" for page in range(len(WAYS)))
    + "host age a+0 64K\nhost testage a+0\n"
)
# Relaxing runs under the read lock.
RELAXES: Final = "\t\tif (!stage2_try_set_pte(ctx, pte))\n\t\t\treturn -EAGAIN;\n\t}\n\n\treturn 0;"
RELAXING: Final = "vm cpus=1\nslot a size=4K backing=anon log=on\ncpu0 read a+0\ncpu0 write a+0\n"


def found(tree: str, folder: Path, text: str, instead: str, program: str) -> list[Violation]:
    """Return the violations of a tree with another text in pgtable.c."""
    return violations(candidate.get(edited(tree, folder, PGTABLE, [(text, instead)])), program)


def test_atomic_changes_of_entries_are_sound(tmp_path: Path) -> None:
    cases = "".join(f"\tcase {page}: {way}; break;\n" for page, way in enumerate(WAYS))
    switch = f"\tatomic64_t *at = (atomic64_t *)ctx->ptep;\n\tswitch (ctx->addr >> 12 & 15) {{\n{cases}\t}}\n"
    assert found("7.3", tmp_path / "tree", AGES, f"\tif (data->mkold) {{\n{switch}\t}}\n", AGEING) == []


def test_an_atomic_change_under_the_read_lock_is_no_compare_exchange(tmp_path: Path) -> None:
    blind = "\t\tset_bit(7, (unsigned long *)ctx->ptep);\n\t}\n\n\treturn 0;"
    wrong = found("7.3", tmp_path / "tree", RELAXES, blind, RELAXING)
    assert [each.signature for each in wrong] == [
        "locking: stage2_attr_walker: entry written without a compare-exchange under mmu_lock for reading L3"
    ]
    assert "at stage2_attr_walker (pgtable.c:" in wrong[0].reason
