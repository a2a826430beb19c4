# SPDX-License-Identifier: GPL-2.0-only
"""A crash of a tree's code is a finding that names its place; nothing else ends."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import candidate
from candidate.tree.building.source import KVM_MAIN, MMU, PGTABLE
from candidate.tree.runtime.times import seconds
from fuzz.judging.differential import REGRESSION, Differential, Finding
from fuzz.judging.hurry import VARIABLE
from fuzz.language.program import Program
from fuzz.language.text import parse
from fuzz.reports.report import rule_lines

from .trees import planted, version

PROGRAM = parse(
    "s2fuzz 1\nvm cpus=1\nslot a size=64K backing=anon\ncpu0 read a+0\nhost discard a+0 4K\ncpu0 read a+4K\n"
)
# This code runs when a page is unmapped.
PLACE = "\tmm_ops->put_page(ctx->ptep);\n}\n\nstatic bool stage2_pte_cacheable"
FUNCTION = "stage2_unmap_put_pte"
UNALLOCATED = "access to an unallocated table page"
CRASHES = {
    "BUG": ("\tBUG_ON(ctx->level == 3);\n", "oops BUG() in"),
    "a NULL pointer": ("\t*(volatile int *)(ctx->addr & 8) = 1;\n", "oops SIGSEGV in"),
    "a loop": ("\tfor (;;) barrier();\n", "oops does not return in"),
    "endless recursion": (
        "\t{ volatile char big[1 << 16]; big[0] = 1; stage2_unmap_put_pte(ctx, mmu, mm_ops); big[1] = big[0]; }\n",
        "oops stack overflow in",
    ),
    "memory far past the tables": ("\t__builtin_memset(ctx->ptep, 0, 1UL << 40);\n", f"oops {UNALLOCATED} in"),
    "a table page not yet allocated": ("\tWRITE_ONCE(ctx->ptep[1 << 24], 0);\n", f"oops {UNALLOCATED} in"),
    "a table page not yet allocated, by a plain store": (
        "\t((kvm_pte_t *)ctx->ptep)[1 << 24] = 0;\n",
        f"oops {UNALLOCATED} in",
    ),
}


# Loops that produce events, or request pages from the host.
LOOPS = {
    "a barrier": (PGTABLE, PLACE, "\tfor (;;) dsb(ishst);\n"),
    "a page of the host": (
        MMU,
        "\tmmap_read_lock(current->mm);\n\tvma = vma_lookup",
        "\tfor (;;) { struct page *p; if (get_user_page_fast_only(hva, 0, &p)) put_page(p); }\n",
    ),
}


def findings(folder: Path, file: str, text: str, instead: str, program: Program = PROGRAM) -> list[Finding]:
    """Return the findings of a program on 6.12 with another text in a file."""
    copy = planted("6.12", folder / "tree", file, text, instead)
    return Differential(candidate.get(version("6.12")), candidate.get(copy)).run(program).findings


@pytest.mark.parametrize("kind", LOOPS)
def test_loop_that_needs_the_driver(kind: str, tmp_path: Path) -> None:
    file, place, text = LOOPS[kind]
    found = findings(tmp_path, file, place, text + place)
    assert [each.kind for each in found] == [REGRESSION]
    assert "oops does not return in" in found[0].signature


def test_a_loop_ends_sooner_once_the_time_of_the_session_is_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, "1")
    text, what = CRASHES["a loop"]
    copy = planted("6.12", tmp_path / "tree", PGTABLE, PLACE, text + PLACE)
    differential = Differential(candidate.get(version("6.12")), candidate.get(copy))
    differential.run(PROGRAM)
    before = sum(seconds())
    (found,) = differential.run(PROGRAM).findings
    assert f"{what} {FUNCTION}" in found.signature
    assert found.reason.startswith(f"the call had not returned when s2fuzz ended it at {FUNCTION} (")
    assert next(rule_lines(found.signature)).strip() == "rule: kernel code returns"
    # Without that it takes 9 to 10 s.
    assert sum(seconds()) - before < 6.0


@pytest.mark.parametrize("kind", CRASHES)
def test_crash(kind: str, tmp_path: Path) -> None:
    text, what = CRASHES[kind]
    copy = planted("6.12", tmp_path / "tree", PGTABLE, PLACE, text + PLACE)
    differential = Differential(candidate.get(version("6.12")), candidate.get(copy))
    found = differential.run(PROGRAM).findings
    assert [each.kind for each in found] == [REGRESSION]
    assert f"{what} {FUNCTION}" in found[0].signature
    assert "stage2_unmap_walker > stage2_unmap_put_pte" in found[0].reason or what == CRASHES["endless recursion"][1]
    # s2fuzz continues and judges the next program.
    assert [each.signature for each in differential.run(PROGRAM).findings] == [found[0].signature]


# Calls that take or drop a reference of a table page not yet allocated.
REFERENCES = {
    "get_page": "\tget_page(virt_to_page(ctx->ptep + (1 << 24)));\n",
    "put_page": "\tput_page(virt_to_page(ctx->ptep + (1 << 24)));\n",
    "free_pages_exact": "\tfree_pages_exact(ctx->ptep + (1 << 24), PAGE_SIZE);\n",
}


@pytest.mark.parametrize("name", REFERENCES)
def test_reference_of_an_unallocated_page(name: str, tmp_path: Path) -> None:
    found = findings(tmp_path, PGTABLE, PLACE, REFERENCES[name] + PLACE)
    assert f"{name}() of physical address" in found[0].reason
    assert {each.kind for each in found} == {REGRESSION}


# Parts that the creation of a VM lacks, and the end of the signature.
UNMADE = {
    "its per-CPU area": (MMU, "\tif (!mmu->last_vcpu_ran) {", "\tif (0) {", "oops SIGSEGV in kvm_init_stage2_mmu"),
    "a root": (
        PGTABLE,
        "zalloc_pages_exact(pgd_sz);\n\tif (!pgt->pgd)",
        "zalloc_pages_exact(0);\n\tif (!pgt->pgd)",
        "error -12",
    ),
}


@pytest.mark.parametrize("what", UNMADE)
def test_vm_without(what: str, tmp_path: Path) -> None:
    file, text, instead, called = UNMADE[what]
    program = parse("s2fuzz 1\nvm cpus=1 fail=3\nslot a size=4K backing=anon\n")
    found = findings(tmp_path, file, text, instead, program)
    assert [(each.kind, each.signature) for each in found] == [(REGRESSION, f"contract: kvm_init_stage2_mmu: {called}")]


def test_loop_with_events(tmp_path: Path) -> None:
    """Checkers receive records while the code runs, and one of them stops the loop."""
    text = "\tfor (;;)\n\t\tWRITE_ONCE(*ctx->ptep, 0);\n"
    copy = planted("6.12", tmp_path / "tree", PGTABLE, PLACE, text + PLACE)
    differential = Differential(candidate.get(version("6.12")), candidate.get(copy))
    found = differential.run(PROGRAM).findings
    assert "progress: stage2_unmap_walker: too many steps" in [each.signature for each in found]
    assert f"at {FUNCTION} (pgtable.c:" in found[0].reason
    assert len(differential.run(PROGRAM).findings) == len(found)


# Unmodelled symbols, and code that needs them.
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


def test_a_string_function_that_a_patch_calls_is_that_of_the_c_library(tmp_path: Path) -> None:
    text = "\tmmap_read_lock(current->mm);\n\tvma = vma_lookup"
    call = "\t{ char name[8]; strcpy(name, \"fault\"); if (name[0] != 'f') return -EFAULT; }\n"
    copy = planted("6.12", tmp_path / "tree", MMU, text, call + text)
    verdict = Differential(candidate.get(version("6.12")), candidate.get(copy)).run(PROGRAM)
    assert (verdict.refused, verdict.findings) == ("", [])


# Places for a call of an unmodelled function: in a call that returns a bitmap, and at the end of a VM.
ELSEWHERE = {
    "a dirty log": (KVM_MAIN, "\tn = kvm_dirty_bitmap_bytes(memslot);\n\tflush = false;\n"),
    "the end of a VM": (MMU, "\twrite_lock(&kvm->mmu_lock);\n\tpgt = mmu->pgt;\n"),
}
LOGGED = parse(
    "s2fuzz 1\nvm cpus=1\nslot a size=64K backing=anon log=on\ncpu0 write a+0\nlog a get\ncpu0 write a+4K\nlog a get\n"
)


@pytest.mark.parametrize("where", ELSEWHERE)
def test_refused_elsewhere(where: str, tmp_path: Path) -> None:
    """After its process has ended, no checker and no later call sends a request to it."""
    file, text = ELSEWHERE[where]
    copy = planted("6.12", tmp_path / "tree", file, text, f"\tmemunmap(NULL);\n{text}")
    verdict = Differential(candidate.get(version("6.12")), candidate.get(copy)).run(LOGGED)
    assert verdict.refused == "memunmap"
    assert verdict.findings == []


def test_crash_at_the_end_of_a_vm(tmp_path: Path) -> None:
    file, text = ELSEWHERE["the end of a VM"]
    (found,) = findings(tmp_path, file, text, f"\tBUG();\n{text}", LOGGED)
    assert (found.kind, found.signature) == (
        REGRESSION,
        "contract: kvm_free_stage2_pgd: oops BUG() in kvm_free_stage2_pgd",
    )


def test_the_interpreter_ends_silently() -> None:
    """In the compiled form, processes that still run at its end are terminated silently."""
    code = (
        "import candidate; from fuzz.generation.generator import Generator; "
        "from fuzz.judging.differential import Differential; "
        f"tree = candidate.get({version('6.12')!r}); Differential(tree, tree).run(Generator(1).next())"
    )
    environment = {name: value for name, value in os.environ.items() if name != "S2FUZZ_PURE"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stderr == ""
