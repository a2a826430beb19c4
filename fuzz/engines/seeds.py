# SPDX-License-Identifier: GPL-2.0-only
"""Programs to start from, for engines that make programs of others."""

from ..distribution import corpus_folder
from ..language.program import ProgramError
from ..language.text import load, print_program
from .registry import engine_of


def shipped(engine: str) -> tuple[str, ...]:
    """Texts of the programs of corpus/seeds/, as far as they are there; none if the engine has no use for them."""
    found: list[str] = []
    if engine_of(engine).corpus:
        for path in sorted((corpus_folder() / "seeds").glob("*.s2")):
            try:
                found.append(print_program(load(path)))
            except ProgramError:
                # Of an unknown version, or not a program: `tests/corpus` tells of it.
                continue
    return tuple(found)
