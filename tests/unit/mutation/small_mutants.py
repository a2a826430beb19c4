# SPDX-License-Identifier: GPL-2.0-only
"""Mutants of functions of the original, and a program on which they run."""

import ast

from fuzz.language.text import parse
from fuzz.mutation.functions import functions
from fuzz.mutation.mutants import Mutant
from fuzz.mutation.operators import LEFT_OUT

PROGRAM = parse("s2fuzz 1\nvm\nslot a size=2M backing=anon\ncpu0 write a+0\nhost unmap a+0 4K\n")


def mutant(title: str, gone: str, come: str, operator: str = LEFT_OUT) -> Mutant:
    """Make a mutant of a function of the original, with one piece of its text replaced."""
    function = next(each for each in functions() if each.title == title)
    assert function.text.count(gone) == 1
    return Mutant(function, operator, (1, 0), ast.unparse(ast.parse(function.text.replace(gone, come))))
