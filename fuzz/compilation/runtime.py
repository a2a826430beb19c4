# SPDX-License-Identifier: GPL-2.0-only
"""Our own C code beside the runtime library of mypyc."""

from pathlib import Path
from typing import Any, Final

from reference.compiled.choice import LIBRARY

# Multiplication that does not abort the process when a signal handler raises; the file describes the library's bug.
MULTIPLY: Final = Path(__file__).with_name("multiply.c")
# Fast paths that compiled code calls.
SHORT: Final = Path(__file__).with_name("short.c")
MACRO: Final = "-DPyNumber_Multiply=s2fuzz_multiply"


def add_ours(extensions: list[Any]) -> None:
    """Make compiled code multiply integers by `MULTIPLY` and find the functions of `SHORT`.

    :param extensions: the result of ``mypycify()``; the extension that holds all code is changed
    """
    for extension in extensions:
        if extension.name == LIBRARY:
            extension.sources += [str(MULTIPLY), str(SHORT)]
            extension.extra_compile_args.append(MACRO)
