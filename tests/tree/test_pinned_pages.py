# SPDX-License-Identifier: GPL-2.0-only
"""Pages of user space that kernel code gets or pins, by any function of Linux: each must be released."""

from pathlib import Path
from typing import Final

import pytest

import candidate
from fuzz.judging.differential import Differential
from fuzz.language.text import parse
from tests.good_bad.case import violations

from .dirty_log_call import tree_with

TREES: Final = ("6.1", "6.12", "7.3")
TRIED: Final = """
#include <linux/pagemap.h>
static noinline void tried(struct kvm *kvm)
{
	unsigned long hva = gfn_to_hva(kvm, 1 << 18);
	struct page *pages[4] = { NULL };

	%s
}
"""
PROGRAM: Final = "vm\nslot a ipa=1G size=64K backing=anon log=on\ncpu0 write a+0\nlog a get\n"
RIGHT: Final = """
	bool unlocked;

	BUG_ON(get_user_pages_fast(hva, 2, FOLL_WRITE, pages) != 2 || !pages[0] || !pages[1]);
	put_page(pages[0]);
	put_page(pages[1]);
	BUG_ON(pin_user_pages_fast(hva, 4, FOLL_WRITE | FOLL_LONGTERM, pages) != 4);
	unpin_user_pages_dirty_lock(pages, 4, false);
	BUG_ON(pin_user_pages_unlocked(hva, 1, pages, 0) != 1);
	unpin_user_page(pages[0]);
	BUG_ON(get_user_pages_unlocked(hva, 3, pages, FOLL_WRITE) != 3);
	unpin_user_pages(pages, 3);
	mmap_read_lock(kvm->mm);
	BUG_ON(pin_user_pages(hva, 1, FOLL_WRITE, pages TAIL) != 1);
	BUG_ON(fixup_user_fault(kvm->mm, hva, FAULT_FLAG_WRITE, &unlocked));
	BUG_ON(vma_kernel_pagesize(find_vma(kvm->mm, hva)) != PAGE_SIZE);
	mmap_read_unlock(kvm->mm);
	unpin_user_page(pages[0]);
	BUG_ON(fault_in_readable((char __user *)hva, 3 * PAGE_SIZE));
	BUG_ON(fault_in_writeable((char __user *)hva + 5, PAGE_SIZE));
	BUG_ON(get_user_pages_fast(1 << 12, 1, 0, pages) != -EFAULT);
	BUG_ON(fault_in_readable((char __user *)(1UL << 12), 5) != 5);
"""


@pytest.mark.parametrize("name", TREES)
def test_pages_are_pinned_as_linux_documents(name: str, tmp_path: Path) -> None:
    statements = RIGHT.replace(" TAIL", ", NULL" if name == "6.1" else "")
    assert violations(candidate.get(tree_with(name, tmp_path / "tree", statements, TRIED)), PROGRAM) == []


WRONG: Final = {
    "a page that stays pinned": ("BUG_ON(pin_user_pages_fast(hva, 1, 0, pages) != 1);", "frame still pinned"),
    "a page of four that stays pinned": (
        "BUG_ON(get_user_pages_fast(hva, 4, 0, pages) != 4); unpin_user_pages(pages, 3);",
        "frame still pinned",
    ),
    "a pin with a spinlock": (
        (
            "static DEFINE_SPINLOCK(spin); spin_lock(&spin); BUG_ON(get_user_pages_fast(hva, 1, 0, pages) != 1); "
            "put_page(pages[0]); spin_unlock(&spin);"
        ),
        "sleeping call in atomic context",
    ),
}


@pytest.mark.parametrize("what", WRONG)
def test_mistakes_are_found(what: str, tmp_path: Path) -> None:
    statements, expected = WRONG[what]
    found = violations(candidate.get(tree_with("7.3", tmp_path / "tree", statements, TRIED)), PROGRAM)
    assert [each.what for each in found if not each.what.startswith(expected)] == []
    assert found


@pytest.mark.parametrize(
    "statements",
    [
        "(void)!kvm_read_guest(kvm, 1 << 30, pages, 8);",
        "BUG_ON(put_user(1, (int __user *)hva));",
        "BUG_ON(clear_user((void __user *)hva, 8));",
    ],
)
def test_the_contents_of_user_memory_have_no_verdict(statements: str, tmp_path: Path) -> None:
    tree = candidate.get(tree_with("7.3", tmp_path / "tree", statements, TRIED))
    assert "the contents of user memory" in Differential(tree, tree).run(parse(f"s2fuzz 1\n{PROGRAM}")).refused
