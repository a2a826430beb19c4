# SPDX-License-Identifier: GPL-2.0-only
"""Table pages by their struct page: references and allocations count, whichever functions of Linux the code uses."""

from pathlib import Path
from typing import Final

import pytest

import candidate
from candidate.tree.building.source import KVM_MAIN, MMU
from fuzz.judging.differential import Differential
from fuzz.language.text import parse
from tests.good_bad.case import violations

from .dirty_log_call import PROGRAM as CALLING
from .dirty_log_call import tree_with
from .trees import edited

# Tables are made, replaced and freed, and frames are looked up, marked and released.
PROGRAM: Final = (
    "vm cpus=1\nslot a size=4M backing=thp log=on\nslot b size=64K backing=anon\ncpu0 read a+0\ncpu0 write b+0\n"
    "cpu0 write a+4K\nlog a off\ncpu0 read a+8K\nhost discard a+2M 2M\nhost age b+0 64K\n"
)
TREES: Final = ("6.1", "6.12", "7.3")
GET: Final = ("\tget_page(virt_to_page(addr));", "\tfolio_get(page_folio(virt_to_page(addr)));")
COUNT: Final = ("\treturn page_count(virt_to_page(addr));", "\treturn folio_ref_count(page_folio(virt_to_page(addr)));")
PUT: Final = ("\tput_page(p);\n}", "\tfolio_put(page_folio(p));\n}")
# Other functions that do the same.
OTHERS: Final = {
    "folios": (GET, COUNT, PUT),
    "page_ref": (
        (GET[0], "\tpage_ref_inc(virt_to_page(addr));"),
        (COUNT[0], "\treturn page_ref_count(virt_to_page(addr));"),
        (PUT[0], "\tif (put_page_testzero(p))\n\t\t__folio_put(page_folio(p));\n}"),
    ),
    "several": (
        (GET[0], "\tBUG_ON(!folio_try_get(page_folio(virt_to_page(addr))));"),
        COUNT,
        (PUT[0], "\tget_page(p);\n\tfolio_put_refs(page_folio(p), 2);\n}"),
    ),
}
# Mistakes with these functions.
WRONG: Final = {
    "one too many": ((GET[0], "\tfolio_ref_add(page_folio(virt_to_page(addr)), 2);"), "leak: "),
    "one too few": ((GET[0], "\t(void)folio_ref_count(page_folio(virt_to_page(addr)));"), "lifetime: "),
}

# Statements that write to the struct pages of frames that no program uses, each in another way.
WRITES: Final = {
    "a store": "page->private = 1",
    "a volatile store": "WRITE_ONCE(page->private, 1)",
    "an atomic operation": "set_bit(3, &page->private)",
    "an exchange": "(void)xchg(&page->private, 1)",
    "a compared exchange": "(void)cmpxchg(&page->private, 0, 1)",
    "memset": "memset(page, 1, sizeof(*page))",
    "memcpy": "memcpy(page, &other, sizeof(*page))",
    "an assignment": "*page = other",
    "many stores": "for (i = 0; i < 2000; i++) pfn_to_page(0x200000 + 64 * i)->private = 1",
}
# They crash if one was written before.
WRITING: Final = """
	static struct page other = { .private = 1 };
	struct page *page = pfn_to_page(0x200000);
	int i;

	for (i = 0; i < 2000; i++)
		BUG_ON(memchr_inv(pfn_to_page(0x200000 + 64 * i), 0, sizeof(*page)));
	%s;
	(void)other;
	BUG_ON(!memchr_inv(page, 0, sizeof(*page)));
"""


@pytest.mark.parametrize("name", TREES)
@pytest.mark.parametrize("what", OTHERS)
def test_references_count_by_any_function(name: str, what: str, tmp_path: Path) -> None:
    assert violations(candidate.get(edited(name, tmp_path / "tree", MMU, OTHERS[what])), PROGRAM) == []


@pytest.mark.parametrize("what", WRONG)
def test_wrong_references_by_folios_are_found(what: str, tmp_path: Path) -> None:
    edit, rule = WRONG[what]
    found = violations(candidate.get(edited("7.3", tmp_path / "tree", MMU, (edit,))), PROGRAM)
    assert any(each.signature.startswith(rule) for each in found)


