# SPDX-License-Identifier: GPL-2.0-only
"""C code of ours beside the runtime library of mypyc."""

from pathlib import Path
from typing import Any, Final

from reference.compiled.choice import LIBRARY

# A signal handler that raises must not abort the process: says what is wrong with the library, too.
MULTIPLY: Final = Path(__file__).with_name("multiply.c")
# What compiled code calls on its short ways.
SHORT: Final = Path(__file__).with_name("short.c")
MACRO: Final = "-DPyNumber_Multiply=s2fuzz_multiply"


def add_ours(extensions: list[Any]) -> None:
    """Have compiled code multiply integers by `MULTIPLY`, and find the functions of `SHORT`.

    :param extensions: what ``mypycify()`` has made; the one that holds all code is changed
    """
    for extension in extensions:
        if extension.name == LIBRARY:
            extension.sources += [str(MULTIPLY), str(SHORT)]
            extension.extra_compile_args.append(MACRO)
