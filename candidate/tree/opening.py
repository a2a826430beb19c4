# SPDX-License-Identifier: GPL-2.0-only
"""Opens a tree: builds it unless the cache has it, and returns the parts of its version."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple

from reference.compiled.choice import SANITIZE, TREE
from reference.kvm_main import KvmMain
from reference.mmu import Mmu
from reference.pgtable import Pgtable
from reference.tlb import AnyTlb

from . import bound, facts, source_of
from .building import cache, units
from .building.compiler import Compiler
from .building.errors import TreeChangedError
from .building.plan import GRANULES, BuildSettings
from .library import BuiltTree, TreeError, is_built, make
from .runtime.errors import TreeRefusedError

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


class _Libraries:
    """The libraries of a tree, each built when a program first asks for its page size.

    :param name: name of the version
    :param first: the library for 4K pages, which was built when the tree was opened
    """

    def __init__(self, name: str, first: BuiltTree) -> None:
        self.name = name
        self.first = first
        self.sanitize = name.endswith(SANITIZE)
        self.built = {GRANULES[0]: first.library}

    def library(self, granule: int) -> Path:
        """Return the library for a log2 of the page size in bytes.

        :raises TreeRefusedError: the tree cannot be built for this page size
        """
        if granule not in self.built:
            try:
                self.built[granule] = _beside(self.first, self.name, settings_of(granule, self.sanitize))
            except TreeError as error:
                # The tree itself can be built, but may lack this page size.
                raise TreeRefusedError(f"pages of {(1 << granule) >> 10}K: {error}") from error
        return self.built[granule]


def open_tree(name: str) -> Opened:
    """Build a tree, and return the parts of its version.

    :param name: name of the version
    :raises candidate.tree.TreeError: the tree cannot be built
    """
    sanitize = name.endswith(SANITIZE)
    # Build now, so that an error of the tree is reported at once and not when the first program runs.
    first = _made(name, settings_of(GRANULES[0], sanitize))
    source = source_of(name)
    added: list[str] = first.record["added"]
    units.remember(added)
    number = facts.version(source)
    how = " with sanitizers" if sanitize else ""
    called = f" (Linux {number})" if number else ""
    return Opened(
        bound.pgtable_of(source, added, _Libraries(name, first).library),
        bound.mmu_of(source, added),
        bound.main_of(source, first.record["probes"], number),
        bound.tlb_of(source, added),
        f"the kernel tree {source.name}{called}, compiled{how}",
        first.entry,
    )


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
