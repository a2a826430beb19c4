# SPDX-License-Identifier: GPL-2.0-only
"""Digests of the sources of versions; a finding is kept with the digests of the code that showed it."""

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import candidate
from candidate.registry.files import modules_of
from candidate.registry.imports import imported
from candidate.registry.source_paths import shown_path, source_of

from ..distribution import PACKAGES, home_folder

_LENGTH: Final = 16
# Separates the digests of two versions.
_AGAINST: Final = " against "


def version_digest(name: str) -> str:
    """Return the digest of a version's sources; for a tree, the name of its library, a digest of what was compiled.

    :raises candidate.UnknownCandidateError: there is no version with this name
    """
    version = candidate.get(name)
    return version.content if version.is_tree else digest(sources(name))


def code_text(reference: str, candidate_name: str) -> str:
    """Return the digests of two versions as in the comment ``code`` of a finding."""
    return f"{version_digest(candidate_name)}{_AGAINST}{version_digest(reference)}"


def changed(text: str, reference: str, candidate_name: str) -> list[str]:
    """Return which of two versions no longer have the code that a finding was found on.

    :param text: of the comment ``code``; "" if it was not recorded: then the result is empty
    """
    if _AGAINST not in text:
        return []
    names = candidate_name, reference
    pairs = zip(names, text.split(_AGAINST), strict=False)
    return [name for name, before in pairs if version_digest(name) != before]


def digest(paths: Iterable[Path]) -> str:
    """Return the digest of files, over their names and contents; an unreadable file counts as empty."""
    total = hashlib.sha256()
    for path in sorted(paths):
        try:
            data = path.read_bytes()
        except OSError:
            data = b""
        total.update(f"{shown_path(path)}\0{len(data)}\0".encode())
        total.update(data)
    return total.hexdigest()[:_LENGTH]


def sources(name: str) -> set[Path]:
    """Return the modules that define a version's classes, and the modules of our packages that they import."""
    version = candidate.get(name)
    ours = [module for module in modules_of(version) if module.partition(".")[0] in PACKAGES]
    found = {source_of(module) for module in ours}
    left = [path for path in found if not path.is_relative_to(home_folder() / "reference")]
    while left:
        for path in imported(left.pop()) - found:
            found.add(path)
            left.append(path)
    return found
