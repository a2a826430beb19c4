# SPDX-License-Identifier: GPL-2.0-only
"""Opens a tree: builds it unless the cache has it, and creates the classes that represent it."""

import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple

from reference.assembly import Assembly
from reference.compiled.choice import SANITIZE, TREE
from reference.kernel import Kernel
from reference.kvm import kvm
from reference.kvm_host import KvmHost
from reference.kvm_main import KvmMain
from reference.machine.address_space import HostTraits
from reference.mmu import Mmu
from reference.pgtable import Pgtable
from reference.tlb import AnyTlb

from . import facts, source_of
from .building import cache, probes
from .building.compiler import Compiler
from .building.errors import TreeChangedError
from .building.plan import GRANULES, BuildSettings
from .building.source import ARM, MMU, PGTABLE, TLB
from .library import BuiltTree, TreeError, is_built, make
from .runtime.errors import TreeRefusedError
from .runtime.tlb import TreeTlb
from .runtime.versions import TreeMain, TreeMmu, TreePgtable

# How often a tree is compiled at most if it is edited during each compilation.
_ATTEMPTS: Final = 3


def settings_of(granule: int, sanitize: bool = False) -> BuildSettings:
    """Return the settings with which the tree of a version is built, for a log2 of the page size in bytes."""
    return BuildSettings(granule, sanitize=sanitize, coverage=True, plain=True)


def build_ahead(names: Sequence[str], tell: Callable[[str], None]) -> None:
    """Build the trees among versions for every page size, before the time limit of a run starts.

    A tree that cannot be built is refused before the first build, or by the build for 4K pages, which comes first. A
    tree that lacks another page size is refused later, when a program asks for that size.

    :param names: names of versions; versions that are no trees are skipped
    :param tell: called with one line before each build
    :raises candidate.tree.TreeError: a tree cannot be built for pages of 4K
    """
    trees = [name for name in dict.fromkeys(names) if name.startswith(TREE)]
    for name in trees:
        source_of(name)
    for granule in GRANULES:
        for name in trees:
            source, settings = source_of(name), settings_of(granule, name.endswith(SANITIZE))
            if is_built(source, settings):
                continue
            tell(f"building {name} for pages of {(1 << granule) >> 10}K")
            try:
                make(source, settings)
            except TreeError:
                if granule == GRANULES[0]:
                    raise


class Opened(NamedTuple):
    """The parts of a `candidate.Candidate`."""

    pgtable: type[Pgtable]
    mmu: type[Mmu]
    main: type[KvmMain]
    tlb: type[AnyTlb]
    origin: str
    content: str


