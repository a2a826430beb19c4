# SPDX-License-Identifier: GPL-2.0-only
"""Trees to test with: real ones, changed copies of them, and small ones that only look like one."""

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

import pytest

import candidate
from candidate.tree import PREFIX
from candidate.tree.building.source import FIRST_HEADERS, KVM_MAIN, MMU, PGTABLE, RBTREE
from fuzz.execution.executor import Executor
from fuzz.language.program import KIB, MEMFD, Program, pre_faults

# Files and folders that a build requires before it compiles anything.
NEEDED: Final = (
    *(PGTABLE, MMU, KVM_MAIN, RBTREE, *FIRST_HEADERS, "arch/arm64/Kconfig", "arch/arm64/include/asm/memory.h"),
    *("arch/arm64/include/uapi/asm/kvm.h", "include/asm-generic/Kbuild", "include/uapi/linux/kvm.h"),
)
_HOME: Final = os.environ.get("S2FUZZ_TREES", "")
_WHY: Final = "needs kernel trees: S2FUZZ_TREES names a folder with sub-folders 5.12.9, 6.1, 6.12, ..."


def real_trees() -> list[str]:
    """Return the names of the available trees."""
    home = Path(_HOME)
    there = sorted(each.name for each in home.iterdir() if (each / MMU).is_file()) if _HOME else []
    if _HOME and not there:
        raise ValueError(f"S2FUZZ_TREES: no kernel trees in {home}")
    return there


def needs_optional_features(program: Program) -> bool:
    """Return whether a program needs a feature that only some trees have."""
    vm = program.vm
    lpa2 = vm.pa > 48 and vm.granule < 64 * KIB
    memfd = any(slot.backing == MEMFD for slot in program.slots)
    return vm.split > 0 or vm.ring > 0 or vm.mte or vm.bbm or vm.nested or lpa2 or memfd or pre_faults(program)


def real_tree(name: str = "6.12") -> Path:
    """Return the folder of a real tree; skip the test if the tree is not available."""
    if name not in real_trees():
        pytest.skip(f"{_WHY} ({name} is not there)")
    return Path(_HOME) / name


def small_tree(folder: Path) -> Path:
    """Make a folder that looks like a tree: each required file exists and is empty."""
    for path in NEEDED:
        file = folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("")
    return folder


def around(file: Path, text: str, last: bool = False) -> tuple[str, str, str]:
    """Split a file at a text that it must contain: the part before, the text, the part after.

    :param last: split at the last occurrence of the text, not at the first
    """
    source = file.read_text()
    assert text in source, f"{file} has no {text!r} any more"
    return source.rpartition(text) if last else source.partition(text)


def changed(tree: Path, folder: Path, files: Mapping[str, str | None]) -> Path:
    """Copy a tree by links, with other contents in some files; return the folder.

    :param files: path -> text; None: the file is missing
    """
    folder.mkdir()
    _link(tree, folder)
    for path, text in files.items():
        here = folder
        for part in Path(path).parts[:-1]:
            here /= part
            if here.is_symlink():
                original = here.readlink()
                here.unlink()
                here.mkdir()
                _link(original, here)
            here.mkdir(exist_ok=True)
        file = folder / path
        file.unlink(missing_ok=True)
        if text is not None:
            file.write_text(text)
    return folder


def planted(tree: str, folder: Path, path: str, text: str, instead: str) -> str:
    """Copy a real tree, replace the first occurrence of a text in a file, and return the name of the version."""
    original = real_tree(tree)
    source = (original / path).read_text()
    assert text in source
    return f"{PREFIX}{changed(original, folder, {path: source.replace(text, instead, 1)})}"


def edited(tree: str, folder: Path, path: str, edits: Iterable[tuple[str, str]]) -> str:
    """Copy a real tree, replace texts that each occur once in a file, and return the name of the version."""
    original = real_tree(tree)
    source = (original / path).read_text()
    for text, instead in edits:
        assert source.count(text) == 1, text
        source = source.replace(text, instead)
    return f"{PREFIX}{changed(original, folder, {path: source})}"


def clean_run(name: str, program: Program) -> tuple[list[tuple[int, int, int]], list[str]]:
    """Run a program that breaks no rule; return the remaining leaves from 1G to 2G, and the status of each operation.

    :param name: name of the version
    :returns: level, guest address and entry of each leaf; the status of each operation
    """
    executor = Executor(candidate.get(name), program)
    try:
        assert executor.create() == []
        statuses = []
        for at in range(len(program.operations)):
            outcome, violations = executor.step(at)
            assert violations == []
            statuses.append(outcome.status)
        return list(executor.checkers.shadows[0].leaves_in(1 << 30, 2 << 30)), statuses
    finally:
        executor.dismantle()


def _link(original: Path, folder: Path) -> None:
    for each in original.resolve().iterdir():
        (folder / each.name).symlink_to(each)


def version(name: str = "6.12") -> str:
    """Return the name of a real tree as a version; skip the test if the tree is not available."""
    return f"{PREFIX}{real_tree(name)}"
