# SPDX-License-Identifier: GPL-2.0-only
"""A program as a regression test, with the findings that every version is expected to show on it.

`fuzz.minimizing.expecting` determines these findings.
"""

import os
import re
import textwrap
from pathlib import Path
from typing import Final

import candidate

from ..distribution import home_folder
from ..files import write_atomically
from ..findings.witness import KEY
from ..language.program import Program, ProgramError
from ..language.text import load, print_program
from ..processes.starting import remedy
from .expecting import PromotionError, reference_of

NAME: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,79}")
NAME_RULE: Final = "at most 80 of a-z, 0-9 and -, not beginning with -"
_WIDTH: Final = 78
_MAX_DEFAULT: Final = 60


def regressions_folder() -> Path:
    """Return the folder of the regression tests, which ``tests/corpus`` runs."""
    return home_folder() / "corpus" / "regressions"


def default_name(signature: str) -> str:
    """Return a name made from the signature, of as many of its words as the name has room for."""
    words = re.sub(r"[^a-z0-9]+", "-", signature.lower()).strip("-")
    if len(words) <= _MAX_DEFAULT:
        return words
    # Look for the end of a word within the allowed length; a single long word is cut.
    end = words.rfind("-", 0, _MAX_DEFAULT + 1)
    return words[: end if end > 0 else _MAX_DEFAULT]


def free_place(folder: Path, name: str) -> Path:
    """Return the path of the file of this name.

    :raises PromotionError: the name is not valid, or the file exists
    """
    if not NAME.fullmatch(name):
        raise PromotionError(f"--name {name[:100]!a}; allowed: {NAME_RULE}")
    path = folder / f"{name}.s2"
    if os.path.lexists(path):
        raise PromotionError(f"--name {name}: {path} already exists; choose another name")
    return path


def same_program(folder: Path, program: Program, reference: str) -> Path | None:
    """Return the file with the same program against the same reference, whatever its other comments; None: no file."""
    for path in sorted(folder.glob("*.s2")):
        try:
            if load(path) == program and reference_of(path.read_text(encoding="utf-8")) == reference:
                return path
        except ProgramError:
            continue
    return None


def regression_text(about: str, expected: list[str], program: Program, reference: str, stamp: str) -> str:
    """Return the text of the file: its subject, its expectations against *reference*, the program.

    :param stamp: stamp of a real kernel; "": none
    """
    words = " ".join(about.split())
    paragraph = [
        f"# {line}" for line in textwrap.wrap(words, _WIDTH - 2, break_long_words=False, break_on_hyphens=False)
    ]
    against = [] if reference == candidate.names()[0] else [f"# reference: {reference}"]
    real = [f"# {KEY}: {stamp}"] if stamp else []
    return "\n".join([*paragraph, "#", *against, *real, *expected]) + "\n" + print_program(program)


def write_regression(path: Path, text: str) -> None:
    """Write the file completely or not at all. Never overwrite a file.

    :raises PromotionError: the file exists by now, or cannot be written
    """
    if os.path.lexists(path):
        raise PromotionError(f"{path} already exists; choose another name")
    try:
        write_atomically(path, text)
    except OSError as error:
        wanted = remedy(error) or "; use a folder that can be written"
        raise PromotionError(f"{path}: {error.strerror or error}{wanted}") from None
