# SPDX-License-Identifier: GPL-2.0-only
"""Programs in whichever of the two forms they come: text, or the binary records of byte engines."""

from .binary import decode
from .looks import is_readable, is_text
from .program import Program
from .text import parse


def read(data: bytes, name: str, engine: bool = False) -> Program:
    """The program that *data* stands for.

    :param name: what an error names as the file
    :param engine: a byte engine wrote it, to which any bytes are a program; readable data of people
        is meant as text
    :raises ProgramError: it is a text and no valid program
    """
    text = is_text(data) or (not engine and is_readable(data))
    return parse(data, name) if text else decode(data)
