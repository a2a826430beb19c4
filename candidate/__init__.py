# SPDX-License-Identifier: GPL-2.0-only
"""Versions of the kernel code under test: the original and its patched versions, by name."""

import os
from collections.abc import Sequence
from pathlib import Path
from threading import RLock
from typing import Final

from reference.compiled.choice import is_file_name as is_file
from reference.mmu import Mmu
from reference.pgtable import Pgtable
from reference.tlb import AnyTlb, TlbVhe

from . import bugs
from . import tree as kernel_tree
from .inspection import Changes, Inspection
from .registry.declaration import CANDIDATE, Candidate
from .registry.errors import RefusedCandidateError, UnknownCandidateError
from .registry.files import anywhere, beside, canonical, load, path_of, portable
from .registry.folder import declared_by, declared_in
from .registry.meant import name_meant

__all__ = [
    "Candidate",
    "Changes",
    "RefusedCandidateError",
    "UnknownCandidateError",
    "anywhere",
    "changes",
    "declared",
    "get",
    "is_file",
    "names",
    "origin",
    "other_than",
    "portable",
    "register",
    "renewed",
]


# Kinds of names that need no registration.
_OTHERS: Final = "or a file such as ./my_patch.py, or a kernel tree such as tree:../linux"
# By name, in declaration order.
_REGISTRY: dict[str, Candidate] = {each.name: each for each in declared_in(__name__, Candidate, CANDIDATE)}
# Versions from files, keyed by file name and the path that it resolves to.
_FILES: Final[dict[tuple[str, Path], Candidate]] = {}
# Inspection results so far.
_CHANGES: dict[Candidate, Changes] = {}
_TREES: Final[dict[str, Candidate]] = {}
# Separate from the registry, so that loops over all versions skip them.
_BUGS: Final = {bug.name: Candidate(bug.name, bug.pgtable, bug.mmu, bug.origin, tlb=bug.tlb) for bug in bugs.BUGS}
# Held while a version is registered, opened, inspected or replaced, so that all threads get the same one.
_lock = RLock()


def _renew_lock() -> None:
    """Replace the lock in a forked process: a thread that held it does not run there."""
    global _lock
    _lock = RLock()


os.register_at_fork(after_in_child=_renew_lock)


def register(
    name: str,
    pgtable: type[Pgtable],
    mmu: type[Mmu],
    origin: str,
    *,
    adds: tuple[str, ...] = (),
    tlb: type[AnyTlb] = TlbVhe,
) -> Candidate:
    """Register a version as *name* in this process; modules of this folder with a declaration do not need this call.

    :param adds: as in `Candidate`; likewise *tlb*
    :raises ValueError: if the name is taken
    """
    with _lock:
        if name in _REGISTRY or name in _BUGS:
            raise ValueError(f"there already is a candidate {name!r}")
        _REGISTRY[name] = Candidate(name, pgtable, mmu, origin, adds, tlb=tlb)
        return _REGISTRY[name]


def get(name: str) -> Candidate:
    """Return the version *name* (registered, a planted bug, or the kernel tree of ``tree:PATH``), to be run.

    :param name: a name that contains a ``/`` or ends in ``.py`` is a file, which declares the version
    :raises UnknownCandidateError: there is none
    :raises candidate.tree.TreeError: the tree cannot be built
    :raises RefusedCandidateError: it is not what its author thinks (`candidate.inspection`), or a file cannot be used
    """
    changes(name)
    return declared(name)


def declared(name: str) -> Candidate:
    """Return the version called *name* as declared: for comparison with others, not to be run.

    :raises UnknownCandidateError: there is none
    """
    return _tree(name) if name.startswith(kernel_tree.PREFIX) else _known(name)


def other_than(versions: Sequence[Candidate], contents: Sequence[str]) -> str:
    """Return the name of the first version whose content has changed; "" if none has.

    :param contents: earlier `Candidate.content` of each version; empty: do not check
    """
    pairs = zip(versions, contents, strict=False)
    return next((version.name for version, content in pairs if version.content != content), "")


def renewed(name: str) -> Candidate:
    """Return a version as `get` does, but reopen a kernel tree that has changed; `get` then returns the new one too.

    :raises UnknownCandidateError, candidate.tree.TreeError, RefusedCandidateError: as in `get`
    """
    known = _TREES.get(name)
    if known is not None:
        from .tree.opening import content_of

        if content_of(name) != known.content:
            with _lock:
                # Another thread may have reopened it meanwhile.
                if _TREES.get(name) is known:
                    del _TREES[name]
    return get(name)


def _tree(name: str) -> Candidate:
    """Return the version that is a kernel tree, compiled, in the state of the first request."""
    found = _TREES.get(name)
    if found is not None:
        return found
    # Most versions are not trees and do not need this import.
    from .tree.opening import open_tree

    with _lock:
        if name not in _TREES:
            parts = open_tree(name)
            _TREES[name] = Candidate(
                name, parts.pgtable, parts.mmu, parts.origin, main=parts.main, tlb=parts.tlb, content=parts.content
            )
        return _TREES[name]


def changes(name: str) -> Changes:
    """Return the changes that the version *name* makes to the version that it derives from.

    :raises UnknownCandidateError: there is none
    :raises RefusedCandidateError: as in `get`
    """
    if name.startswith(kernel_tree.PREFIX):
        # A tree is defined by its own files; it inherits nothing.
        return Changes(name, (name,), (), ())
    version = _known(name)
    with _lock:
        if version not in _CHANGES:
            inspection = Inspection(version.name, *version.parts, version.adds, _classes_before(version))
            inspection.check()
            _CHANGES[version] = inspection.changes()
        return _CHANGES[version]


def origin(name: str) -> str:
    """Return the origin of the version called *name*, even if `get` refuses the version.

    :raises UnknownCandidateError: there is none
    """
    return declared(name).origin


def names() -> list[str]:
    """Return all names in registration order, the original first, without the planted bugs (`candidate.bugs`)."""
    return list(_REGISTRY)


def _known(name: str) -> Candidate:
    if is_file(name):
        return _from_file(name)
    found = _REGISTRY.get(name) or _BUGS.get(name)
    if found is None:
        there = _BUGS if name.startswith("bug-") else _REGISTRY
        hint = name_meant(name, [*_REGISTRY, *_BUGS])
        raise UnknownCandidateError(f"no version {name!r}{hint}; there are: {', '.join(there)}; {_OTHERS}")
    return found


def _from_file(name: str) -> Candidate:
    """Return the version of a file; a file of this folder yields the registered version."""
    spelled, path = canonical(name), path_of(name)
    with _lock:
        if (spelled, path) not in _FILES:
            own = declared_by(path)
            _FILES[spelled, path] = _known(own) if own else load(path, spelled)
        return _FILES[spelled, path]


def _classes_before(version: Candidate) -> dict[type, str]:
    """Return the classes that *version* may build on, each with the name of the first version that has it."""
    earlier = list(_REGISTRY.values())
    if version.name in _REGISTRY:
        # A later version may share a class with an earlier one but is not its base.
        earlier = [*earlier[: list(_REGISTRY).index(version.name)], *_BUGS.values()]
    elif is_file(version.name):
        earlier += [*_BUGS.values(), *beside(version)]
    known: dict[type, str] = {Pgtable: "original", Mmu: "original", TlbVhe: "original"}
    for each in earlier:
        known.setdefault(each.pgtable, each.name)
        known.setdefault(each.mmu, each.name)
        known.setdefault(each.tlb, each.name)
    return known
