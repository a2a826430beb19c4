# SPDX-License-Identifier: GPL-2.0-only
"""Bugs that the original is known to have, by the pattern of their signature."""

import tomllib
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path


@dataclass(frozen=True)
class KnownBug:
    """One entry of known.toml; its fields are described there."""

    id: str
    pattern: str
    reason: str
    link: str
    cured_by: tuple[str, ...] = ()


@cache
def known_bugs() -> tuple[KnownBug, ...]:
    """All entries, in the file's order."""
    with open(Path(__file__).with_name("known.toml"), "rb") as file:
        entries = tomllib.load(file)["bug"]
    return tuple(KnownBug(**{**entry, "cured_by": tuple(entry.get("cured_by", ()))}) for entry in entries)


def known_bug(signature: str, version: str = "original") -> KnownBug | None:
    """The known bug with this signature that *version* has, if any."""
    for bug in known_bugs():
        if fnmatchcase(signature, bug.pattern) and version not in bug.cured_by:
            return bug
    return None
