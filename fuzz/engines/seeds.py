# SPDX-License-Identifier: GPL-2.0-only
"""Programs to start from, for engines that derive programs from others."""

from ..distribution import corpus_folder
from ..language.program import ProgramError
from ..language.text import load, print_program
from .registry import engine_of


def shipped(engine: str) -> tuple[str, ...]:
    """Return the texts of the programs of corpus/seeds/; none if they are absent or the engine does not use them."""
    found: list[str] = []
    if engine_of(engine).corpus:
        for path in sorted((corpus_folder() / "seeds").glob("*.s2")):
            try:
                found.append(print_program(load(path)))
            except ProgramError:
                # An unknown version, or not a program: `tests/corpus` reports it.
                continue
    return tuple(found)