def test_a_frame_is_marked_and_released_as_a_folio(tmp_path: Path) -> None:
    edits = (
        ("\t\tSetPageDirty(page);", "\t\tfolio_mark_dirty(page_folio(page));"),
        ("\t\tmark_page_accessed(page);", "\t\tfolio_mark_accessed(page_folio(page));"),
        (
            "\tkvm_set_page_accessed(page);\n\tput_page(page);",
            "\tkvm_set_page_accessed(page);\n\tfolio_put(page_folio(page));",
        ),
    )
    assert violations(candidate.get(edited("7.3", tmp_path / "tree", KVM_MAIN, edits)), PROGRAM) == []
    # A release too few.
    wrong = (*edits[:2], (edits[2][0], "\tkvm_set_page_accessed(page);\n\tfolio_get(page_folio(page));"))
    found = violations(candidate.get(edited("7.3", tmp_path / "wrong", KVM_MAIN, wrong)), PROGRAM)
    assert found[0].what == "frame still pinned after a translation fault"


@pytest.mark.parametrize("name", TREES)
def test_a_memory_cache_of_pages(name: str, tmp_path: Path) -> None:
    """Its objects are allocated and freed by their struct page."""
    edits = (
        ("(void *)__get_free_page(gfp_flags)", "page_address(alloc_page(gfp_flags) ?: ZERO_PAGE(0))"),
        ("free_page((unsigned long)mc->objects[--mc->nobjs]);", "__free_page(virt_to_page(mc->objects[--mc->nobjs]));"),
    )
    assert violations(candidate.get(edited(name, tmp_path / "tree", KVM_MAIN, edits)), PROGRAM) == []


# A memory cache is filled as far as possible at once.
FILL: Final = "\twhile (mc->nobjs < mc->capacity) {\n"
BULK: Final = """
	if (!mc->kmem_cache) {
		struct page *fresh[8] = { NULL };
		unsigned int i, nr = %s;

		for (i = 0; i < nr; i++)
			mc->objects[mc->nobjs++] = page_address(fresh[i]);
	}
"""


@pytest.mark.parametrize(
    ("name", "call"),
    [
        ("6.1", "alloc_pages_bulk_array(gfp | mc->gfp_zero, 8, fresh)"),
        ("6.12", "alloc_pages_bulk_array(gfp | mc->gfp_zero, 8, fresh)"),
        ("7.3", "alloc_pages_bulk(gfp | mc->gfp_zero, 8, fresh)"),
    ],
)
def test_a_memory_cache_that_is_filled_at_once(name: str, call: str, tmp_path: Path) -> None:
    tree = edited(name, tmp_path / "tree", KVM_MAIN, ((FILL, BULK % call + FILL),))
    assert violations(candidate.get(tree), PROGRAM) == []


# Statements that crash unless pages are allocated as in Linux, and do not leak.
PAGES: Final = """
	struct page *one = alloc_pages(GFP_KERNEL | __GFP_ZERO, 0), *four = alloc_pages(GFP_KERNEL, 2);
	struct page *some[4] = { one };

	BUG_ON(!one || *(u64 *)page_address(one) || virt_to_page(page_address(one)) != one || page_count(one) != 1);
	BUG_ON(!four || page_to_pfn(four) != page_to_pfn(one) + 1);
	get_page(one);
	BUG_ON(page_ref_count(one) != 2 || put_page_testzero(one) || page_ref_count(one) != 1);
	BUG_ON(BULK(GFP_KERNEL, 3, some) != 3 || some[0] != one || !some[1] || !some[2] || some[3]);
	__free_pages(four, 2);
	__free_page(one);
	__free_page(some[1]);
	put_page(some[2]);
"""
READ: Final = "vm\nslot a size=64K backing=anon log=on\ncpu0 write a+0\nlog a get\n"


@pytest.mark.parametrize("name", TREES)
def test_pages_are_allocated_as_linux_documents(name: str, tmp_path: Path) -> None:
    bulk = "alloc_pages_bulk" if name == "7.3" else "alloc_pages_bulk_array"
    tree = tree_with(name, tmp_path / "tree", PAGES.replace("BULK", bulk))
    assert violations(candidate.get(tree), READ) == []
    leaking = PAGES.replace("BULK", bulk).replace("\t__free_pages(four, 2);\n", "")
    found = violations(candidate.get(tree_with(name, tmp_path / "leak", leaking)), READ)
    assert [each.what for each in found] == ["table pages left"]


