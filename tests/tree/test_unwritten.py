# SPDX-License-Identifier: GPL-2.0-only
"""Memory not requested as zero is not zero: code that reads it before writing it is found."""

from pathlib import Path
from typing import Final

import pytest

import candidate
from candidate.tree.building.source import KVM_MAIN, MMU
from tests.good_bad.case import violations

from .trees import edited

ROOT: Final = "\treturn alloc_pages_exact(size, GFP_KERNEL_ACCOUNT | __GFP_ZERO);\n}\n\nstatic void *kvm_s2_zalloc"
NO_ROOT: Final = ROOT.replace(" | __GFP_ZERO", "")
CACHE: Final = "\tgfp_flags |= mc->gfp_zero;\n"
PAGE: Final = "\tpage = (void *)__get_free_page(gfp_flags);\n"
SLOTS: Final = {"6.12": "\tnew = kzalloc(sizeof(*new), ", "7.3": "\tnew = kzalloc_obj(*new, "}
SPLITS: Final = "vm split=2M\nslot a size=4M backing=thp\ncpu0 write a+0\nlog a on\ncpu0 write a+4K\nlog a get\n"
FAULTS: Final = "vm cpus=1\nslot a size=4M backing=anon\ncpu0 write a+0\ncpu0 read a+2M\nhost discard a+0 4K\n"
RINGS: Final = (
    "vm ring=4K bitmap=off\nslot a size=4M backing=anon\ncpu0 write a+0\nlog a on\ncpu0 write a+4K\nlog a get\n"
    "log a off\nslot a delete\n"
)


def filled(statement: str) -> str:
    """Return the allocation of a root without zeroes, followed by a statement that fills its pages *p*."""
    return NO_ROOT.replace("\treturn ", "\tvoid *p = ").replace(
        ";\n}", f";\n\n\tif (p)\n\t\t{statement}\n\treturn p;\n}}", 1
    )


# Changes that use unwritten memory: file, text, replacement, program, and the first violation.
WRONG: Final = {
    "pages of the splitting cache": (
        MMU,
        "\tmmu->split_page_cache.gfp_zero = __GFP_ZERO;\n",
        "",
        SPLITS,
        "lifetime: stage2_split_walker: walk of a table that was not zeroed",
    ),
    "the root": (MMU, ROOT, NO_ROOT, FAULTS, "lifetime: kvm_init_stage2_mmu: root that was not zeroed"),
    "half of the root": (
        MMU,
        ROOT,
        filled("memset(p + 8, 0, size - 8);"),
        FAULTS,
        "lifetime: kvm_init_stage2_mmu: root that was not zeroed",
    ),
    "pages of any cache": (
        KVM_MAIN,
        CACHE,
        "",
        FAULTS,
        "lifetime: stage2_map_walker: table entered that was not zeroed",
    ),
}
# Changes after which all memory is written before it is used.
RIGHT: Final = {
    "a root that memset() fills": (MMU, ROOT, filled("memset(p, 0, size);"), FAULTS),
    "a root that is filled page by page": (
        MMU,
        ROOT,
        filled("for (size_t o = 0; o < size; o += PAGE_SIZE) clear_page(p + o);"),
        FAULTS,
    ),
    "a root that is filled by stores": (
        MMU,
        ROOT,
        filled("for (size_t o = 0; o < size; o += 8) *(u64 *)(p + o) = 0;"),
        FAULTS,
    ),
    "pages of a cache that the code fills": (
        KVM_MAIN,
        CACHE + "\n",
        "\n",
        FAULTS,
    ),
}


@pytest.mark.parametrize("name", ["6.12", "7.3"])
@pytest.mark.parametrize("what", WRONG)
def test_unwritten_memory_is_found(name: str, what: str, tmp_path: Path) -> None:
    path, text, instead, program, signature = WRONG[what]
    found = violations(candidate.get(edited(name, tmp_path / "tree", path, ((text, instead),))), program)
    assert [each.signature for each in found][:1] == [signature]
    assert "allocated without __GFP_ZERO" in found[0].reason


@pytest.mark.parametrize("what", RIGHT)
def test_memory_that_the_code_writes_is_clean(what: str, tmp_path: Path) -> None:
    path, text, instead, program = RIGHT[what]
    edits = [(text, instead)]
    if path == KVM_MAIN:
        edits.append((PAGE, f"{PAGE}\tif (page)\n\t\tmemset(page, 0, PAGE_SIZE);\n"))
    assert violations(candidate.get(edited("6.12", tmp_path / "tree", path, edits)), program) == []


@pytest.mark.parametrize("name", ["6.12", "7.3"])
def test_a_field_of_a_slot(name: str, tmp_path: Path) -> None:
    slot = SLOTS[name]
    tree = edited(name, tmp_path / "tree", KVM_MAIN, ((slot, slot.replace("kzalloc", "kmalloc")),))
    found = violations(candidate.get(tree), RINGS)
    assert [each.what for each in found] == ["oops use of an object that was not written in kvm_destroy_dirty_bitmap"]


def test_contents_that_the_code_wrote_into_a_cache(tmp_path: Path) -> None:
    """s2fuzz knows the contents of the table, although no store to the table made them."""
    edits = ((CACHE, ""), (PAGE, f"{PAGE}\tif (page)\n\t\tmemset(page, 0xa4, PAGE_SIZE);\n"))
    found = violations(candidate.get(edited("6.12", tmp_path / "tree", KVM_MAIN, edits)), FAULTS)
    assert found
    assert not any("zeroed" in each.what for each in found)
