# SPDX-License-Identifier: GPL-2.0-only
"""Kernel code that reaches a limit of its process gets a kernel's answer, or the program has no verdict."""

from pathlib import Path
from typing import Final

import pytest

import candidate
from candidate.tree import SANITIZE
from candidate.tree.building.source import KVM_MAIN
from fuzz.judging.differential import Differential
from fuzz.judging.verdict import Verdict
from fuzz.language.text import parse

from .trees import planted, version

PROGRAM: Final = parse("s2fuzz 1\nvm cpus=1\nslot a size=64K backing=anon\ncpu0 write a+0\n")
# This code runs when a slot is set.
PLACE: Final = "\tr = __kvm_set_memory_region(kvm, mem);\n"
TEXTS: Final = """\t{
		static char texts[1100][8];
		int i;

		for (i = 0; i < 1100; i++) {
			__builtin_memcpy(texts[i], "ish", 4);
			shim_emit(EV_DSB, 0, 0, 0, texts[i]);
		}
	}
"""
PRODUCT: Final = "\tBUG_ON(__vcalloc(1UL << 63, 2, GFP_KERNEL));\n"
ALL_BITS: Final = "\tBUG_ON(vzalloc(~0UL));\n"
NEARLY_ALL_BITS: Final = "\t{ volatile size_t size = -8UL; kfree(kmalloc(size, GFP_KERNEL)); }\n"


def judged(code: str, folder: Path, suffix: str = "") -> Verdict:
    """Return the verdict on a program that runs additional code."""
    changed = planted("6.12", folder / "tree", KVM_MAIN, PLACE, code + PLACE)
    return Differential(candidate.get(version("6.12")), candidate.get(changed + suffix)).run(PROGRAM)


def test_a_text_at_many_addresses(tmp_path: Path) -> None:
    verdict = judged(TEXTS, tmp_path)
    assert (verdict.findings, verdict.refused) == ([], "")


@pytest.mark.parametrize("code", [PRODUCT, ALL_BITS], ids=["product", "all bits"])
def test_a_size_that_no_word_holds(code: str, tmp_path: Path) -> None:
    verdict = judged(code, tmp_path)
    assert (verdict.findings, verdict.refused) == ([], "")


def test_a_large_size_with_red_zones(tmp_path: Path) -> None:
    verdict = judged(NEARLY_ALL_BITS, tmp_path, SANITIZE)
    assert (verdict.findings, verdict.refused) == ([], "more small allocations than the heap holds")
