# SPDX-License-Identifier: GPL-2.0-only
"""A design with a reverse map has a verdict: the right one breaks no rule, and mistakes in it are found.

Each set of tables for vCPUs at EL1 gets a maple tree from guest addresses of the VM to those in these tables. A
notifier unmaps what the tree has of its range, and not all of these tables.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

import pytest

from candidate.tree import PREFIX
from candidate.tree.building.source import MMU
from fuzz.language.text import parse

from .runs import violations
from .trees import changed, real_tree

TREE: Final = "7.3"
HOST: Final = "arch/arm64/include/asm/kvm_host.h"
FIELDS: Final = (
    "#include <linux/maple_tree.h>\nstruct kvm_s2_mmu {\n\tstruct maple_tree revmap;\n\tbool revmap_broken;\n"
)
MAP: Final = """
/* Several ranges were merged: where they are in these tables is unknown. */
#define REVMAP_UNKNOWN	BIT(62)

static void revmap_record(struct kvm_s2_mmu *mmu, gpa_t ipa, gpa_t nested, u64 size)
{
	MA_STATE(mas, &mmu->revmap, ipa, ipa + size - 1);
	unsigned long first = ipa, last = ipa + size - 1, value = nested;
	void *entry;

	mas_lock(&mas);
	entry = mas_find(&mas, last);
	if (entry && mas.index == first && mas.last == last && xa_to_value(entry) == value)
		goto out;
	for (; entry; entry = mas_find(&mas, last)) {
		first = min(first, mas.index);
		last = max(last, mas.last);
		value = REVMAP_UNKNOWN;
	}
	mas_set_range(&mas, first, last);
	if (mas_store_gfp(&mas, xa_mk_value(value), GFP_NOWAIT | __GFP_ACCOUNT))
		mmu->revmap_broken = true;
out:
	mas_unlock(&mas);
}

/* Find a range that must be unmapped, and remove it from the map; false: all must be. */
static bool revmap_take(struct kvm_s2_mmu *mmu, gpa_t ipa, u64 size, gpa_t *nested, u64 *length)
{
	MA_STATE(mas, &mmu->revmap, ipa, ipa);
	bool taken = !mmu->revmap_broken;
	void *entry;

	*length = 0;
	mas_lock(&mas);
	entry = mas_find(&mas, ipa + size - 1);
	if (entry && taken) {
		*nested = xa_to_value(entry);
		*length = mas.last - mas.index + 1;
		taken = !(*nested & REVMAP_UNKNOWN) && !mas_store_gfp(&mas, NULL, GFP_NOWAIT | __GFP_ACCOUNT);
	}
	mas_unlock(&mas);
	return taken;
}

static void revmap_unmap(struct kvm *kvm, gpa_t ipa, u64 size, bool may_block)
{
	for (int i = 0; i < kvm->arch.nested_mmus_size; i++) {
		struct kvm_s2_mmu *mmu = kvm->arch.nested_mmus[i];
		gpa_t nested;
		u64 length;

		if (!kvm_s2_mmu_valid(mmu))
			continue;
		do {
			if (!revmap_take(mmu, ipa, size, &nested, &length)) {
				kvm_stage2_unmap_range(mmu, 0, kvm_phys_size(mmu), may_block);
				length = 0;
			} else if (length) {
				kvm_stage2_unmap_range(mmu, nested, length, may_block);
			}
		} while (length);
	}
}

static int kvm_s2_fault_map("""
UNMAP: Final = "\tkvm_nested_s2_unmap(kvm, range->may_block);\n\treturn false;"
PASSES: Final = "memcache, flags);\n\t}\n\nout_unlock:\n\tkvm_release_faultin_page(kvm, s2vi->page"
RECORDS: Final = """memcache, flags);
		if (!ret && kvm_is_nested_s2_mmu(kvm, s2fd->vcpu->arch.hw_mmu))
			revmap_record(s2fd->vcpu->arch.hw_mmu, gfn_to_gpa(gfn), gfn_to_gpa(gfn), mapping_size);
	}

