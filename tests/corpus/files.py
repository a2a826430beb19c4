# SPDX-License-Identifier: GPL-2.0-only
"""The programs of corpus/, and the findings that a regression's comments expect of each candidate."""

import re
from pathlib import Path
from typing import Final

import candidate
from fuzz.judging.differential import CLASSES, Differential, Verdict
from fuzz.language.program import Program

CORPUS: Final = Path(__file__).parent.parent.parent / "corpus"
SEEDS: Final = sorted((CORPUS / "seeds").glob("*.s2"))
REGRESSIONS: Final = sorted((CORPUS / "regressions").glob("*.s2"))

_EXPECTATION: Final = re.compile(r"# expect (\S+): (.+)")


def comments(path: Path) -> list[str]:
    """Return the comment lines at the beginning of a file."""
    found: list[str] = []
    for line in path.read_text().splitlines():
        if not line.startswith("#"):
            break
        found.append(line)
    return found


def expectations(path: Path) -> dict[str, set[str]]:
    """Return, for each candidate, the "CLASS SIGNATURE" of each finding that a regression must have.

    :raises ValueError: a line is malformed, or contradicts another line
    """
    found: dict[str, set[str]] = {}
    for line in comments(path):
        if not line.startswith("# expect"):
            continue
        match = _EXPECTATION.fullmatch(line)
        if match is None:
            raise ValueError(f"{path.name}: malformed: {line}")
        name, what = match.groups()
        nothing = what == "nothing"
        if not nothing and what.partition(" ")[0] not in CLASSES:
            raise ValueError(f"{path.name}: no class of findings: {line}")
        if name in found and (nothing or not found[name] or what in found[name]):
            raise ValueError(f"{path.name}: contradicts another line: {line}")
        found.setdefault(name, set())
        if not nothing:
            found[name].add(what)
    return found


def reference(path: Path) -> str:
    """Return the name of the version with which a regression is compared: the original, unless a comment names one."""
    said = [line.removeprefix("# reference: ") for line in comments(path) if line.startswith("# reference: ")]
    return said[0] if said else "original"


def verdict(program: Program, name: str, against: str = "original") -> Verdict:
    """Judge a candidate, given by name, against another version."""
    return Differential(candidate.get(against), candidate.get(name)).run(program)
