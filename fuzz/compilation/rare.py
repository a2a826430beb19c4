# SPDX-License-Identifier: GPL-2.0-only
"""Functions that are not worth optimising, in the C files that mypyc makes.

Optimising them took a tenth of the C compiler's time. The header of `fuzz.compilation.primitives` defines the mark.
"""

import re
from pathlib import Path
from typing import Any, Final

from reference.compiled.choice import LIBRARY

from .jobs import holds_module

_MARK: Final = "S2FUZZ_RARE"
# The body of a module, which runs once; the form of a function that interpreted code calls, which takes the
# arguments apart and calls the other one.
_RARE: Final = re.compile(r"^ *(?=char CPyDef_\w*__top_level__\(|PyObject \*CPyPy_\w+\(.*\{$)", re.MULTILINE)


def mark_rare(extensions: list[Any]) -> None:
    """Mark these functions.

    :param extensions: what ``mypycify()`` has made; C files of the one that holds all code are rewritten
    """
    for extension in extensions:
        if extension.name == LIBRARY:
            for source in map(Path, filter(holds_module, extension.sources)):
                source.write_text(marked(source.read_text()))


def marked(text: str) -> str:
    """Return a C file with these functions marked."""
    return _RARE.sub(f"{_MARK} ", text)
