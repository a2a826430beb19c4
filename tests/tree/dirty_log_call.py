# SPDX-License-Identifier: GPL-2.0-only
"""Trees whose call for a dirty log first runs statements of a test, and a program that makes this call."""

from pathlib import Path
from typing import Final

from candidate.tree.building.source import KVM_MAIN

from .trees import edited

# The operands are in memory, so that the compiler does not evaluate the calls itself.
TRIED: Final = """
#include <linux/sort.h>
#include <linux/delay.h>
#include <linux/ktime.h>
#include <linux/string.h>
static int tried_order(const void *a, const void *b) { return *(const int *)a - *(const int *)b; }
static unsigned long tried_words[2], tried_other[2], tried_to[2];
static u64 tried_longs[2];
static int tried_ints[4];
static noinline void tried(struct kvm *kvm)
{
	u64 before;
	unsigned long jiffy;

	tried_words[0] = 0xf0UL << 56;
	tried_words[1] = 0x7;
	tried_other[0] = 0x1UL << 63;
	tried_other[1] = 0x9;
	(void)before;
	(void)jiffy;
	%s
}
"""
HEAD: Final = "\nstatic int kvm_get_dirty_log_protect(struct kvm *kvm, struct kvm_dirty_log *log)\n{\n"
CALL: Final = "\tint __maybe_unused tried_first = (tried(kvm), 0);\n"
PROGRAM: Final = "vm\nslot a size=64K backing=anon log=on\ncpu0 write a+0\nlog a get\n"


def tree_calling(name: str, folder: Path, text: str) -> str:
    """Copy a tree so that its dirty log first calls ``tried`` of a text; return the name of the version."""
    return edited(name, folder, KVM_MAIN, ((HEAD, text + HEAD + CALL),))


def tree_with(name: str, folder: Path, statements: str, tried: str = TRIED) -> str:
    """Copy a tree so that its dirty log first runs these statements; return the name of the version.

    :param tried: the function that runs them, with a place for them
    """
    return tree_calling(name, folder, tried % statements)
