# SPDX-License-Identifier: GPL-2.0-only
"""Versions of the kernel code under test: the original and its patched versions, by name."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from reference.mmu import Mmu
from reference.pgtable import Pgtable

from . import bugs, rfc_v1, rfc_v1_1, rfc_v1_3, rfc_v1_fixed, rfc_v2, v5_12_9, v5_14


@dataclass(frozen=True)
class Candidate:
    """A pair (pgtable.c, mmu.c) under a name.

    :param name: as on the command line
    :param origin: one line: what it is and where it comes from
    """

    name: str
    pgtable: type[Pgtable]
    mmu: type[Mmu]
    origin: str


class UnknownCandidate(ValueError):
    """No candidate has this name; the message lists those there are."""


_REGISTRY: dict[str, Candidate] = {}
# Apart, so that nothing which goes through all versions meets them.
_BUGS: Final = {bug.name: Candidate(bug.name, bug.pgtable, bug.mmu, bug.origin) for bug in bugs.BUGS}


def register(name: str, pgtable: type[Pgtable], mmu: type[Mmu], origin: str) -> Candidate:
    """Make a version known under *name*.

    :raises ValueError: if the name is taken
    """
    if name in _REGISTRY or name in _BUGS:
        raise ValueError(f"there already is a candidate {name!r}")
    _REGISTRY[name] = Candidate(name, pgtable, mmu, origin)
    return _REGISTRY[name]


def get(name: str) -> Candidate:
    """The version called *name*, or the planted bug.

    :raises UnknownCandidate: if there is none
    """
    found = _REGISTRY.get(name) or _BUGS.get(name)
    if found is None:
        there = _BUGS if name.startswith("bug-") else _REGISTRY
        raise UnknownCandidate(f"no candidate {name!r}; there are: {', '.join(there)}")
    return found


def names() -> list[str]:
    """All names, the original first, in the order of registration; without the planted bugs (`candidate.bugs`)."""
    return list(_REGISTRY)


def _register_all(add: Callable[[str, type[Pgtable], type[Mmu], str], Candidate]) -> None:
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
