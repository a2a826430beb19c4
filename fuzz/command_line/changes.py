# SPDX-License-Identifier: GPL-2.0-only
"""What is about to run: the line on stderr, and the key of ``--json``."""

import sys
from collections.abc import Sequence
from typing import Any

import candidate
from candidate.tree import PREFIX


def say_changes(reference: str, candidates: Sequence[str]) -> None:
    """Tell on stderr, a line each, what candidates override and add, before they run."""
    for name in candidates:
        if name.startswith(PREFIX) and name != reference:
            continue
        text = candidate.changes(name).text()
        if name == reference or same(name, reference):
            text += f": both sides run the code of {reference}"
        print(f"s2fuzz: {text}", file=sys.stderr, flush=True)


def changes_answer(reference: str, candidates: Sequence[str]) -> list[dict[str, Any]]:
    """The same for ``--json``: see `fuzz.reports.answers`."""
    found = [candidate.changes(name) for name in candidates]
    return [
        {
            "candidate": each.candidate,
            "on": list(each.bases),
            "overrides": list(each.overrides),
            "adds": list(each.adds),
            "same": same(each.candidate, reference),
        }
        for each in found
    ]


def same(name: str, reference: str) -> bool:
    """Whether two versions are the same code."""
    one, other = candidate.get(name), candidate.get(reference)
    return (one.pgtable, one.mmu) == (other.pgtable, other.mmu)
