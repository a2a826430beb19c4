# SPDX-License-Identifier: GPL-2.0-only
"""Programs in either of the two forms: text, or the binary records of byte engines."""

from .binary import decode
from .looks import is_readable, is_text
from .program import Program
from .text import parse


def read(data: bytes, name: str, engine: bool = False) -> Program:
    """Return the program that *data* encodes.

    :param name: the file name in errors
    :param engine: a byte engine wrote *data*, so any bytes are a program. Otherwise readable data
        is meant as text
    :raises ProgramError: it is a text and no valid program
    """
    text = is_text(data) or (not engine and is_readable(data))
    return parse(data, name) if text else decode(data)
