# SPDX-License-Identifier: GPL-2.0-only
"""Candidates that cannot be imported, and those that crash, in a checkout of their own."""

import shutil
import subprocess
from pathlib import Path

import pytest

from .console import MISSING_CLEAN, ROOT, process, refused

BROKEN_CANDIDATES = {
    "syntax": ("import os\n\ndef f(:\n", "candidate/my_patch.py:3: SyntaxError: "),
    "import": ("from reference.pgtable import no_such_name\n", "candidate/my_patch.py:1: ImportError: "),
    "no_module": ("\nimport no_such_module\n", "candidate/my_patch.py:2: ModuleNotFoundError: "),
    "exception": ("x = 1\ny = {}[x]\n", "candidate/my_patch.py:2: KeyError: 1"),
    "call": ("from candidate import get\n\nget('x')\n", "candidate/my_patch.py:3: UnknownCandidate: "),
    "below": ("from fuzz.language.text import parse\n\nparse('')\n", "candidate/my_patch.py:3: ProgramError: "),
    "not_utf8": ("x = '\xff'\n", "candidate/my_patch.py:1: SyntaxError: "),
}


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of the packages, which a test may spoil."""
    ignored = shutil.ignore_patterns("__pycache__")
    for name in ("reference", "candidate", "fuzz"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=ignored)
    return tmp_path


@pytest.mark.parametrize("name", BROKEN_CANDIDATES)
def test_a_candidate_that_cannot_be_imported(checkout: Path, name: str) -> None:
    text, said = BROKEN_CANDIDATES[name]
    (checkout / "candidate" / "my_patch.py").write_text(text, encoding="latin-1")
    with open(checkout / "candidate" / "__init__.py", "a", encoding="utf-8") as file:
        file.write("\nfrom . import my_patch\n")
    result = process("list", path=checkout, cwd=checkout, stdout=subprocess.PIPE)
    refused((result.returncode, result.stdout, result.stderr), said)


def test_a_candidate_that_is_not_there(checkout: Path) -> None:
    with open(checkout / "candidate" / "__init__.py", "a", encoding="utf-8") as file:
        file.write("\nfrom . import my_patch\n")
    result = process("list", path=checkout, cwd=checkout, stdout=subprocess.PIPE)
    refused((result.returncode, result.stdout, result.stderr), "candidate/__init__.py:", "my_patch")


def test_a_reference_that_cannot_be_imported_is_our_mistake(checkout: Path) -> None:
    with open(checkout / "reference" / "mmu.py", "a", encoding="utf-8") as file:
        file.write("\ndef f(:\n")
    result = process("list", path=checkout, cwd=checkout, stdout=subprocess.PIPE)
    assert result.returncode == 3
    assert "a mistake of s2fuzz: SyntaxError" in result.stderr


CRASHING = """\
from reference.mmu import Mmu
from reference.pgtable import Pgtable


class MmuMine(Mmu):
    def kvm_mmu_cache_min_pages(self, kvm):
        return {"pages": 1}["paegs"]


class PgtableMine(Pgtable):
    def kvm_block_mapping_supported(self, addr, end, phys, level):
        return self.kvm_pte_follow(None) != 0
"""


@pytest.mark.parametrize(
    ("pgtable", "mmu", "signature", "reason"),
    [
        ("Pgtable", "MmuMine", "KeyError in kvm_mmu_cache_min_pages", "KeyError: 'paegs', at candidate/mine.py:7"),
        ("PgtableMine", "Mmu", "TypeError in kvm_pte_to_phys", "'NoneType' and 'int', at reference/pgtable.py:"),
    ],
)
def test_a_crash_of_the_candidate_says_what_and_where(
    checkout: Path, pgtable: str, mmu: str, signature: str, reason: str
) -> None:
    """In the reason: the signature tells neither message nor line."""
    (checkout / "candidate" / "mine.py").write_text(CRASHING)
    (checkout / "p.s2").write_text(MISSING_CLEAN)
    with open(checkout / "candidate" / "__init__.py", "a", encoding="utf-8") as file:
        file.write(f"\nfrom .mine import *\n\nregister('mine', {pgtable}, {mmu}, 'a test')\n")
    result = process("run", "--candidate", "mine", "p.s2", path=checkout, cwd=checkout, stdout=subprocess.PIPE)
    assert result.returncode == 1
    lines = result.stdout.splitlines()
    at = lines.index(f"regression  contract: kvm_handle_guest_abort: oops {signature}")
    assert lines[at + 1].strip().startswith("the code crashed: ")
    assert reason in lines[at + 1]
