# SPDX-License-Identifier: GPL-2.0-only
"""The code that a campaign tests, and that of s2fuzz, as digests: when it changes, statistics begin anew."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import candidate
from candidate.registry.files import modules_of
from candidate.registry.imports import imported
from candidate.registry.places import shown_path, source_of

from ...distribution import PACKAGES, home_folder

_PARTS: Final = ("language", "generation", "sides", "checkers", "execution", "features", "judging")
# The folders of the code that judges programs, and of the code that makes them.
_TOOL: Final = ("reference/machine", "candidate/tree/runtime", *(f"fuzz/{name}" for name in _PARTS))


@dataclass(frozen=True, slots=True)
class Code:
    """Digests of sources: of the candidate, of the version that counts as the original, of s2fuzz."""

    candidate: str
    reference: str
    tool: str

    def changes(self, earlier: "Code", settings: tuple[str, str]) -> str:
        """Name the parts that differ, for people: ``rfc-v1 and s2fuzz``; "" for none.

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
    :raises candidate.tree.TreeError: a kernel tree cannot be built
    """
    home = home_folder()
    tool = [home / "reference" / "kernel.py"]
    for folder in _TOOL:
        tool += (home / folder).rglob("*.py")
        tool += (home / folder).rglob("*.toml")
    return Code(_version(candidate_name), _version(reference), _digest(tool))


def _version(name: str) -> str:
    """The digest of a version's sources: of a tree the name of its library, which is one of what was compiled."""
    version = candidate.renewed(name)
    return version.content if version.is_tree else _digest(_sources(name))


def _sources(name: str) -> set[Path]:
    """The modules that a version's classes come from, and those of its kind that they import."""
    version = candidate.get(name)
    ours = [module for module in modules_of(version) if module.partition(".")[0] in PACKAGES]
    found = {source_of(module) for module in ours}
    left = [path for path in found if not path.is_relative_to(home_folder() / "reference")]
    while left:
        for path in imported(left.pop()) - found:
            found.add(path)
            left.append(path)
    return found


def _digest(paths: Iterable[Path]) -> str:
    total = hashlib.sha256()
    for path in sorted(paths):
        try:
            data = path.read_bytes()
        except OSError:
            data = b""
        total.update(f"{shown_path(path)}\0{len(data)}\0".encode())
        total.update(data)
    return total.hexdigest()[:16]
