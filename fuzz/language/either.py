# SPDX-License-Identifier: GPL-2.0-only
"""Programs in whichever of the two forms they come: text, or the binary records of byte engines."""

import re
from typing import Final

from .binary import decode
from .program import Program
from .text import parse

# Empty lines and comments, then the header.
_TEXT: Final = re.compile(rb"(?:[ \t\r]*+(?:#[^\n]*+)?\n)*+[ \t\r]*+s2fuzz\b")


def is_text(data: bytes) -> bool:
    """Whether *data* begins like a text; anything else is binary, and every byte string is a program."""
    return _TEXT.match(data) is not None


def read(data: bytes, name: str) -> Program:
    """The program that *data* stands for.

    :param name: what an error names as the file
    :raises ProgramError: it begins like a text and is no valid one
    """
    return parse(data, name) if is_text(data) else decode(data)
