# SPDX-License-Identifier: GPL-2.0-only
"""Programs in whichever of the two forms they come: text, or the binary records of byte engines."""

import re
from typing import Final

from .binary import decode
from .program import Program
from .text import parse

# Control characters that no text has.
_CONTROL: Final = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
# Empty lines and comments, then the header.
_TEXT: Final = re.compile(rb"(?:[ \t\r]*+(?:#[^\n]*+)?\n)*+[ \t\r]*+s2fuzz\b")


def is_text(data: bytes) -> bool:
    """Tell whether *data* begins like a text; anything else is binary, and every byte string is a program."""
    return _TEXT.match(data) is not None


def is_readable(data: bytes) -> bool:
    """Tell whether *data* is UTF-8 without control characters, as people write, be it a program or not."""
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return _CONTROL.search(data) is None


def read(data: bytes, name: str, engine: bool = False) -> Program:
    """The program that *data* stands for.

    :param name: what an error names as the file
    :param engine: a byte engine wrote it, to which any bytes are a program; readable data of people
        is meant as text
    :raises ProgramError: it is a text and no valid program
    """
    text = is_text(data) or (not engine and is_readable(data))
    return parse(data, name) if text else decode(data)
