# SPDX-License-Identifier: GPL-2.0-only
"""Versions of the kernel code under test: the original and its patched versions, by name."""

from dataclasses import dataclass
from difflib import get_close_matches
from typing import Final, Protocol

from reference.kvm_main import KvmMain
from reference.mmu import Mmu
from reference.pgtable import Pgtable

from . import bugs, rfc_v1, rfc_v1_1, rfc_v1_3, rfc_v1_fixed, rfc_v2, v5_12_9, v5_14
from . import tree as kernel_tree
from .inspection import Changes, Inspection, RefusedCandidate

__all__ = ["Candidate", "Changes", "RefusedCandidate", "changes", "get", "names", "origin", "register"]


@dataclass(frozen=True)
class Candidate:
    """A pair (pgtable.c, mmu.c) under a name.

    :param name: as on the command line
    :param origin: one line: what it is and where it comes from
    :param adds: methods that it adds on purpose, although their names are close to those of inherited ones
    :param content: of a kernel tree: changes with what is compiled of it
    :param main: kvm_main.c beneath them: the port of the original's, or a tree's own
    """

    name: str
    pgtable: type[Pgtable]
    mmu: type[Mmu]
    origin: str
    adds: tuple[str, ...] = ()
    main: type[KvmMain] = KvmMain
    content: str = ""

    @property
    def is_tree(self) -> bool:
        """Whether it is a kernel tree, whose C code runs."""
        return self.name.startswith(kernel_tree.PREFIX)


class UnknownCandidate(ValueError):
    """No candidate has this name; the message lists those there are."""


_REGISTRY: dict[str, Candidate] = {}
# What inspection said of those that were asked for.
_CHANGES: dict[str, Changes] = {}
_TREES: dict[str, Candidate] = {}
# Apart, so that nothing which goes through all versions meets them.
_BUGS: Final = {bug.name: Candidate(bug.name, bug.pgtable, bug.mmu, bug.origin) for bug in bugs.BUGS}


def register(
    name: str, pgtable: type[Pgtable], mmu: type[Mmu], origin: str, *, adds: tuple[str, ...] = ()
) -> Candidate:
    """Make a version known under *name*.

    :param adds: as in `Candidate`
    :raises ValueError: if the name is taken
    """
    if name in _REGISTRY or name in _BUGS:
        raise ValueError(f"there already is a candidate {name!r}")
    # One name alone is what a forgotten comma makes of a tuple.
    listed = (adds,) if isinstance(adds, str) else tuple(adds)
    _REGISTRY[name] = Candidate(name, pgtable, mmu, origin, listed)
    return _REGISTRY[name]


def get(name: str) -> Candidate:
    """The version called *name*, the planted bug, or the kernel tree of ``tree:PATH``, to be run.

    :raises UnknownCandidate: if there is none
    :raises candidate.tree.TreeError: the tree cannot be built
    :raises RefusedCandidate: it is not what its author thinks (`candidate.inspection`)
    """
    if name.startswith(kernel_tree.PREFIX):
        return _tree(name)
    changes(name)
    return _known(name)


def _tree(name: str) -> Candidate:
    """The version that is a kernel tree, compiled."""
    found = _TREES.get(name)
    if found is None:
        # Most versions are no trees, and need none of this.
        from .tree.opening import opened

        parts = opened(name.removeprefix(kernel_tree.PREFIX))
        found = _TREES[name] = Candidate(
            name, parts.pgtable, parts.mmu, parts.origin, main=parts.main, content=parts.content
        )
    return found


def changes(name: str) -> Changes:
    """What the version called *name* changes of the one that it derives from.

    :raises UnknownCandidate: there is none
    :raises RefusedCandidate: as in `get`
    """
    found = _CHANGES.get(name)
    if name.startswith(kernel_tree.PREFIX):
        # Its files say what it is; nothing is inherited.
        return Changes(name, (name,), (), ())
    if found is None:
        version = _known(name)
        inspection = Inspection(name, version.pgtable, version.mmu, version.adds, _classes_before(name))
        inspection.check()
        found = _CHANGES[name] = inspection.changes()
    return found


