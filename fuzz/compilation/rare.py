# SPDX-License-Identifier: GPL-2.0-only
"""Marking of functions that are not worth optimising, in the C files that mypyc generates.

Optimising them took a tenth of the C compiler's time. The header of `fuzz.compilation.primitives` defines the mark.
"""

import re
from pathlib import Path
from typing import Any, Final

from reference.compiled.choice import LIBRARY

from .jobs import holds_module

_MARK: Final = "S2FUZZ_RARE"
# The body of a module, which runs once; the wrapper that interpreted code calls, which unpacks the
# arguments and calls the function itself.
_RARE: Final = re.compile(r"^ *(?=char CPyDef_\w*__top_level__\(|PyObject \*CPyPy_\w+\(.*\{$)", re.MULTILINE)


def mark_rare(extensions: list[Any]) -> None:
    """Mark rarely executed functions.

    :param extensions: the result of ``mypycify()``; C files of the extension that holds all code are rewritten
    """
    for extension in extensions:
        if extension.name == LIBRARY:
            for source in map(Path, filter(holds_module, extension.sources)):
                source.write_text(marked(source.read_text()))


def marked(text: str) -> str:
    """Return the text of a C file with its rarely executed functions marked."""
    return _RARE.sub(f"{_MARK} ", text)