# A folio of several pages has one count, that of its first page, and is freed as a whole.
FOLIOS: Final = """
	struct folio *folio = folio_alloc(GFP_KERNEL | __GFP_ZERO, 2), *own = folio_alloc(GFP_KERNEL, 0);
	struct page *pages = alloc_pages(GFP_KERNEL | __GFP_COMP, 1), *parts = alloc_pages(GFP_KERNEL, 1);

	BUG_ON(!folio || folio_nr_pages(folio) != 4 || folio_order(folio) != 2 || folio_ref_count(folio) != 1);
	BUG_ON(page_folio(folio_page(folio, 3)) != folio || *((u64 *)folio_address(folio) + 3 * PTRS_PER_PTE));
	get_page(folio_page(folio, 2));
	BUG_ON(folio_ref_count(folio) != 2 || page_count(folio_page(folio, 1)) != 2);
	folio_put(folio);
	put_page(folio_page(folio, 3));
	folio_put(own);
	BUG_ON(compound_head(pages + 1) != pages || PageCompound(parts));
	put_page(pages);
	split_page(parts, 1);
	put_page(parts + 1);
	put_page(parts);
"""


@pytest.mark.parametrize("name", TREES)
def test_folios_of_several_pages_are_allocated(name: str, tmp_path: Path) -> None:
    assert violations(candidate.get(tree_with(name, tmp_path / "tree", FOLIOS)), READ) == []


def test_a_folio_that_is_not_freed_leaks_all_its_pages(tmp_path: Path) -> None:
    tree = candidate.get(tree_with("7.3", tmp_path / "tree", FOLIOS.replace("\tfolio_put(folio);\n", "")))
    assert [each.what for each in violations(tree, READ)] == ["table pages left"]


LAST: Final = "a last reference dropped without a test"


@pytest.mark.parametrize(
    ("statements", "reason"),
    [
        ("page_ref_dec(one);", LAST),
        ("page_ref_sub(one, 1);", LAST),
        ("BUG_ON(page_ref_freeze(one, 1));", "page_ref_freeze"),
        ("set_page_count(one, 3);", "set_page_count"),
    ],
)
def test_other_changes_of_a_count_have_no_verdict(statements: str, reason: str, tmp_path: Path) -> None:
    declared = "struct page *one = alloc_page(GFP_KERNEL); "
    tree = candidate.get(tree_with("7.3", tmp_path / "tree", declared + statements))
    assert reason in Differential(tree, tree).run(parse(f"s2fuzz 1\n{READ}")).refused


def test_an_allocation_that_must_not_sleep(tmp_path: Path) -> None:
    statements = "write_lock(&kvm->mmu_lock); __free_page(alloc_page({})); write_unlock(&kvm->mmu_lock);"
    atomic = tree_with("7.3", tmp_path / "tree", statements.format("GFP_ATOMIC"))
    assert violations(candidate.get(atomic), READ) == []
    sleeping = tree_with("7.3", tmp_path / "wrong", statements.format("GFP_KERNEL"))
    found = violations(candidate.get(sleeping), READ)
    assert [each.what for each in found] == ["sleeping call under mmu_lock"]


# What a fault sees of the folio that it maps a part of.
FOLIO: Final = """
	if (s2vi.page) {
		struct folio *folio = page_folio(s2vi.page);
		unsigned long pages = %s;
		bool hugetlb = %s;

		BUG_ON(folio_nr_pages(folio) != pages || folio_size(folio) != pages * PAGE_SIZE);
		BUG_ON(folio_test_large(folio) != (pages > 1) || folio_test_hugetlb(folio) != hugetlb);
		BUG_ON(folio_pfn(folio) != ALIGN_DOWN(s2vi.pfn, pages) || folio_order(folio) != ilog2(pages));
		BUG_ON(compound_head(s2vi.page) != &folio->page || PageTail(s2vi.page) == (s2vi.page == &folio->page));
	}
"""
LOOKED_UP: Final = "\treturn kvm_s2_fault_map(s2fd, &s2vi, prot, memcache);\n"


def seeing(folder: Path, pages: int | str, hugetlb: int | str) -> str:
    """Copy a tree so that its faults see a folio of this many pages; return the name of the version.

    :param pages: a number, or an expression in C
    :param hugetlb: whether it is of hugetlb: a number, or an expression in C
    """
    return edited("7.3", folder, MMU, ((LOOKED_UP, FOLIO % (pages, hugetlb) + LOOKED_UP),))


# Each backing has its own gigabyte of guest addresses, so that one tree does for all: pages of a folio; of hugetlb.
BACKINGS: Final = {"anon": (1, 0), "thp": (512, 0), "hugetlb2m": (512, 1), "hugetlb1g": (1 << 18, 1)}
ACCESSES: Final = "vm cpus=1\nslot a ipa={}G size=1G backing={}\ncpu0 read a+12K\ncpu0 write a+0\ncpu0 read a+516K\n"