def opened(name: str) -> Opened:
    """Build a tree, and return the parts of its version.

    :param name: name of the version
    :raises candidate.tree.TreeError: the tree cannot be built
    """
    sanitize = name.endswith(SANITIZE)
    # Build now, so that an error of the tree is reported at once and not when the first program runs.
    first = _made(name, settings_of(GRANULES[0], sanitize))
    built = {GRANULES[0]: first.library}
    source = source_of(name)

    def found(file: str, pattern: str) -> re.Match[str] | None:
        """Return the match of a pattern in a file of the tree; it may span lines."""
        return re.search(pattern, (source.root / file).read_text(errors="replace"), re.DOTALL | re.MULTILINE)

    declared = probes.found(source)
    number = facts.version(source)
    device = found(f"{ARM}/include/asm/memory.h", r"^#define MT_DEVICE_nGnRE\s+(\d+)")

    class Bound(TreePgtable):
        """pgtable.c of this tree."""

        COUNTS_NON_ZERO = found(PGTABLE, "stage2_pte_is_counted") is not None
        COUNTS_HYP = found(PGTABLE, r"hyp_map_walker_try_leaf\((?:(?!^}).)*get_page\(") is not None
        WALKS_UNDER_RCU = found(f"{ARM}/include/asm/kvm_pgtable.h", r"\brcu_read_lock\(\)") is not None
        EXCHANGES_SHARED = found(f"{ARM}/include/asm/kvm_pgtable.h", "KVM_PGTABLE_WALK_SHARED") is not None
        HYP_DEVICE_INDEX = int(device[1]) if device else 0

        # Defined here because mypyc runs an inherited __init__ twice.
        def __init__(self, kernel: Kernel) -> None:
            super().__init__(kernel)

        @staticmethod
        def library(granule: int) -> Path:
            if granule not in built:
                try:
                    built[granule] = _beside(first, name, settings_of(granule, sanitize))
                except TreeError as error:
                    # The tree itself can be built, but may lack this page size.
                    raise TreeRefusedError(f"pages of {(1 << granule) >> 10}K: {error}") from error
            return built[granule]

    class BoundMmu(TreeMmu):
        """mmu.c of this tree."""

        TELLS_MEMORY_FAULTS = found(MMU, r"\bkvm_prepare_memory_fault_exit\(") is not None
        ACCOUNTS_TABLES = found(MMU, r"\bkvm_account_pgtable_pages\(") is not None
        SAMPLES_UNDER_MMAP = (
            found(MMU, r"_seq;(?:(?!^\}|mmap_read_lock\().)*(?:mmap_read_unlock|vma_end_read)\(") is not None
        )

        def __init__(self, host: KvmHost, pgtable: Bound) -> None:
            super().__init__(host, pgtable)

    class BoundMain(TreeMain):
        """kvm_main.c of this tree."""

        SPLITS_EAGERLY = "HAVE_SPLIT_CHUNK" in declared
        HAS_DIRTY_RINGS = "HAVE_DIRTY_RING" in declared
        HAS_GUEST_MEMFD = "HAVE_GUEST_MEMFD" in declared
        HAS_LPA2 = "HAVE_LPA2" in declared
        HAS_MTE = "HAVE_MTE" in declared
        TAGS_HUGETLB = "HAVE_TAGS_OF_HUGETLB" in declared
        ELIDES_AGED_FLUSH = "ELIDES_AGED_FLUSH" in declared
        AGES_WITHOUT_LOCK = "AGES_WITHOUT_LOCK" in declared
        FREES_BY_RANGE = "DESTROYS_BY_RANGE" in declared
        HOST = HostTraits(
            drops_zeroes=found("include/linux/rmap.h", r"\b\w+_USE_SHARED_ZEROPAGE\b") is not None,
            fills_zeroes=facts.host_since(number, 6, 13),
            collapses_read_only=facts.host_since(number, 6, 18),
            unmaps_by_area=facts.host_since(number, 6, 18),
            frees_tables=facts.host_since(number, 7, 0),
        )

        def __init__(self, kvm: kvm, mmu: BoundMmu) -> None:
            super().__init__(kvm, mmu)

    class BoundTlb(TreeTlb):
        """tlb.c of this tree."""

        content = source.digest(TLB)

        def __init__(self, assembly: Assembly) -> None:
            super().__init__(assembly)

    how = " with sanitizers" if sanitize else ""
    called = f" (Linux {number})" if number else ""
    origin = f"the kernel tree {source.name}{called}, compiled{how}"
    return Opened(Bound, BoundMmu, BoundMain, BoundTlb, origin, first.entry)


def content_of(version: str) -> str:
    """Return `Opened.content` of a tree in its current state; build the tree if necessary.

    :param version: its name, as a version
    :raises candidate.tree.TreeError: the tree cannot be built
    """
    settings = settings_of(GRANULES[0], version.endswith(SANITIZE))
    return _made(version, settings).entry


def has_changed(version: str, content: str) -> bool:
    """Return whether a tree has changed since it was opened, or no longer exists.

    :param version: its name, as a version
    :param content: `Opened.content` at the time of opening
    """
    try:
        return not cache.is_same(source_of(version), cache.read(cache.folder() / content))
    except (TreeError, OSError, ValueError, LookupError):
        return True


def _made(version: str, settings: BuildSettings) -> BuiltTree:
    """Return the library of a tree in its current state.

    :param version: its name, as a version
    :raises candidate.tree.TreeError: the tree cannot be built
    """
    for _ in range(_ATTEMPTS - 1):
        with suppress(TreeChangedError):
            return make(source_of(version), settings)
    return make(source_of(version), settings)


def _beside(first: BuiltTree, version: str, settings: BuildSettings) -> Path:
    """Return the library, with other settings, of the text that a tree had when it was opened.

    :param first: the library that was built when the tree was opened
    :param version: its name, as a version
    :raises candidate.tree.TreeError: the tree cannot be built, or was edited since
    """
    files: dict[str, str] = first.record["files"]
    if cache.is_same(source_of(version), first.record):
        made = _made(version, settings)
        if cache.are_alike(files, made.record["files"]):
            return made.library
    entry = cache.look_up_beside(files, cache.prefix(settings, Compiler()))
    if entry is None:
        raise TreeError(f"{version} has changed since it was opened; run it again")
    return entry / cache.LIBRARY
