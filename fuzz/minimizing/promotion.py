# SPDX-License-Identifier: GPL-2.0-only
"""A program as a regression test: with what every version is expected to show on it.

``tests/corpus/test_regressions.py`` reads what this writes.
"""

import os
import re
import textwrap
from pathlib import Path
from typing import Final

import candidate

from ..files import write_atomically
from ..findings.found import CRASH
from ..findings.replay import Replayer
from ..judging.silence import is_silent
from ..language.program import Program, ProgramError
from ..language.text import load, print_program

NAME: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,79}")
NAME_RULE: Final = "a-z, 0-9 and -, at most 80 of them, no - first"
_WIDTH: Final = 78
_MAX_DEFAULT: Final = 60


class PromotionError(ValueError):
    """The program cannot be a regression test; one line."""


def default_name(signature: str) -> str:
    """A name made of the signature."""
    words = re.sub(r"[^a-z0-9]+", "-", signature.lower()).strip("-")
    return words[:_MAX_DEFAULT].rstrip("-")


def free_place(folder: Path, name: str) -> Path:
    """The file of this name.

    :raises PromotionError: no valid name, or there is such a file
    """
    if not NAME.fullmatch(name):
        raise PromotionError(f"--name {name[:100]!a}; allowed: {NAME_RULE}")
    path = folder / f"{name}.s2"
    if os.path.lexists(path):
        raise PromotionError(f"--name {name}: {path} is there; choose a name that no file has")
    return path


def same_program(folder: Path, program: Program) -> Path | None:
    """The file of the folder that has the same program, whatever its comments."""
    for path in sorted(folder.glob("*.s2")):
        try:
            if load(path) == program:
                return path
        except ProgramError:
            continue
    return None


def expectations(program: Program, replayer: Replayer) -> list[str]:
    """An ``expect`` line for each finding of each version against the original, each in a fresh process.

    :raises PromotionError: a version crashes on it, so nothing can be expected
    """
    names = candidate.names()
    text = print_program(program)
    lines: list[str] = []
    for name in names:
        keys = replayer.keys(text, names[0], name)
        if any(is_silent(signature) for _, signature in keys):
            # One silent run decides nothing.
            keys = replayer.keys(text, names[0], name)
        shown = sorted(keys)
        for kind, signature in shown:
            if kind == CRASH:
                raise PromotionError(f"{name} ends with {signature} on it; promote a program that ends with a verdict")
            lines.append(f"# expect {name}: {kind} {signature}")
        if not shown:
            lines.append(f"# expect {name}: nothing")
    return lines


def regression_text(about: str, expected: list[str], program: Program) -> str:
    """The file: what it is about, what to expect, the program."""
    words = " ".join(about.split())
    paragraph = [f"# {line}" for line in textwrap.wrap(words, _WIDTH - 2, break_on_hyphens=False)]
    return "\n".join([*paragraph, "#", *expected]) + "\n" + print_program(program)


def write_regression(path: Path, text: str) -> None:
    """Have the file, whole, or none; what is there stays.

    :raises PromotionError: it is there by now, or cannot be written
    """
    if os.path.lexists(path):
        raise PromotionError(f"{path} is there; choose a name that no file has")
    try:
        write_atomically(path, text)
    except OSError as error:
        raise PromotionError(f"{path}: {error.strerror or error}; use a folder that can be written") from None
