# SPDX-License-Identifier: GPL-2.0-only
"""The list of symbols matches the definitions of native/, and determines what a call does."""

import ctypes
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from candidate.tree.building import symbols
from candidate.tree.building.plan import NATIVE, BuildSettings
from candidate.tree.building.source import TreeSource
from candidate.tree.building.symbols import (
    CLASSES,
    FILE,
    HARMLESS,
    LIBRARY,
    MODELLED,
    REFUSED,
    UNKNOWN,
    ZERO,
    OutsideSymbols,
    listed,
    outside,
    reason,
    stubs,
)
from candidate.tree.facts import facts
from candidate.tree.library import TreeError, make
from fuzz.command_line import cli
from fuzz.command_line.commands.tree import unknown_text

from ..unit.console import refused
from .trees import changed, real_tree, real_trees, small_tree

REMEDY: Final = "add them to [modelled], or begin a name for the driver with shim_ (docs/how-to/symbol.md)"
# Stands in for definitions of rt_*.c.
COUNT: Final = "long calls; long shim_unmodelled(const char *name, void *from) { calls++; return 7; }\n"


def test_every_symbol_has_a_class_and_a_reason() -> None:
    assert {symbol.kind for symbol in listed().values()} == set(CLASSES)
    assert all(re.fullmatch(r"\w+", name) for name in listed())
    assert reason("vcpu_write_sys_reg").startswith("registers of the guest")
    assert reason("no_such_function") == "it is not in the list of symbols"


def test_string_functions_of_native_are_those_of_the_c_library() -> None:
    """A stub for a string function that a patch calls would take the calls of native/ as well, in every program."""
    text = "".join(file.read_text(encoding="utf-8") for file in sorted(NATIVE.glob("rt*.[ch]")))
    called = set(re.findall(r"\b((?:str|mem)[a-z]+)\(", text))
    assert {"strcpy", "memcpy"} <= called
    # A function that native/ defines itself has no stub either.
    assert {name for name in called if name not in listed() or listed()[name].kind not in (LIBRARY, MODELLED)} == set()


def test_native_defines_each_modelled_symbol() -> None:
    """Search its source text, which also contains names defined by macros."""
    text = "".join(file.read_text() for file in sorted(NATIVE.glob("*.[ch]")))
    missing = [
        name for name, symbol in listed().items() if symbol.kind == MODELLED and not re.search(rf"\b{name}\b", text)
    ]
    assert missing == [], f"no file of {NATIVE} has them: define them there, or give them another class in {FILE}"


@pytest.mark.parametrize("name", real_trees() or ["none"])
def test_symbols_that_native_defines_for_a_tree_are_listed_as_modelled(name: str, common_cache: Path) -> None:
    """Other functions, which the driver or another part of native/ calls, have prefixes of their own."""
    library = make(TreeSource(real_tree(name)), BuildSettings()).library
    lines = subprocess.run(["nm", "-lg", "--defined-only", library], capture_output=True, text=True, check=True).stdout
    ours = re.findall(r"^\S+ [A-Z] (\w+)\t\S*native/\w+\.c:\d+$", lines, re.MULTILINE)
    assert len(ours) > 100
    driver = re.compile(r"(shim|rt|real|_start$)_?|__(tsan|ubsan|gcov)_")
    stranger = [each for each in ours if each not in listed() and not driver.match(each)]
    assert stranger == [], f"native/ defines them, {FILE} does not list them: {REMEDY}"


