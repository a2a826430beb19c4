# SPDX-License-Identifier: GPL-2.0-only
"""Stores to a dirty bitmap that are not atomic are found in a tree, however they are written."""

from pathlib import Path
from typing import Final

import pytest

import candidate
from candidate.tree.building.source import KVM_MAIN
from tests.good_bad.case import violations

from .trees import edited, version

SET: Final = "\t\t\tset_bit_le(rel_gfn, memslot->dirty_bitmap);\n"
TAKE: Final = "\t\t\tmask = xchg(&dirty_bitmap[i], 0);\n"
LOAD: Final = "\t\t\tmask = dirty_bitmap[i];\n"
CLEAR: Final = "\t\tmask &= atomic_long_fetch_andnot(mask, p);\n"
LOGGED: Final = "vm cpus=1\nslot a size=4M backing=anon log=on\ncpu0 write a+0\nlog a get\n"
MANUAL: Final = "vm cpus=1 manual=on\nslot a size=4M backing=anon log=on\ncpu0 write a+0\nlog a get\nlog a clear 0 4M\n"
FOUND: Final = "dirty-log: {}: dirty bitmap changed by a plain store"
COLLECT: Final = FOUND.format("kvm_vm_ioctl_get_dirty_log")

# Text, other text, program, and the first violation.
WRONG: Final = {
    "a bit is set by a plain store": (
        SET,
        SET.replace("set_bit_le", "__set_bit_le"),
        LOGGED,
        FOUND.format("kvm_handle_guest_abort"),
    ),
    "bits are set by bitmap_set()": (
        SET,
        "\t\t\tbitmap_set(memslot->dirty_bitmap, rel_gfn, 2);\n",
        LOGGED,
        FOUND.format("kvm_handle_guest_abort"),
    ),
    "a word is loaded and then stored": (
        TAKE,
        f"{LOAD}\t\t\tdirty_bitmap[i] = 0;\n",
        LOGGED,
        COLLECT,
    ),
    "a word is stored by WRITE_ONCE()": (
        TAKE,
        f"{LOAD}\t\t\tWRITE_ONCE(dirty_bitmap[i], 0);\n",
        LOGGED,
        COLLECT,
    ),
    "a word is cleared by memset()": (
        TAKE,
        f"{LOAD}\t\t\tmemset(dirty_bitmap + i, 0, mask & 1 ? n - i * sizeof(long) : 8);\n",
        LOGGED,
        COLLECT,
    ),
    "bits are cleared by bitmap_clear()": (
        TAKE,
        f"{LOAD}\t\t\tbitmap_clear(dirty_bitmap, i * BITS_PER_LONG, mask & 1 ? 63 : 64);\n",
        LOGGED,
        COLLECT,
    ),
    "collected bits are cleared by a plain store": (
        CLEAR,
        "\t\tmask &= p->counter;\n\t\tp->counter &= ~mask;\n",
        MANUAL,
        FOUND.format("kvm_vm_ioctl_clear_dirty_log"),
    ),
}
# Changes of bitmaps that are not installed, or that are atomic in another way.
RIGHT: Final = {
    "cmpxchg()": (
        TAKE,
        "\t\t\tdo\n\t\t\t\tmask = dirty_bitmap[i];\n\t\t\twhile (cmpxchg(&dirty_bitmap[i], mask, 0) != mask);\n",
    ),
    "clear_bit_le()": (
        TAKE,
        f"{LOAD}\t\t\tfor_each_set_bit(n, &mask, 64)\n\t\t\t\tclear_bit_le(n, &dirty_bitmap[i]);\n",
    ),
    "the second half": (TAKE, f"{TAKE}\t\t\tdirty_bitmap_buffer[i] = 0;\n"),
}


@pytest.mark.parametrize("name", WRONG)
def test_plain_stores(name: str, tmp_path: Path) -> None:
    text, instead, program, signature = WRONG[name]
    found = violations(candidate.get(edited("6.12", tmp_path / "tree", KVM_MAIN, [(text, instead)])), program)
    assert [each.signature for each in found[:1]] == [signature]
    assert "(kvm_main.c:" in found[0].reason


@pytest.mark.parametrize("name", RIGHT)
def test_other_stores(name: str, tmp_path: Path) -> None:
    changed = candidate.get(edited("6.12", tmp_path / "tree", KVM_MAIN, [RIGHT[name]]))
    for program in (LOGGED, MANUAL):
        assert violations(changed, program) == []


@pytest.mark.parametrize("name", ["6.1", "6.12", "7.3"])
def test_bitmaps_that_are_not_installed_yet(name: str) -> None:
    """Check that KVM may set all bits of a new bitmap by plain stores (KVM_DIRTY_LOG_INITIALLY_SET)."""
    program = "vm cpus=1 manual=set\nslot a size=4M backing=anon\ncpu0 write a+0\nlog a on\nlog a off\nlog a on\n"
    assert violations(candidate.get(version(name)), program + "log a get\nlog a clear 0 4M\n") == []
