# SPDX-License-Identifier: GPL-2.0-only
"""The changes of the candidates to be run: the line on stderr, and the key of ``--json``."""

import shlex
import sys
from collections.abc import Sequence
from typing import Any, Final

import candidate
from candidate.registry.files import modules_of
from candidate.tree import PREFIX
from reference.compiled.choice import CHOICE, OUTSIDE, wanted

# Measured with candidate/rfc_v2.py as a file.
GAIN_OF_FILE: Final = "about twice the speed"
GAIN_OF_ALL: Final = "about seven times the speed"


def say_changes(reference: str, candidates: Sequence[str]) -> None:
    """Print on stderr what candidates override and add, and what trees among them lack, before they run."""
    for name in candidates:
        if name.startswith(PREFIX) and name != reference:
            lost = lacking(name, reference)
            if lost:
                text = f"{name} lacks what {reference} has: {', '.join(lost)}; random programs do not use it"
                print(f"s2fuzz: {text}", file=sys.stderr, flush=True)
            continue
        text = candidate.changes(name).text()
        if name == reference or same(name, reference):
            text += f": both sides run the code of {reference}"
        print(f"s2fuzz: {text}", file=sys.stderr, flush=True)
    for name in dict.fromkeys([reference, *candidates]):
        if candidate.is_file(name):
            print(f"s2fuzz: {form_of(name)}", file=sys.stderr, flush=True)


def lacking(name: str, reference: str) -> list[str]:
    """Return the parts of KVM that a tree lacks and the reference, another tree, has."""
    if not reference.startswith(PREFIX):
        return []
    mine = candidate.get(name).main.FEATURES
    return [each for each in candidate.get(reference).main.FEATURES if each not in mine]


def form_of(name: str) -> str:
    """Return one line on the form in which a file from outside runs, and the gain from compiling it.

    :param name: of the file
    """
    modules = [module for module in modules_of(candidate.get(name)) if module.startswith(OUTSIDE)]
    if CHOICE.mypyc and all(module in CHOICE.files for module in modules):
        return f"{name} runs compiled"
    if not wanted():
        return f"{name} runs interpreted, because of S2FUZZ_PURE"
    command = f"`{shlex.join(['s2fuzz', 'build', '--candidate', name])}`"
    if CHOICE.mypyc:
        return f"{name} runs interpreted, the rest compiled: {command} compiles it too, for {GAIN_OF_FILE}"
    return f"{name} runs interpreted, and so does the rest: {command} compiles both, for {GAIN_OF_ALL}"


def changes_answer(reference: str, candidates: Sequence[str]) -> list[dict[str, Any]]:
    """Return the changes of candidates for ``--json``: see `fuzz.reports.answers`."""
    found = [candidate.changes(name) for name in candidates]
    return [
        {
            "candidate": each.candidate,
            "on": list(each.bases),
            "overrides": list(each.overrides),
            "adds": list(each.adds),
            "sets": list(each.sets),
            "same": same(each.candidate, reference),
        }
        for each in found
    ]


def same(name: str, reference: str) -> bool:
    """Tell whether two versions have the same code."""
    one, other = candidate.get(name), candidate.get(reference)
    return one.parts == other.parts