def by_address(gfn: str) -> list[str]:
    """Return expressions in C for the two values of the backing of a guest address."""
    columns = (", ".join(map(str, column)) for column in zip(*BACKINGS.values(), strict=True))
    return [f"((int []){{ {column} }})[({gfn} >> 18) - 1]" for column in columns]


def accesses(backing: str) -> str:
    """Return a program with accesses to the gigabyte of a backing."""
    return ACCESSES.format(1 + list(BACKINGS).index(backing), backing)


@pytest.mark.parametrize("backing", BACKINGS)
def test_a_huge_page_is_a_folio(backing: str, tmp_path: Path) -> None:
    tree = seeing(tmp_path / "tree", *by_address("s2vi.gfn"))
    assert violations(candidate.get(tree), accesses(backing)) == []


def test_a_huge_page_that_several_entries_map_is_one_folio(tmp_path: Path) -> None:
    """Check a page of 1G of a host with pages of 16K, whose entries map 32M each."""
    tree = seeing(tmp_path / "tree", 1 << 16, 1)
    program = "vm cpus=1 granule=16K\nslot a ipa=1G size=1G backing=hugetlb1g\ncpu0 read a+48K\ncpu0 read a+96M\n"
    assert violations(candidate.get(tree), program) == []


# The same in older trees, where a page of hugetlb differs from others by its destructor or a flag.
OLDER: Final = """
	if (!is_error_noslot_pfn(pfn)) {
		struct page *page = pfn_to_page(pfn), *head = compound_head(page);
		unsigned long pages = %s;
		bool hugetlb = %s;

		BUG_ON(PageHuge(page) != hugetlb || PageCompound(page) != (pages > 1) || compound_nr(head) != pages);
		BUG_ON(page_to_pfn(head) != ALIGN_DOWN(pfn, pages));
		BUG_ON(is_vm_hugetlb_page(find_vma(current->mm, hva)) != hugetlb);
		BUG_ON(vma_kernel_pagesize(find_vma(current->mm, hva)) != (hugetlb ? pages * PAGE_SIZE : PAGE_SIZE));
	}
"""
LOOKED_UP_OLDER: Final = "\tif (is_error_noslot_pfn(pfn))\n\t\treturn -EFAULT;\n"


@pytest.mark.parametrize("name", ["5.15", "6.1", "6.8"])
@pytest.mark.parametrize("backing", BACKINGS)
def test_a_huge_page_is_compound_in_older_trees(name: str, backing: str, tmp_path: Path) -> None:
    check = OLDER % tuple(by_address("gfn"))
    locked = f"{{ mmap_read_lock(current->mm); {check} mmap_read_unlock(current->mm); }}\n"
    tree = edited(name, tmp_path / "tree", MMU, ((LOOKED_UP_OLDER, LOOKED_UP_OLDER + locked),))
    found = [each.what for each in violations(candidate.get(tree), accesses(backing))]
    # 5.15 has the known bug I1.
    assert [what for what in found if what != "user page tables walked with interrupts on"] == []


SMALL: Final = (
    "vm cpus=1\nslot a ipa=1G size=2M backing=thp\nhost write a+0 2M\nhost discard a+4K 4K\ncpu0 read a+12K\n"
)


def test_a_split_huge_page_is_no_folio(tmp_path: Path) -> None:
    assert violations(candidate.get(seeing(tmp_path / "tree", 1, 0)), SMALL) == []


# The block that maps a huge page begins where its folio does.
ALIGNED: Final = "\t\tpfn &= ~(PTRS_PER_PMD - 1);\n"
BLOCK: Final = "vm cpus=1\nslot a size=2M backing=thp\nhost write a+0 2M\ncpu0 read a+4K\ncpu0 write a+12K\n"


@pytest.mark.parametrize("name", ["6.1", "6.8", "6.12", "7.3"])
def test_a_block_that_begins_at_the_folio(name: str, tmp_path: Path) -> None:
    edit = (ALIGNED, "\t\tpfn = folio_pfn(page_folio(pfn_to_page(pfn)));\n")
    assert violations(candidate.get(edited(name, tmp_path / "tree", MMU, (edit,))), BLOCK) == []


@pytest.mark.parametrize("what", WRITES)
def test_no_program_finds_what_another_wrote(what: str, tmp_path: Path) -> None:
    version = candidate.get(tree_with("6.12", tmp_path / "tree", WRITING % WRITES[what]))
    assert [violations(version, CALLING) for _ in range(3)] == [[]] * 3
