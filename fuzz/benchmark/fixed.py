# SPDX-License-Identifier: GPL-2.0-only
"""The fixed mix: programs that are stored, so that all versions of s2fuzz judge the same ones.

The random engine made them with seed 1 and all ranges as they were drawn, before there were par blocks. They stay as
they are when the generator learns something.
"""

import lzma
from importlib.resources import files
from typing import Final

from ..generation.capping import capped
from ..language.program import Program
from ..language.text import parse

# What made the programs, of which capping draws.
SEED: Final = 1
# Programs that there are.
COUNT: Final = 1200
_FILE: Final = "fixed-mix.s2.xz"
# The line that each program begins with, and that is nowhere else.
_HEADER: Final = "s2fuzz 1\n"


def programs(count: int = COUNT) -> list[Program]:
    """The first programs of the fixed mix.

    :param count: how many, at most `COUNT`
    :raises ValueError: there are not so many
    """
    if count > COUNT:
        raise ValueError(f"the fixed mix has {COUNT} programs, not {count}")
    text = lzma.decompress(files(__package__).joinpath(_FILE).read_bytes()).decode()
    return [parse(_HEADER + part) for part in text.split(_HEADER)[1 : count + 1]]


def shortened(number: int, program: Program) -> Program:
    """The program of the capped mix: as the generator would make it today, with shorter ranges where pages take time.

    :param number: its place in the fixed mix
    """
    return capped(program, SEED << 32 | number)
