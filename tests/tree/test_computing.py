# SPDX-License-Identifier: GPL-2.0-only
"""Models of Linux functions that only compute, of clocks, delays and trylocks: they do what Linux documents."""

from pathlib import Path
from typing import Final

import pytest

import candidate
from tests.good_bad.case import violations

from .dirty_log_call import PROGRAM, tree_with

TREES: Final = ("6.1", "6.12", "7.3")
# Statements that crash unless each function does what it should.
RIGHT: Final = """
	BUG_ON(hweight64(tried_words[0]) != 4 || hweight32(tried_words[1]) != 3 || hweight8(tried_other[1]) != 2);
	BUG_ON(bitmap_weight(tried_words, 128) != 7 || bitmap_weight(tried_words, 66) != 6);

	bitmap_or(tried_to, tried_words, tried_other, 128);
	BUG_ON(tried_to[0] != tried_words[0] || tried_to[1] != 0xf);
	bitmap_xor(tried_to, tried_words, tried_other, 128);
	BUG_ON(tried_to[1] != 0xe);
	bitmap_complement(tried_to, tried_words, 128);
	BUG_ON(tried_to[1] != ~0x7UL);
	BUG_ON(!bitmap_and(tried_to, tried_words, tried_other, 128) || tried_to[1] != 1);
	BUG_ON(!bitmap_andnot(tried_to, tried_words, tried_other, 128) || tried_to[1] != 6);
	BUG_ON(bitmap_andnot(tried_to, tried_words, tried_words, 128));
	tried_to[0] = tried_words[0];
	tried_to[1] = 0x17;
	BUG_ON(!bitmap_equal(tried_words, tried_to, 68) || bitmap_equal(tried_words, tried_to, 69));
	BUG_ON(!bitmap_intersects(tried_words, tried_other, 128) || bitmap_subset(tried_other, tried_words, 128));
	tried_other[0] = 0;
	BUG_ON(!bitmap_subset(tried_other, tried_words, 67) || bitmap_subset(tried_other, tried_words, 68));
	tried_other[1] = 0x8;
	BUG_ON(bitmap_intersects(tried_words, tried_other, 128));
	bitmap_set(tried_words, 2, 64);
	BUG_ON(tried_words[0] != ~0x3UL || tried_words[1] != 0x7);
	bitmap_clear(tried_words, 3, 62);
	BUG_ON(tried_words[0] != 0x4 || tried_words[1] != 0x6);

	memset64(tried_longs, 0x123456789abcdefULL, 2);
	BUG_ON(tried_longs[0] != tried_longs[1] || tried_longs[1] != 0x123456789abcdefULL);
	tried_ints[0] = 3;
	tried_ints[1] = -1;
	tried_ints[2] = 7;
	sort(tried_ints, 4, sizeof(int), tried_order, NULL);
	BUG_ON(tried_ints[0] != -1 || tried_ints[1] != 0 || tried_ints[2] != 3 || tried_ints[3] != 7);

	before = ktime_get_ns();
	BUG_ON(!before || ktime_get_ns() <= before);
	udelay(500);
	BUG_ON(ktime_get_ns() - before < 500000 || ktime_get_ns() - before > 600000);
	before = ktime_get_ns();
	usleep_range(10, 20);
	BUG_ON(ktime_get_ns() - before < 10000);
	jiffy = jiffies;
	mdelay(2);
	BUG_ON(jiffies - jiffy < 2 || jiffies - jiffy > 3);
	jiffy = jiffies + HZ / 10;
	while (time_before(jiffies, jiffy))
		cpu_relax();

	BUG_ON(!mutex_trylock(&kvm->slots_arch_lock) || mutex_trylock(&kvm->slots_arch_lock));
	mutex_unlock(&kvm->slots_arch_lock);
	BUG_ON(mutex_trylock(&kvm->slots_lock));
	BUG_ON(!write_trylock(&kvm->mmu_lock) || read_trylock(&kvm->mmu_lock));
	write_unlock(&kvm->mmu_lock);
	BUG_ON(!read_trylock(&kvm->mmu_lock) || write_trylock(&kvm->mmu_lock));
	read_unlock(&kvm->mmu_lock);
	BUG_ON(!spin_trylock(&kvm->mn_invalidate_lock) || spin_trylock(&kvm->mn_invalidate_lock));
	spin_unlock(&kvm->mn_invalidate_lock);
	BUG_ON(!mmap_read_trylock(kvm->mm) || down_write_trylock(&kvm->mm->mmap_lock));
	mmap_read_unlock(kvm->mm);
"""
# Statements with a violation, and its signature.
WRONG: Final = {
    "weight": ("BUG_ON(hweight64(tried_words[0]) == 4);", "contract: kvm_vm_ioctl_get_dirty_log: oops BUG() in tried"),
    "sleep": (
        "write_lock(&kvm->mmu_lock); usleep_range(10, 20); write_unlock(&kvm->mmu_lock);",
        "locking: kvm_vm_ioctl_get_dirty_log: sleeping call under mmu_lock",
    ),
    "mutex": (
        "(void)!mutex_trylock(&kvm->slots_arch_lock);",
        "locking: kvm_vm_ioctl_get_dirty_log: another lock still held",
    ),
}


@pytest.mark.parametrize("name", TREES)
def test_models_do_what_linux_documents(name: str, tmp_path: Path) -> None:
    tree = tree_with(name, tmp_path / "tree", RIGHT)
    assert violations(candidate.get(tree), PROGRAM) == []


@pytest.mark.parametrize("what", WRONG)
def test_checkers_are_notified(what: str, tmp_path: Path) -> None:
    statements, signature = WRONG[what]
    found = violations(candidate.get(tree_with("6.12", tmp_path / "tree", statements)), PROGRAM)
    assert [each.signature for each in found][:1] == [signature]


def test_a_delay_does_not_sleep(tmp_path: Path) -> None:
    statements = "write_lock(&kvm->mmu_lock); udelay(10); write_unlock(&kvm->mmu_lock);"
    assert violations(candidate.get(tree_with("6.12", tmp_path / "tree", statements)), PROGRAM) == []
