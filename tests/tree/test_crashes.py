# SPDX-License-Identifier: GPL-2.0-only
"""A crash of a tree's code is a finding with its place, and the end of nothing else."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import candidate
from candidate.tree.building.source import MMU, PGTABLE
from fuzz.judging.differential import REGRESSION, Differential
from fuzz.language.text import parse

from .trees import planted, version

PROGRAM = parse(
    "s2fuzz 1\nvm cpus=1\nslot a size=64K backing=anon\ncpu0 read a+0\nhost discard a+0 4K\ncpu0 read a+4K\n"
)
# Runs where a page is unmapped.
PLACE = "\tmm_ops->put_page(ctx->ptep);\n}\n\nstatic bool stage2_pte_cacheable"
FUNCTION = "stage2_unmap_put_pte"
CRASHES = {
    "BUG": ("\tBUG_ON(ctx->level == 3);\n", "oops BUG() in"),
    "a NULL pointer": ("\t*(volatile int *)(ctx->addr & 8) = 1;\n", "oops SIGSEGV in"),
    "a loop": ("\tfor (;;) barrier();\n", "oops does not come back in"),
    "no end of recursion": (
        "\t{ volatile char big[1 << 16]; big[0] = 1; stage2_unmap_put_pte(ctx, mmu, mm_ops); big[1] = big[0]; }\n",
        "oops stack overflow in",
    ),
    "memory far behind the tables": ("\t__builtin_memset(ctx->ptep, 0, 1UL << 40);\n", "oops SIGSEGV in"),
}


@pytest.mark.parametrize("kind", CRASHES)
def test_crash(kind: str, tmp_path: Path) -> None:
    text, what = CRASHES[kind]
    copy = planted("6.12", tmp_path / "tree", PGTABLE, PLACE, text + PLACE)
    differential = Differential(candidate.get(version("6.12")), candidate.get(copy))
    found = differential.run(PROGRAM).findings
    assert [each.kind for each in found] == [REGRESSION]
    assert f"{what} {FUNCTION}" in found[0].signature
    assert "stage2_unmap_walker > stage2_unmap_put_pte" in found[0].reason or what == CRASHES["no end of recursion"][1]
    # The tool goes on, and the next program is judged.
    assert [each.signature for each in differential.run(PROGRAM).findings] == [found[0].signature]


def test_loop_with_events(tmp_path: Path) -> None:
    """Records go to the checkers while the code runs, and one of them says that it is enough."""
    text = "\tfor (;;)\n\t\tWRITE_ONCE(*ctx->ptep, 0);\n"
    copy = planted("6.12", tmp_path / "tree", PGTABLE, PLACE, text + PLACE)
    differential = Differential(candidate.get(version("6.12")), candidate.get(copy))
    found = differential.run(PROGRAM).findings
    assert "progress: stage2_unmap_walker: endless walk" in [each.signature for each in found]
    assert f"at {FUNCTION} (pgtable.c:" in found[0].reason
    assert len(differential.run(PROGRAM).findings) == len(found)


# What nobody models, and the code that needs it.
UNMODELLED = {
    "memunmap": "\tmemunmap(NULL);\n",
    "kvm_get_kimage_voffset": (
        '\t{ u64 offset; asm volatile(ALTERNATIVE_CB("movz %0, #0", ARM64_ALWAYS_SYSTEM, kvm_get_kimage_voffset)'
        ' : "=r" (offset)); (void)offset; }\n'
    ),
    "ALTERNATIVE": '\tasm volatile(ALTERNATIVE("nop", "sb", ARM64_HAS_SB));\n',
}


@pytest.mark.parametrize("name", UNMODELLED)
def test_refused(name: str, tmp_path: Path) -> None:
    text = "\tmmap_read_lock(current->mm);\n\tvma = vma_lookup"
    copy = planted("6.12", tmp_path / "tree", MMU, text, UNMODELLED[name] + text)
    verdict = Differential(candidate.get(version("6.12")), candidate.get(copy)).run(PROGRAM)
    assert verdict.refused == name
    assert verdict.findings == []


def test_the_interpreter_ends_without_a_word() -> None:
    """Processes that are still there at its end are ended in silence, in the form that is built."""
    code = (
        "import candidate; from fuzz.generation.generator import Generator; "
        "from fuzz.judging.differential import Differential; "
        f"tree = candidate.get({version('6.12')!r}); Differential(tree, tree).run(Generator(1).next())"
    )
    environment = {name: value for name, value in os.environ.items() if name != "S2FUZZ_PURE"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stderr == ""
