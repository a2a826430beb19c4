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


@cache
def known_bugs() -> tuple[KnownBug, ...]:
    """All entries, in the file's order."""
    with open(Path(__file__).with_name("known.toml"), "rb") as file:
        return tuple(KnownBug(**entry) for entry in tomllib.load(file)["bug"])


def known_bug(signature: str) -> KnownBug | None:
    """The known bug of the original that has this signature, if any."""
    for bug in known_bugs():
        if fnmatchcase(signature, bug.pattern):
            return bug
    return None
