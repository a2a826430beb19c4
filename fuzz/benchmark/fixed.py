# SPDX-License-Identifier: GPL-2.0-only
"""The fixed mix: stored programs, so that all versions of s2fuzz judge the same ones.

The random engine made them with seed 1 and uncapped ranges, before there were par blocks. They do not change when the
generator does.
"""

import lzma
from importlib.resources import files
from typing import Final

from ..generation.capping import capped
from ..language.program import Program
from ..language.text import parse

# The seed of the programs, and of the random choices of capping.
SEED: Final = 1
# Number of stored programs.
COUNT: Final = 1200
_FILE: Final = "fixed-mix.s2.xz"
# The first line of each program, which occurs nowhere else.
_HEADER: Final = "s2fuzz 1\n"


def programs(count: int = COUNT) -> list[Program]:
    """Return the first programs of the fixed mix.

    :param count: number of programs, at most `COUNT`
    :raises ValueError: there are fewer programs
    """
    if count > COUNT:
        raise ValueError(f"the fixed mix has {COUNT} programs, not {count}")
    text = lzma.decompress(files(__package__).joinpath(_FILE).read_bytes()).decode()
    return [parse(_HEADER + part) for part in text.split(_HEADER)[1 : count + 1]]


def shortened(number: int, program: Program) -> Program:
    """Return the program of the capped mix: with shorter ranges where pages take time, as the generator makes it today.

    :param number: its index in the fixed mix
    """
    return capped(program, SEED << 32 | number)
