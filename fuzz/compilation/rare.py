# SPDX-License-Identifier: GPL-2.0-only
"""Marking of functions that are not worth optimising, in the C files that mypyc generates.

Optimising them took a tenth of the C compiler's time. The header of `fuzz.compilation.primitives` defines the mark.
"""

import re
from pathlib import Path
from typing import Any, Final

from reference.compiled.choice import LIBRARY

from .jobs import UNTRAINED, holds_module

_MARK: Final = "S2FUZZ_RARE"
_BODY: Final = r"char CPyDef_\w*__top_level__\("
# The body of a module, which runs once; the wrapper that interpreted code calls, which unpacks the
# arguments and calls the function itself. Compiled code calls the wrapper of a constructor if it makes an object of a
# class that it does not know in advance, such as each checker.
_RARE: Final = re.compile(rf"^ *(?={_BODY}|PyObject \*CPyPy_\w+(?<!__init__)\(.*\{{$)", re.MULTILINE)
# Compiled code calls all wrappers of classes that stand for kernel trees, because each tree derives from them.
_RARE_IN_TREES: Final = re.compile(rf"^ *(?={_BODY})", re.MULTILINE)


def mark_rare(extensions: list[Any]) -> None:
    """Mark rarely executed functions.

    :param extensions: the result of ``mypycify()``; C files of the extension that holds all code are rewritten
    """
    for extension in extensions:
        if extension.name == LIBRARY:
            for source in map(Path, filter(holds_module, extension.sources)):
                tree = any(part in source.name for part in UNTRAINED)
                source.write_text(marked(source.read_text(), _RARE_IN_TREES if tree else _RARE))


def marked(text: str, rare: re.Pattern[str] = _RARE) -> str:
    """Return the text of a C file with its rarely executed functions marked.

    :param rare: matches the beginning of such a function
    """
    return rare.sub(f"{_MARK} ", text)