def test_a_stub_does_what_its_class_says(tmp_path: Path) -> None:
    kinds = {"quiet": HARMLESS, "loud": REFUSED, "strange": UNKNOWN, "zeroes": ZERO, "data": UNKNOWN, "ours": MODELLED}
    text = stubs(OutsideSymbols(kinds, frozenset({"strange", "quiet", "loud"}), ()))
    assert "ours" not in text
    (tmp_path / "stubs.c").write_text(COUNT + text)
    command = ["gcc", "-shared", "-fPIC", "-w", "-fno-builtin", "-o", "stubs.so", "stubs.c"]
    subprocess.run(command, cwd=tmp_path, check=True)
    library = ctypes.CDLL(str(tmp_path / "stubs.so"))
    calls = ctypes.c_long.in_dll(library, "calls")
    assert (library.quiet(), calls.value) == (0, 0)
    assert (library.loud(), calls.value) == (7, 1)
    assert (library.strange(), calls.value) == (7, 2)
    assert ctypes.c_long.in_dll(library, "zeroes").value == 0
    # Unknown data must not be accessed, since its contents are unknown.
    address = ctypes.addressof(ctypes.c_char.in_dll(library, "data"))
    assert access_rights(address) == "---p"


def access_rights(address: int) -> str:
    """Return the access rights of this process at an address."""
    for line in Path("/proc/self/maps").read_text().splitlines():
        start, _, end = line.split()[0].partition("-")
        if int(start, 16) <= address < int(end, 16):
            return line.split()[1]
    return ""


def test_a_new_dependency_of_a_patch_is_unknown(tmp_path: Path, common_cache: Path) -> None:
    """A patch calls a function from a file that is not compiled here."""
    tree = real_tree()
    path = "arch/arm64/kvm/mmu.c"
    text = (tree / path).read_text()
    old = "int kvm_handle_guest_abort(struct kvm_vcpu *vcpu)\n{\n"
    assert old in text
    new = f"void patched_in(struct kvm_vcpu *vcpu);\n{old}\tpatched_in(vcpu);\n"
    copy = changed(tree, tmp_path / "tree", {path: text.replace(old, new)})
    built = make(TreeSource(copy), BuildSettings())
    assert [name for name, kind in built.record["symbols"].items() if kind == UNKNOWN] == ["patched_in"]
    assert "patched_in" not in built.record["idle"]
    line = text[: text.index(old)].count("\n") + 4
    assert facts(TreeSource(copy), built).uses == {"patched_in": [f"{path}:{line}, in kvm_handle_guest_abort()"]}


def test_a_function_in_a_file_that_is_not_compiled_is_unknown(tmp_path: Path, common_cache: Path) -> None:
    """A patch moves a function into mmio.c; the command names that file."""
    tree = real_tree()
    path, new = "arch/arm64/kvm/mmu.c", "arch/arm64/kvm/mmio.c"
    text = (tree / path).read_text()
    found = re.search(r"^static bool memslot_is_logging\(.*?\n}\n", text, re.DOTALL | re.MULTILINE)
    assert found is not None
    declared = "bool memslot_is_logging(struct kvm_memory_slot *memslot);\n"
    moved = (tree / new).read_text() + found[0].removeprefix("static ")
    copy = changed(tree, tmp_path / "tree", {path: text.replace(found[0], declared), new: moved})
    about = facts(TreeSource(copy), make(TreeSource(copy), BuildSettings()))
    assert about.defined == {"memslot_is_logging": new}
    line = unknown_text("memslot_is_logging", about.uses["memslot_is_logging"], new)
    assert line.startswith(f"memslot_is_logging: is in {new}, which is not compiled; {path}:")


def test_a_definition_of_the_tree_overrides_a_model(tmp_path: Path, common_cache: Path) -> None:
    """This happens after a patch that moves a function into mmu.c."""
    tree = real_tree()
    path = "arch/arm64/kvm/mmu.c"
    moved = "int io_mem_abort(struct kvm_vcpu *vcpu, phys_addr_t fault_ipa)\n{\n\treturn 1;\n}\n"
    copy = changed(tree, tmp_path / "tree", {path: (tree / path).read_text() + moved})
    before, after = (make(TreeSource(each), BuildSettings()) for each in (tree, copy))
    assert before.record["symbols"]["io_mem_abort"] == MODELLED
    assert "io_mem_abort" not in after.record["symbols"]
    lines = subprocess.run(["nm", "-l", after.library], capture_output=True, text=True, check=True).stdout
    assert re.search(rf"^\S+ \w io_mem_abort\t\S*{path}:\d+$", lines, re.MULTILINE)