def origin(name: str) -> str:
    """What the version called *name* is, also where `get` refuses it.

    :raises UnknownCandidate: there is none
    """
    if name.startswith(kernel_tree.PREFIX):
        return _tree(name).origin
    return _known(name).origin


def names() -> list[str]:
    """All names, the original first, in the order of registration; without the planted bugs (`candidate.bugs`)."""
    return list(_REGISTRY)


def _known(name: str) -> Candidate:
    found = _REGISTRY.get(name) or _BUGS.get(name)
    if found is None:
        there = _BUGS if name.startswith("bug-") else _REGISTRY
        near = get_close_matches(name.lower(), [*_REGISTRY, *_BUGS], 1)
        hint = f" (did you mean {near[0]!r}?)" if near else ""
        raise UnknownCandidate(f"no candidate {name!r}{hint}; there are: {', '.join(there)}")
    return found


def _classes_before(name: str) -> dict[type, str]:
    """The classes of the versions that *name* may build on, each with the name of the first that has it."""
    earlier = list(_REGISTRY.values())
    if name in _REGISTRY:
        # A later version may share a class with an earlier one, and is no base of it.
        earlier = [*earlier[: list(_REGISTRY).index(name)], *_BUGS.values()]
    known: dict[type, str] = {Pgtable: "original", Mmu: "original"}
    for version in earlier:
        known.setdefault(version.pgtable, version.name)
        known.setdefault(version.mmu, version.name)
    return known


class _Add(Protocol):
    """`register`."""

    def __call__(
        self, name: str, pgtable: type[Pgtable], mmu: type[Mmu], origin: str, *, adds: tuple[str, ...] = ()
    ) -> Candidate: ...


def _register_all(add: _Add) -> None:
    add(
        "original",
        Pgtable,
        Mmu,
        "pgtable.c blob 4d177ce1d536, the pre-image of RFC v1, with mmu.c blob 8711894db8c2 (v5.12.9)",
    )
    add(
        "rfc-v1-1",
        rfc_v1_1.PgtableRfcV1_1,
        rfc_v1_1.MmuRfcV1_1,
        "RFC v1 1/4 (8 Feb 2021): clean of the D-cache moves to the map handler",
    )
    add(
        "rfc-v1-3",
        rfc_v1_3.PgtableRfcV1_3,
        rfc_v1_3.MmuRfcV1_3,
        "RFC v1 1-3/4: and the block is installed before the pages are unmapped",
    )
    add(
        "rfc-v1",
        rfc_v1.PgtableRfcV1,
        rfc_v1.MmuRfcV1,
        "RFC v1 1-4/4: and the memory cache is filled under the lock, only where needed",
    )
    add(
        "rfc-v1-fixed",
        rfc_v1_fixed.PgtableRfcV1Fixed,
        rfc_v1_fixed.MmuRfcV1Fixed,
        "RFC v1 with what its review agreed on: D-clean, then I-invalidation in the helper; fill before the lock",
    )
    add(
        "rfc-v2",
        rfc_v2.PgtableRfcV2,
        rfc_v2.MmuRfcV2,
        "RFC v2 1-3/3 (10 Mar 2021): both kinds of cache maintenance move to the map handler; RFC v1 2-4/4 again",
    )
    add(
        "v5.12.9",
        v5_12_9.PgtableV5_12_9,
        v5_12_9.MmuV5_12_9,
        "the original with upstream fix 357ad203d45c: the walk rounds its cursor down (B05)",
    )
    add(
        "v5.14",
        v5_14.PgtableV5_14,
        v5_14.MmuV5_14,
        "stage 2 of pgtable.c as of v5.14, series v7 merged (25aa28691bb9); of mmu.c what v7 changes",
    )


_register_all(register)
