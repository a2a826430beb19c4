# SPDX-License-Identifier: GPL-2.0-only
"""Candidates that cannot be imported, that miss their authors' intent, or that crash, each in a checkout."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from ..console import MISSING_CLEAN, ROOT, process, refused
from ..pages import blocks

DECLARED = """\
from candidate import Candidate
from reference.mmu import Mmu
from reference.pgtable import Pgtable

CANDIDATE = Candidate({})
"""
BROKEN_CANDIDATES = {
    "syntax": ("import os\n\ndef f(:\n", "candidate/my_patch.py:3: SyntaxError: "),
    "import": ("from reference.pgtable import no_such_name\n", "candidate/my_patch.py:1: ImportError: "),
    "no_module": ("\nimport no_such_module\n", "candidate/my_patch.py:2: ModuleNotFoundError: "),
    "exception": ("x = 1\ny = {}[x]\n", "candidate/my_patch.py:2: KeyError: 1"),
    "call": ("from candidate.registry.declaration import Bug\n\nBug('x')\n", "candidate/my_patch.py:3: TypeError: "),
    "below": ("from fuzz.language.text import parse\n\nparse('')\n", "candidate/my_patch.py:3: ProgramError: "),
    "exit": ("import sys\nsys.exit(0)\n", "candidate/my_patch.py:2: SystemExit: 0"),
    "hard_exit": ("import os\nos._exit(0)\n", "candidate/my_patch.py:2: SystemExit: os._exit(0)"),
    "no_error": ("class E(BaseException):\n    pass\n\nraise E(1)\n", "candidate/my_patch.py:4: E: 1"),
    "no_declaration": (
        "x = 1\n",
        "candidate/my_patch.py:1: no declaration: end the module with CANDIDATE = Candidate(",
    ),
    "no_candidate": (
        "CANDIDATE = 'mine'\n",
        "candidate/my_patch.py:1: CANDIDATE has the type str: it must be a Candidate(",
    ),
    "no_class": (DECLARED.format("'mine', 1, Mmu, 'a test'"), "candidate/my_patch.py:1: CANDIDATE: pgtable is 1: "),
    "no_origin": (DECLARED.format("'mine', Pgtable, Mmu, ''"), "candidate/my_patch.py:1: CANDIDATE: origin is ''"),
    "a_path": (DECLARED.format("'a/b', Pgtable, Mmu, 'a test'"), "candidate/my_patch.py:1: CANDIDATE: name is 'a/b'"),
    "taken": (DECLARED.format("'v5.14', Pgtable, Mmu, 'a test'"), "'v5.14' is the name of another version: candidate/"),
    "too_few": (DECLARED.format("'mine', Pgtable, Mmu"), "candidate/my_patch.py:5: TypeError: "),
    "not_utf8": ("x = '\xff'\n", "candidate/my_patch.py:1: SyntaxError: "),
}


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """Copy the packages, so that a test may change them."""
    # The bytecode is copied, too: it identifies its source by time and size, and processes start sooner.
    for name in ("reference", "candidate", "fuzz"):
        shutil.copytree(ROOT / name, tmp_path / name)
    return tmp_path


@pytest.mark.parametrize("name", BROKEN_CANDIDATES)
def test_a_candidate_that_cannot_be_imported(checkout: Path, name: str) -> None:
    text, said = BROKEN_CANDIDATES[name]
    (checkout / "candidate" / "my_patch.py").write_text(text, encoding="latin-1")
    result = process("list", path=checkout, cwd=checkout, stdout=subprocess.PIPE)
    refused((result.returncode, result.stdout, result.stderr), said)


def test_a_reference_that_cannot_be_imported_is_an_internal_error(checkout: Path) -> None:
    with open(checkout / "reference" / "mmu.py", "a", encoding="utf-8") as file:
        file.write("\ndef f(:\n")
    result = process("list", path=checkout, cwd=checkout, stdout=subprocess.PIPE)
    assert result.returncode == 3
    assert "a mistake of s2fuzz: SyntaxError" in result.stderr


CRASHING = """\
from candidate import Candidate
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
        ("Pgtable", "MmuMine", "KeyError in kvm_mmu_cache_min_pages", "KeyError: 'paegs', at candidate/mine.py:8"),
        ("PgtableMine", "Mmu", "TypeError in kvm_pte_to_phys", "'NoneType' and 'int', at reference/pgtable.py:"),
    ],
)
def test_a_crash_of_the_candidate_is_reported_with_its_place(
    checkout: Path, pgtable: str, mmu: str, signature: str, reason: str
) -> None:
    """Check the reason for it: the signature contains neither message nor line."""
    declared = f"\n\nCANDIDATE = Candidate('mine', {pgtable}, {mmu}, 'a test')\n"
    (checkout / "candidate" / "mine.py").write_text(CRASHING + declared)
    (checkout / "p.s2").write_text(MISSING_CLEAN)
    result = process("run", "--candidate", "mine", "p.s2", path=checkout, cwd=checkout, stdout=subprocess.PIPE)
    assert result.returncode == 1
    lines = result.stdout.splitlines()
    at = lines.index(f"regression  contract: kvm_handle_guest_abort: oops {signature}")
    assert lines[at + 1].strip().startswith("the code crashed: ")
    assert reason in lines[at + 1]


