# SPDX-License-Identifier: GPL-2.0-only
"""A kernel tree on disk: checks that it can be built, and records which of its files are used."""

import hashlib
import os
import re
import time
from pathlib import Path
from typing import Final

from .errors import TreeError
from .near_paths import is_linux, near_path

ARM: Final = "arch/arm64"
PGTABLE: Final = f"{ARM}/kvm/hyp/pgtable.c"
MMU: Final = f"{ARM}/kvm/mmu.c"
ARM_C: Final = f"{ARM}/kvm/arm.c"
NESTED: Final = f"{ARM}/kvm/nested.c"
# Code of a kernel at EL2: TLB maintenance.
VHE: Final = f"{ARM}/kvm/hyp/vhe/"
TLB: Final = f"{VHE}tlb.c"
# Code of all architectures.
VIRT: Final = "virt/kvm/"
KVM_MAIN: Final = f"{VIRT}kvm_main.c"
DIRTY_RING: Final = f"{VIRT}dirty_ring.c"
GUEST_MEMFD: Final = f"{VIRT}guest_memfd.c"
# The Makefiles that list the objects of KVM, and the folders to which the names of the objects are relative.
MAKEFILES: Final = {
    f"{ARM}/kvm/Makefile": f"{ARM}/kvm",
    f"{ARM}/kvm/hyp/Makefile": f"{ARM}/kvm/hyp",
    f"{VHE}Makefile": VHE,
    f"{VIRT}Makefile.kvm": f"{ARM}/kvm",
}
RBTREE: Final = "lib/rbtree.c"
INTERVAL_TREE: Final = "lib/interval_tree.c"
# The C files that a build compiles if the tree has them; `candidate.tree.building.added` finds further ones.
COMPILED: Final = (PGTABLE, MMU, NESTED, TLB, KVM_MAIN, DIRTY_RING, GUEST_MEMFD, RBTREE, INTERVAL_TREE)
# Included before anything else, as in a kernel build.
FIRST_HEADERS: Final = ("include/linux/kconfig.h", "include/linux/compiler_types.h")

# Files and folders that a tree must have, outermost first, and the message if one is missing.
_NEEDED: Final = (
    ("include", "is not a kernel tree: it has no folder include; allowed: the top folder of a Linux tree"),
    (ARM, "is a kernel tree without arm64: it has no folder arch/arm64; allowed: a complete tree"),
    (f"{ARM}/Kconfig", "has no arch/arm64/Kconfig; allowed: a complete tree"),
    (f"{ARM}/include/asm", "has no folder arch/arm64/include/asm; allowed: a complete tree"),
    (f"{ARM}/include/uapi/asm", "has no folder arch/arm64/include/uapi/asm; allowed: a complete tree"),
    ("include/linux", "has no folder include/linux; allowed: a complete tree"),
    ("include/asm-generic", "has no folder include/asm-generic; allowed: a complete tree"),
    ("include/uapi", "has no folder include/uapi; allowed: a complete tree"),
    (f"{ARM}/kvm", "has no folder arch/arm64/kvm; allowed: a complete tree"),
    (KVM_MAIN, "has no virt/kvm/kvm_main.c; allowed: a complete tree"),
    (MMU, "has no arch/arm64/kvm/mmu.c; allowed: a tree that keeps KVM's stage-2 code there (Linux 5.10 and later do)"),
    (
        PGTABLE,
        "has no arch/arm64/kvm/hyp/pgtable.c: it is older than Linux 5.10, or has moved it; allowed: a complete tree",
    ),
    (RBTREE, "has no lib/rbtree.c; allowed: a complete tree"),
    *((header, f"has no {header}; allowed: a tree that has it") for header in FIRST_HEADERS),
)


class TreeSource:
    """A tree with a record of the files that a build uses, which the cache compares (`candidate.tree.building.cache`).

    *files*: paths below the tree that exist and affect the build; *absent*: paths that would affect it but do not
    exist; *since*: time of the first access, as ``time.time()``

    :param root: its top folder
    :param name: its name in messages; by default the name of the folder
    :param commit: full name of the commit that the folder contains without changes; "": not known
    :raises TreeError: the folder is no tree that can be built
    """

    def __init__(self, root: Path, name: str = "", commit: str = "") -> None:
        self.name = name or str(root)
        self.commit = commit
        self.since = time.time()
        self.files: set[str] = set()
        self.absent: set[str] = set()
        self._digests: dict[str, str] = {}
        try:
            self.root = root.resolve()
            if not self.root.exists():
                near = near_path(root, is_linux)
                hint = f" (did you mean {near!r}?)" if near else ""
                raise TreeError(f"{self.name}: no such folder{hint}; allowed: the top folder of a Linux tree")
            if not self.root.is_dir():
                raise TreeError(f"{self.name} is not a folder; allowed: the top folder of a Linux tree")
            for path, wrong in _NEEDED:
                if not (self.root / path).exists():
                    raise TreeError(f"{self.name} {wrong}")
        except (OSError, ValueError, RuntimeError) as error:
            # No permission, a null byte in the name, or a loop of links.
            why = getattr(error, "strerror", None) or error
            raise TreeError(f"{self.name}: {why}; allowed: the top folder of a Linux tree") from None

    def has(self, path: str) -> bool:
        """Return whether a file exists, and record the answer."""
        there = (self.root / path).is_file()
        (self.files if there else self.absent).add(path)
        return there

    def text(self, path: str) -> str:
        """Return the text of a file; "" if there is no such file.

        :raises TreeError: the file cannot be read
        """
        if not self.has(path):
            return ""
        try:
            return (self.root / path).read_text(encoding="utf-8", errors="replace")
        except OSError as error:
            raise TreeError(f"{self.name}: cannot read {path}: {error.strerror or error}") from None

    def declares(self, pattern: str, path: str) -> bool:
        """Return whether a regular expression matches in a file; ``^`` is the beginning of a line."""
        return re.search(pattern, self.text(path), re.MULTILINE) is not None

    def digest(self, path: str) -> str:
        """Return the digest of a file; "" if it cannot be read."""
        if path not in self._digests:
            self._digests[path] = file_digest(os.path.join(self.root, path))
        return self._digests[path]

    def changed(self, path: str) -> bool:
        """Return whether a file was changed since the first access to the tree."""
        try:
            return self.since <= os.stat(os.path.join(self.root, path)).st_mtime <= time.time()
        except OSError:
            return False


def file_digest(path: str) -> str:
    """Return the digest of a file; "" if it cannot be read."""
    try:
        with open(path, "rb") as file:
            return hashlib.sha256(file.read()).hexdigest()
    except OSError:
        return ""
