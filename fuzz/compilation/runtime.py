# SPDX-License-Identifier: GPL-2.0-only
"""Changes to the runtime library of mypyc: a signal handler that raises must not abort the process."""

from pathlib import Path
from typing import Any, Final

from reference.compiled.choice import LIBRARY

# Says what is wrong with the library, too.
SOURCE: Final = Path(__file__).with_name("multiply.c")
MACRO: Final = "-DPyNumber_Multiply=s2fuzz_multiply"


def withstand_signals(extensions: list[Any]) -> None:
    """Have compiled code multiply integers by `SOURCE`.

    :param extensions: what ``mypycify()`` has made; the one that holds all code is changed
    """
    for extension in extensions:
        if extension.name == LIBRARY:
            extension.sources.append(str(SOURCE))
            extension.extra_compile_args.append(MACRO)