PAGE = ROOT / "docs" / "architecture.md"


def with_example(checkout: Path, *changes: tuple[str, str]) -> None:
    """Write the page's example candidate into the folder, with these replacements."""
    (text,) = [block.text for block in blocks(PAGE) if block.language == "python"]
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    (checkout / "candidate" / "my_patch.py").write_text(text)
    # The notifier of the discard unmaps.
    (checkout / "p.s2").write_text("s2fuzz 1\nvm\nslot a size=64K backing=anon\ncpu0 read a+0\nhost discard a+0 4K\n")


UNMAP = "def kvm_pgtable_stage2_unmap("
FLUSH = "__kvm_tlb_flush_vmid__"


@pytest.mark.parametrize(
    ("old", "new", "right"),
    [
        (UNMAP, "def kvm_pgtable_stage2_umap(", "kvm_pgtable_stage2_unmap"),
        (UNMAP, "def kvm_pgtable_stage2_unmpa(", "kvm_pgtable_stage2_unmap"),
        (UNMAP, "def __kvm_pgtable_visit(", "__kvm_pgtable_visit__"),
        (UNMAP, "def KVM_pgtable_stage2_unmap(", "kvm_pgtable_stage2_unmap"),
        (FLUSH, "__kvm_tlb_flush_vmi__", FLUSH),
        (FLUSH, "__kvm_tlb_flush_vimd__", FLUSH),
        (FLUSH, "__kvm_tlb_flush_vmid", FLUSH),
        (FLUSH, "__kvm_TLB_flush_vmid__", FLUSH),
        ("super().kvm_pgtable_stage2_unmap", "super().kvm_pgtable_stage2_unmp", "kvm_pgtable_stage2_unmap"),
        ("import Mmu", "import Mum", "Mmu"),
    ],
)
def test_the_misspelt_example_is_refused(checkout: Path, old: str, new: str, right: str) -> None:
    with_example(checkout, (old, new))
    result = process("run", "--candidate", "my-patch", "p.s2", path=checkout, cwd=checkout, stdout=subprocess.PIPE)
    assert (result.returncode, result.stdout) == (2, "")
    assert "Traceback" not in result.stderr
    last = result.stderr.splitlines()[-1]
    assert re.search(r"candidate/my_patch\.py:[0-9]+: ", last)
    assert re.search(rf"did you mean [^?]*\b{right}\b", last)


def test_the_unchanged_example(checkout: Path) -> None:
    with_example(checkout)
    result = process(
        "run", "--candidate", "my-patch", "--json", "p.s2", path=checkout, cwd=checkout, stdout=subprocess.PIPE
    )
    assert result.returncode == 0
    assert result.stderr == "s2fuzz: my-patch (on original) overrides kvm_pgtable_stage2_unmap; adds nothing\n"
    answer = json.loads(result.stdout)
    assert answer["exit_code"] == 0
    (changes,) = answer["changes"]
    assert changes == {
        "candidate": "my-patch",
        "on": ["original"],
        "overrides": ["kvm_pgtable_stage2_unmap"],
        "adds": [],
        "sets": [],
        "same": False,
    }


COMMANDS = {
    "run": ("run", "--candidate", "my-patch", "p.s2"),
    "all": ("run", "p.s2"),
    "trace": ("run", "--candidate", "my-patch", "--trace", "p.s2"),
    "fuzz": ("fuzz", "--candidate", "my-patch", "--programs", "40"),
    "hypothesis": ("fuzz", "--candidate", "my-patch", "--engine", "hypothesis", "--programs", "40"),
    "campaign": ("campaign", "c", "--candidate", "my-patch", "--hours", "0.02", "--workers", "1"),
    "minimize": ("minimize", "--candidate", "my-patch", "p.s2"),
    "cover": ("cover", "--candidate", "my-patch", "p.s2"),
}


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_ends_with_the_line_of_the_mistake(checkout: Path, name: str) -> None:
    with_example(checkout, ("        return ret\n", "        return rte\n"))
    line = (checkout / "candidate" / "my_patch.py").read_text().splitlines().index("        return rte") + 1
    result = process(*COMMANDS[name], path=checkout, cwd=checkout, stdout=subprocess.PIPE)
    assert result.returncode == 2
    assert "Traceback" not in result.stderr
    told = f"candidate/my_patch.py:{line}: NameError: name 'rte' is not defined (did you mean 'ret'?)"
    (mistake,) = [each for each in result.stderr.splitlines() if "NameError" in each and "unit " not in each[:5]]
    assert told in mistake


def test_the_mistake_is_in_the_answer(checkout: Path) -> None:
    with_example(checkout, ("        return ret\n", "        return rte\n"))
    arguments = ("fuzz", "--candidate", "my-patch", "--programs", "40", "--json")
    result = process(*arguments, path=checkout, cwd=checkout, stdout=subprocess.PIPE)
    answer = json.loads(result.stdout)
    assert (result.returncode, answer["exit_code"], answer["error"]["kind"]) == (2, 2, "candidate")
    assert "NameError" in answer["error"]["message"]
