# SPDX-License-Identifier: GPL-2.0-only
"""The files of KVM in which two trees differ and that no build of them compiles, such as ``nvhe/tlb.c``.

No run can tell anything about a change to these files. Headers that ``native/shim`` replaces count too.
"""

import os
import re
from collections.abc import Collection, Iterator
from fnmatch import fnmatch
from pathlib import Path
from typing import Final

from ..building.plan import NATIVE
from ..building.source import ARM
from .c_text import without_comments

# Whole folders, and patterns of names in others.
_FOLDERS: Final = (f"{ARM}/kvm", "virt/kvm", "include/kvm")
_PATTERNS: Final = (
    (f"{ARM}/include/asm", ("kvm*.h", "stage2*.h", "tlbflush.h", "virt.h", "*pgtable*.h", "vncr*.h", "hyp_image.h")),
    (f"{ARM}/include/uapi/asm", ("kvm*.h",)),
    ("include/asm-generic", ("kvm*.h",)),
    ("include/linux", ("kvm*.h", "entry-kvm.h", "mmu_notifier.h")),
    ("include/trace/events", ("kvm*.h",)),
    ("include/uapi/linux", ("kvm*.h",)),
)
_CODE: Final = (".c", ".h", ".S")
_RULES: Final = ("Kconfig", "Makefile", "Makefile.kvm")
# A kernel build writes these beside the sources.
_GENERATED: Final = ("hyp_constants.h", "hyp-reloc.S")
_REMARK: Final = re.compile(r"^\s*#.*$", re.MULTILINE)
_SPACE: Final = re.compile(r"\s+")


def outside(roots: tuple[Path, Path], compiled: Collection[str]) -> list[str]:
    """Return the paths of KVM files that differ in two trees, in more than comments and spaces, and are not compiled.

    :param roots: the top folders of the trees
    :param compiled: paths of the files that the compiler read in either tree; they are compared elsewhere
    """
    paths = {path for root in roots for path in _of_kvm(root)} - set(compiled)
    return sorted(path for path in paths if _differ(roots[0] / path, roots[1] / path))


def _of_kvm(root: Path) -> Iterator[str]:
    """Yield the files that belong to KVM, and those that our headers replace, whether they exist or not."""
    for folder in _FOLDERS:
        # Copies of trees may consist of links.
        for here, _, names in os.walk(root / folder, followlinks=True):
            below = Path(here).relative_to(root).as_posix()
            yield from (f"{below}/{name}" for name in names if _is_source(name))
    for folder, patterns in _PATTERNS:
        names = os.listdir(root / folder) if (root / folder).is_dir() else []
        yield from (f"{folder}/{name}" for name in names if any(fnmatch(name, each) for each in patterns))
    shim = NATIVE / "shim"
    for header in shim.rglob("*.h"):
        name = header.relative_to(shim).as_posix()
        yield from (f"{ARM}/include/{name}", f"include/{name}")


def _is_source(name: str) -> bool:
    return (name.endswith(_CODE) or name in _RULES) and name not in _GENERATED


def _differ(one: Path, other: Path) -> bool:
    """Return whether two files differ in more than comments and spaces; a missing file counts as empty."""
    try:
        if os.path.samefile(one, other):
            return False
    except OSError:
        # One of them does not exist, or cannot be read.
        pass
    old, new = _bytes(one), _bytes(other)
    return old != new and _code(one.name, old) != _code(one.name, new)


def _bytes(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError:
        return b""


def _code(name: str, data: bytes) -> str:
    """Return the text of a file without comments and spaces."""
    text = data.decode(errors="replace")
    return _SPACE.sub("", _REMARK.sub("", text) if name in _RULES else without_comments(text))
