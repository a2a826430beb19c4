# SPDX-License-Identifier: GPL-2.0-only
"""Copies of a real tree that do not fit s2fuzz or do not compile: one line names the place and the remedy."""

import re
from pathlib import Path
from typing import Final

import pytest

import candidate
from candidate.tree import PREFIX
from candidate.tree.building.compiler import CompileFailedError, CompilerJob
from candidate.tree.building.source import KVM_MAIN, MMU, PGTABLE, TreeSource
from candidate.tree.building.wrong import compile_message
from fuzz.judging.differential import Differential
from fuzz.language.text import parse

from ..unit.console import refused
from .tree_check import check, left
from .trees import changed, real_tree, small_tree, version

HOST: Final = "include/linux/kvm_host.h"


def test_a_syntax_error_in_a_patch(tmp_path: Path, cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    original = real_tree()
    lines = (original / MMU).read_text().splitlines()
    at = lines.index("int kvm_handle_guest_abort(struct kvm_vcpu *vcpu)")
    text = "\n".join([*lines[:at], "int kvm_handle_guest_abort(struct kvm_vcpu *vcpu", *lines[at + 1 :]]) + "\n"
    tree = changed(original, tmp_path / "tree", {MMU: text})
    refused(check(tree, capsys), f"{tree} does not compile: {MMU}:{at + 2}: expected ")
    assert left(cache) == []


def test_a_misspelt_function(tmp_path: Path, cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    original = real_tree()
    text = (original / PGTABLE).read_text()
    line = text[: text.index("kvm_tlb_flush_vmid_range(mmu, addr, size)")].count("\n") + 1
    other = text.replace("kvm_tlb_flush_vmid_range(mmu, addr, size)", "kvm_tlb_flash_vmid_range(mmu, addr, size)")
    tree = changed(original, tmp_path / "tree", {PGTABLE: other})
    refused(check(tree, capsys), f"{tree} does not compile: {PGTABLE}:{line}: implicit declaration of function")
    assert left(cache) == []


def test_an_instruction_of_arm64(tmp_path: Path, cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    original = real_tree()
    old = "int kvm_handle_guest_abort(struct kvm_vcpu *vcpu)\n{\n"
    before, _, after = (original / MMU).read_text().partition(old)
    text = f'{before}{old}\tasm volatile("yield2");\n{after}'
    line = (before + old).count("\n") + 1
    tree = changed(original, tmp_path / "tree", {MMU: text})
    refused(check(tree, capsys), f"{tree} does not compile: {MMU}:{line}: no such instruction: `yield2'")
    assert left(cache) == []


@pytest.mark.parametrize(
    ("header", "words"),
    [
        ("include/linux/kvm_types.h", ("does not compile: include/", ": No such file or directory")),
        ("arch/arm64/include/asm/sysreg.h", ("lacks the header", "native/shim/asm/sysreg.h:", "use a complete tree")),
    ],
)
def test_a_header_that_moved(
    header: str, words: tuple[str, ...], tmp_path: Path, cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tree = changed(real_tree(), tmp_path / "tree", {header: None})
    name = header.partition("include/")[2]
    refused(check(tree, capsys), *words, name)
    assert left(cache) == []


def test_a_mistake_in_native_is_not_blamed_on_the_tree(tmp_path: Path) -> None:
    """The compiler cannot tell whether the tree or native/ has changed."""
    source = TreeSource(small_tree(tmp_path / "tree"))
    failed = CompileFailedError(CompilerJob("rt_models.o", []), "native/rt_models.c", 157, "expected ';'")
    assert compile_message(source, failed, []) == (
        f"{source.name} and s2fuzz's own files do not compile together: native/rt_models.c:157: expected ';'; "
        "fix whichever has changed"
    )


def test_a_function_that_changed_its_arguments(tmp_path: Path, cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    original = real_tree()
    text = (original / KVM_MAIN).read_text()
    old = "static struct kvm *kvm_create_vm(unsigned long type, const char *fdname)"
    assert old in text
    tree = changed(original, tmp_path / "tree", {KVM_MAIN: text.replace(old, f"{old[:-1]}, int more)")})
    result = check(tree, capsys)
    # The message is about the tree's own call or that of s2fuzz, whichever is compiled first.
    refused(result, f"{tree} ", " not compile")
    assert "too few arguments to function 'kvm_create_vm'" in result[2]
    assert left(cache) == []


def test_a_function_that_s2fuzz_calls_was_renamed(
    tmp_path: Path, cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A header still declares the old name: all files compile, but no program that calls it would have a verdict."""
    original = real_tree()
    name, other = "kvm_handle_guest_abort", "kvm_handle_stage2_abort"
    head = f"int {name}(struct kvm_vcpu *vcpu)"
    text = (original / MMU).read_text()
    assert f"\n{head}\n" in text
    new = head.replace(name, other)
    tree = changed(original, tmp_path / "tree", {MMU: text.replace(f"\n{head}\n", f"\n{new};\n{new}\n")})
    words = f"{tree}: no compiled file defines {name}(), which s2fuzz calls: "
    refused(check(tree, capsys), words, "native/glue_calls.h:")
    assert left(cache) == []
    moved = {MMU: text.replace(f"\n{head}\n", f"\n{new};\n{new}\n"), "arch/arm64/kvm/abort.c": f"{head}\n{{\n}}\n"}
    tree = changed(original, tmp_path / "other", moved)
    refused(check(tree, capsys), f"arch/arm64/kvm/abort.c defines {name}(), but is not compiled here")


def renamed(old: str, new: str) -> dict[str, str | None]:
    """Return the changed files of a copy of the real tree that renames a member."""
    paths = (KVM_MAIN, MMU, HOST, "virt/kvm/pfncache.c")
    files = {path: (real_tree() / path).read_text() for path in paths}
    return {path: re.sub(rf"\b{old}\b", new, text) for path, text in files.items() if old in text}


def test_a_member_that_s2fuzz_needs_was_renamed(
    tmp_path: Path, common_cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The message names the member, the place that needs it, the compiler's error, and the file to change."""
    name = "manual_dirty_log_protect"
    tree = changed(real_tree(), tmp_path / "tree", renamed(name, "manual_protect"))
    words = (
        f"{tree} lacks the member {name} of struct kvm, which s2fuzz needs (native/glue_life.h:",
        f": 'struct kvm' has no member named '{name}'",
        "); if the tree has renamed it, use its name in candidate/tree/native/glue_life.h",
    )
    refused(check(tree, capsys), *words)


def test_the_sequence_of_notifiers_is_found_by_its_use(tmp_path: Path, common_cache: Path) -> None:
    """Neither name of a kernel is needed, as the tree tells which members its retry function reads."""
    files = renamed("mmu_invalidate_seq", "seq_of_notifiers")
    files = {
        path: text.replace("mmu_invalidate_in_progress", "notifiers_running") for path, text in files.items() if text
    }
    copy = f"{PREFIX}{changed(real_tree(), tmp_path / 'tree', files)}"
    program = parse("s2fuzz 1\nvm cpus=1\nslot a size=64K backing=anon\ncpu0 read a+0\nhost discard a+0 4K\n")
    verdict = Differential(candidate.get(version()), candidate.get(copy)).run(program)
    assert (verdict.refused, verdict.findings) == ("", [])


def test_a_sequence_that_is_not_found(tmp_path: Path, common_cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The message names the file of native/ that uses the macro, not the header that defines it."""
    files = renamed("mmu_invalidate_seq", "seq_of_notifiers")
    files[HOST] = str(files[HOST]).replace(" != mmu_seq", " - mmu_seq")
    tree = changed(real_tree(), tmp_path / "tree", files)
    words = (
        "lacks the member mmu_invalidate_seq of struct kvm, which s2fuzz needs (native/glue_vms.h:",
        "; if the tree has renamed it, mend the pattern of SEQ_MEMBER in candidate/tree/building/probes.py",
    )
    refused(check(tree, capsys), *words)
