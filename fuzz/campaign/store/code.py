# SPDX-License-Identifier: GPL-2.0-only
"""What a campaign tests and with what, as digests of the sources: when it changes, statistics begin anew."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import candidate

from ...distribution import PACKAGES, home_folder

_PARTS: Final = ("language", "generation", "checkers", "execution", "judging")
# Where what judges programs, and what makes them, lies.
_TOOL: Final = ("reference/machine", "candidate/tree/runtime", *(f"fuzz/{name}" for name in _PARTS))


@dataclass(frozen=True, slots=True)
class Code:
    """Digests of sources: of the candidate, of what counts as the original, of s2fuzz."""

    candidate: str
    reference: str
    tool: str

    def changes(self, earlier: "Code", settings: tuple[str, str]) -> str:
        """What differs, for people: ``rfc-v1 and s2fuzz``; "" for nothing.

        :param settings: names of candidate and reference
        """
        names = (*settings, "s2fuzz")
        pairs = zip(names, self.digests(), earlier.digests(), strict=True)
        return " and ".join(name for name, one, other in pairs if one != other)

    def digests(self) -> tuple[str, str, str]:
        return self.candidate, self.reference, self.tool


def code_of(reference: str, candidate_name: str) -> Code:
    """The sources as they are on disk now.

    :raises candidate.UnknownCandidate: no version of one of the names
    """
    home = home_folder()
    tool = [home / "reference" / "kernel.py"]
    for folder in _TOOL:
        tool += (home / folder).rglob("*.py")
        tool += (home / folder).rglob("*.toml")
    return Code(_version(candidate_name), _version(reference), _digest(tool))


def _version(name: str) -> str:
    """The digest of a version's sources: of a tree the name of its library, which is one of what was compiled."""
    version = candidate.get(name)
    return version.content if version.is_tree else _digest(_sources(name))


def _sources(name: str) -> set[Path]:
    """The modules of ours that a version's classes come from."""
    version = candidate.get(name)
    modules = {each.__module__ for top in (version.pgtable, version.mmu) for each in top.__mro__}
    ours = [module for module in modules if module.partition(".")[0] in PACKAGES]
    paths = [home_folder().joinpath(*module.split(".")) for module in ours]
    return {path / "__init__.py" if path.is_dir() else path.with_suffix(".py") for path in paths}


def _digest(paths: Iterable[Path]) -> str:
    total = hashlib.sha256()
    for path in sorted(paths):
        try:
            data = path.read_bytes()
        except OSError:
            data = b""
        total.update(f"{path.relative_to(home_folder()).as_posix()}\0{len(data)}\0".encode())
        total.update(data)
    return total.hexdigest()[:16]
