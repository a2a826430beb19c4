# SPDX-License-Identifier: GPL-2.0-only
"""leak: table pages are added to the memory statistics once, and subtracted when they are freed."""

from pathlib import Path
from typing import Final

import pytest

import candidate
from candidate.tree.building.source import MMU
from fuzz.judging.differential import CURED, REGRESSION, Differential
from fuzz.language.text import parse

from .trees import planted, version

# Tables are allocated and freed while the VM lives, one of them for a block; the others are freed with the VM.
PROGRAM: Final = parse(
    "s2fuzz 1\nvm cpus=1\nslot a size=4M backing=thp log=on\ncpu0 read a+0\ncpu0 read a+2M\nlog a off\n"
    "cpu0 write a+4K\nhost discard a+2M 2M\n"
)
SIGNATURE: Final = "leak: kvm_free_stage2_pgd: table pages counted wrongly"
# Mistakes in the counts of 6.12, and their effect on the counts of its five table pages.
PATCHES: Final = {
    "tables are not added": (
        "\tif (virt)\n\t\tkvm_account_pgtable_pages(virt, 1);\n",
        "",
        "VMs had 5 table pages: kvm_account_pgtable_pages() added 2",
    ),
    "roots are not added": ("\tif (virt)\n\t\tkvm_account_pgtable_pages(virt, (size >> PAGE_SHIFT));\n", "", "added 3"),
    "roots are not taken off": ("\tkvm_account_pgtable_pages(virt, -(size >> PAGE_SHIFT));\n", "", "subtracted 3"),
    "tables are not taken off": (
        "\tif (page_count(p) == 1)\n\t\tkvm_account_pgtable_pages(addr, -1);\n",
        "",
        "subtracted 2",
    ),
    "entries are taken off": ("\tif (page_count(p) == 1)\n", "", "; 0 are still allocated"),
}


@pytest.mark.parametrize("patch", PATCHES)
def test_wrong_counts(patch: str, tmp_path: Path) -> None:
    text, instead, reason = PATCHES[patch]
    ours, theirs = candidate.get(version()), candidate.get(planted("6.12", tmp_path / "tree", MMU, text, instead))
    (found,) = Differential(ours, theirs).run(PROGRAM).findings
    assert (found.kind, found.signature) == (REGRESSION, SIGNATURE)
    assert reason in found.reason
    assert [each.kind for each in Differential(theirs, ours).run(PROGRAM).findings] == [CURED]


@pytest.mark.parametrize("name", ["5.12.9", "6.1", "6.12", "7.3"])
def test_right_counts(name: str) -> None:
    tree = candidate.get(version(name))
    assert tree.mmu.ACCOUNTS_TABLES is (name != "5.12.9")
    assert not [each for each in Differential(tree, tree).run(PROGRAM).findings if "leak" in each.signature]