@pytest.fixture
def other_list(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Replace the real list by an empty one; yield its path."""
    file = tmp_path / "other.toml"
    file.write_text("")
    monkeypatch.setattr(symbols, "FILE", file)
    listed.cache_clear()
    yield file
    listed.cache_clear()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[modelled\n", "at line 1"),
        ("[modeled]\n", "unknown class modeled; allowed: modelled, library, harmless, zero, refused"),
        ('zero = "kvm_stats"\n', "zero is not a table; allowed: [zero], with reasons and names below it"),
        ("[zero]\ndata = 1\n", "zero, 'data': not a string; allowed: names separated by spaces"),
        ('[zero]\ndata = "one two one"\n', "one is listed twice"),
    ],
)
def test_a_mistake_in_the_list(
    text: str, words: str, other_list: Path, tmp_path: Path, cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other_list.write_text(text)
    code = cli.main(["tree", "check", str(small_tree(tmp_path / "tree"))])
    out, err = capsys.readouterr()
    refused((code, out, err), f"s2fuzz: {other_list}: ", words)


def test_a_symbol_listed_as_modelled_must_be_defined(other_list: Path, tmp_path: Path) -> None:
    for name, text in (
        ("tree", "void kfree(void *p); int made_up(void); int f(void) { kfree(0); return made_up(); }"),
        ("ours", "int shim;"),
    ):
        (tmp_path / f"{name}.c").write_text(text)
        subprocess.run(["gcc", "-c", "-fPIC", f"{name}.c"], cwd=tmp_path, check=True)
    subprocess.run(["gcc", "-shared", "-o", "library.so", "tree.o"], cwd=tmp_path, check=True)
    objects = ["tree.o"], ["ours.o"], ["ours.o"]
    # A file of native/ defines kfree(), at least for some trees.
    other_list.write_text('[modelled]\nmemory = "kfree"\n')
    assert outside(tmp_path, *objects, "library.so").kinds == {"kfree": UNKNOWN, "made_up": UNKNOWN}
    other_list.write_text('[modelled]\nmemory = "kfree made_up"\n')
    listed.cache_clear()
    with pytest.raises(
        TreeError, match=rf"{other_list}: made_up is listed as modelled, but no file of \S+native defines"
    ):
        outside(tmp_path, *objects, "library.so")


@pytest.mark.parametrize("kind", [HARMLESS, LIBRARY, ZERO, REFUSED])
def test_a_symbol_that_native_defines_must_be_listed_as_modelled(kind: str, other_list: Path, tmp_path: Path) -> None:
    for name, text in (
        ("tree", "void quiet(void); void f(void) { quiet(); }"),
        ("ours", "void quiet(void) { }"),
        ("empty", ""),
    ):
        (tmp_path / f"{name}.c").write_text(text)
        subprocess.run(["gcc", "-c", "-fPIC", f"{name}.c"], cwd=tmp_path, check=True)
    subprocess.run(["gcc", "-shared", "-o", "library.so", "tree.o", "ours.o"], cwd=tmp_path, check=True)
    other_list.write_text(f'[{kind}]\nsome = "quiet"\n')
    words = rf"{other_list}: quiet is listed as {kind}, but a file of \S+native defines it: put it into \[modelled\]"
    for mixed, host in ((["ours.o"], ["empty.o"]), (["empty.o"], ["ours.o"])):
        with pytest.raises(TreeError, match=words):
            outside(tmp_path, ["tree.o"], mixed, host, "library.so")
    # The tree's own definition wins, and the list does not matter.
    assert outside(tmp_path, ["tree.o", "ours.o"], ["empty.o"], ["empty.o"], "library.so").kinds == {}
