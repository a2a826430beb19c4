# SPDX-License-Identifier: GPL-2.0-only
"""Opens a tree: builds it unless the cache has it, and makes the classes that stand for it."""

import re
from pathlib import Path
from typing import NamedTuple

from reference.kernel import Kernel
from reference.kvm_host import KvmHost
from reference.kvm_main import KvmMain
from reference.mmu import Mmu
from reference.pgtable import Pgtable

from .build import TreeError, build
from .building.plan import BuildSettings
from .building.source import ARM, MMU, PGTABLE
from .runtime.errors import TreeRefused
from .runtime.versions import TreeMain, TreeMmu, TreePgtable


def settings_of(granule: int) -> BuildSettings:
    """The settings by which a tree that is a version is built, for a log2 of the page size in bytes."""
    return BuildSettings(granule, coverage=True, plain=True)


class Opened(NamedTuple):
    """The parts of a `candidate.Candidate`."""

    pgtable: type[Pgtable]
    mmu: type[Mmu]
    main: type[KvmMain]
    origin: str
    content: str


def opened(path: str) -> Opened:
    """The version that a tree is.

    :param path: the tree's top folder
    :raises candidate.tree.TreeError: it cannot be built
    """
    # Said at once what is wrong with the tree, and not when the first program runs.
    built = {12: build(Path(path), plain=True, coverage=True)}

    def found(file: str, pattern: str) -> re.Match[str] | None:
        """The match in a file of the tree, over lines as well."""
        return re.search(pattern, (Path(path) / file).read_text(errors="replace"), re.DOTALL | re.MULTILINE)

    device = found(f"{ARM}/include/asm/memory.h", r"^#define MT_DEVICE_nGnRE\s+(\d+)")

    class Bound(TreePgtable):
        """pgtable.c of this tree."""

        COUNTS_NON_ZERO = found(PGTABLE, "stage2_pte_is_counted") is not None
        COUNTS_HYP = found(PGTABLE, r"hyp_map_walker_try_leaf\((?:(?!^}).)*get_page\(") is not None
        HYP_DEVICE_INDEX = int(device[1]) if device else 0

        # Its own, since mypyc runs an inherited one twice.
        def __init__(self, kernel: Kernel) -> None:
            super().__init__(kernel)

        def library(self, granule: int) -> Path:
            if granule not in built:
                try:
                    built[granule] = build(Path(path), granule=granule, plain=True, coverage=True)
                except TreeError as error:
                    # The tree is one, but has no pages of this size, say.
                    raise TreeRefused(f"pages of {(1 << granule) >> 10}K: {error}") from error
            return built[granule]

    class BoundMmu(TreeMmu):
        """mmu.c of this tree."""

        MARKS_AGED = found(MMU, r"^static \w+ handle_access_fault\((?:(?!^}).)*_accessed\(") is not None

        def __init__(self, host: KvmHost, pgtable: Bound) -> None:
            super().__init__(host, pgtable)

    return Opened(Bound, BoundMmu, TreeMain, f"the kernel tree {path}, compiled", built[12].parent.name)