out_unlock:
	kvm_release_faultin_page(kvm, s2vi->page"""
MADE: Final = "\tmmu->arch = &kvm->arch;\n"
FREED: Final = "\t\tmmu->pgd_phys = 0;\n"
DESTROYS: Final = "\t\tmtree_destroy(&mmu->revmap);\n"
EDITS: Final = {
    "static int kvm_s2_fault_map(": MAP.lstrip("\n"),
    PASSES: RECORDS,
    UNMAP: UNMAP.replace(
        "kvm_nested_s2_unmap(kvm,",
        "revmap_unmap(kvm, range->start << PAGE_SHIFT, (range->end - range->start) << PAGE_SHIFT,",
    ),
    MADE: f"{MADE}\tmt_init(&mmu->revmap);\n",
    FREED: f"{FREED}{DESTROYS}",
}
HEAD: Final = "s2fuzz 1\nvm nested=on\n"
PAGES: Final = (
    f"{HEAD}slot a size=4M backing=anon ipa=0\ncpu1 write a+0\ncpu1 write a+4K\ncpu1 write a+64K\n"
    "host migrate a+0 8K\ncpu1 read a+0\n"
)
SHORTAGE: Final = f"{HEAD}slot a size=4M backing=anon\ncpu1 write a+4K\ncpu1 write a+0 fail=1\nhost migrate a+0 4K\n"
BLOCKS: Final = (
    f"{HEAD}slot a size=4M backing=thp log=on\ncpu1 write a+4K\ncpu1 write a+8K\nlog a off\ncpu1 write a+12K\n"
    "host migrate a+4K 4K\ncpu1 read a+4K\n"
)
STAYS: Final = "translation: stage2_unmap_walker: still mapped after invalidation L3"
# What is wrong -> text, what is there instead, program, finding.
MISTAKES: Final = {
    "no lock": (
        *("\tmas_lock(&mas);\n\tentry = mas_find(&mas, last)", "\tentry = mas_find(&mas, last)"),
        *(PAGES, "locking: kvm_handle_guest_abort: lock not held"),
    ),
    "a removal that may sleep": (
        *("!mas_store_gfp(&mas, NULL, GFP_NOWAIT | __GFP_ACCOUNT)", "mas_erase(&mas)", PAGES),
        "locking: kvm_mmu_notifier_invalidate_range_start: sleeping call under mmu_lock",
    ),
    "addresses are stored as pointers": ("xa_mk_value(value)", "(void *)value", PAGES, STAYS),
    "a failure is forgotten": ("\tbool taken = !mmu->revmap_broken", "\tbool taken = true", SHORTAGE, STAYS),
    "the tree is not destroyed": (DESTROYS, "", PAGES, "leak: kvm_free_stage2_pgd: allocations left"),
}


def with_map(folder: Path, edits: Mapping[str, str]) -> str:
    """Make a tree with the design; *edits*: mistakes in it. Return its name as a version."""
    original = real_tree(TREE)
    source = (original / MMU).read_text()
    for text, instead in [*EDITS.items(), *edits.items()]:
        assert text in source, text
        source = source.replace(text, instead, 1)
    header = (original / HOST).read_text().replace("struct kvm_s2_mmu {\n", FIELDS, 1)
    return f"{PREFIX}{changed(original, folder, {MMU: source, HOST: header})}"


def test_the_right_design_breaks_no_rule(tmp_path: Path) -> None:
    right = with_map(tmp_path / "tree", {})
    assert [violations(right, parse(program)) for program in (PAGES, SHORTAGE, BLOCKS)] == [[], [], []]


@pytest.mark.parametrize("what", MISTAKES)
def test_mistakes_in_it_are_found(what: str, tmp_path: Path) -> None:
    text, instead, program, shows = MISTAKES[what]
    assert shows in violations(with_map(tmp_path / "tree", {text: instead}), parse(program))
