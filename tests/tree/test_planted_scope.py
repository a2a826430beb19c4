# SPDX-License-Identifier: GPL-2.0-only
"""Mistakes planted in a copy of a tree in what a function does beyond its locks; the trees themselves show nothing."""

from pathlib import Path
from typing import Final, NamedTuple

import pytest

from candidate.tree import PREFIX
from candidate.tree.building.source import MMU

from ..unit.block_run import Run
from .trees import changed, real_tree, real_trees, version

TREE: Final = "6.12"


class PlantedScope(NamedTuple):
    """A mistake: texts of a file and what stands there instead, a program, the signature, and the line at fault."""

    edits: tuple[tuple[str, str], ...]
    program: str
    signature: str
    code: str
    path: str = MMU


FLAGS: Final = "\tvfio_allow_any_uc = vma->vm_flags & VM_ALLOW_ANY_UNCACHED;\n"
GONE: Final = "\tvma = NULL;\n"
UNLOCK: Final = "\tmmap_read_unlock(current->mm);\n\n\tpfn = "
READ: Final = "s2fuzz 1\nvm\nslot a size=2M backing=anon\ncpu0 read a+0\ncpu0 write a+0\n"
VMA_READ: Final = "locking: kvm_handle_guest_abort: VMA read after the mmap lock was dropped"
PLANTED: Final = {
    "flags of a VMA": PlantedScope(
        ((FLAGS, ""), (GONE, ""), (UNLOCK, UNLOCK.replace("\n\n", "\n" + FLAGS + "\n"))),
        READ,
        VMA_READ,
        "vma->vm_flags & VM_ALLOW_ANY_UNCACHED",
    ),
    "a VMA under the lock of another look-up": PlantedScope(
        (
            (FLAGS, ""),
            (GONE, ""),
            (UNLOCK, UNLOCK.replace("\n\n", f"\n\tmmap_read_lock(current->mm);\n{FLAGS}{UNLOCK[:-7]}")),
        ),
        READ,
        VMA_READ,
        "vma->vm_flags & VM_ALLOW_ANY_UNCACHED",
    ),
}


@pytest.mark.parametrize("name", PLANTED)
def test_planted_scope(name: str, tmp_path: Path) -> None:
    planted = PLANTED[name]
    original = real_tree(TREE)
    source = (original / planted.path).read_text()
    for text, instead in planted.edits:
        assert text in source, f"no {text!r} any more"
        source = source.replace(text, instead, 1)
    copy = changed(original, tmp_path / "tree", {planted.path: source})
    found = [each for each in Run(f"{PREFIX}{copy}", planted.program).violations if each.signature == planted.signature]
    assert found
    line = 1 + source[: source.index(planted.code)].count("\n")
    assert f"({Path(planted.path).name}:{line})" in found[0].reason, found[0].reason


@pytest.mark.parametrize("program", sorted({planted.program for planted in PLANTED.values()}))
@pytest.mark.parametrize("tree", real_trees())
def test_the_trees_show_nothing(tree: str, program: str) -> None:
    run = Run(version(tree), program)
    assert not run.refused
    assert run.violations == []
