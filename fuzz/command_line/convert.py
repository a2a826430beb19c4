# SPDX-License-Identifier: GPL-2.0-only
"""``s2fuzz convert``: programs from text to binary and back."""

import argparse
import sys
from typing import Final

from ..exit_codes import FINE
from ..files import write_atomically
from ..language.binary import decode, encode
from ..language.either import is_text
from ..language.program import ProgramError
from ..language.text import contents, parse, print_program, shown_name
from .commands import BadInputError, refused_output

STANDARD: Final = "-"


def command(arguments: argparse.Namespace) -> int:
    """``s2fuzz convert``

    What does not begin like a text is a binary: any bytes are one. Only where
    a binary is asked for, a text is what they must be.

    :raises BadInputError: the file cannot be read, is no valid text, or *output* cannot be written
    """
    file = arguments.file
    name = "<stdin>" if file == STANDARD else shown_name(file)
    try:
        data = contents(0 if file == STANDARD else file, name)
        text = arguments.to == "binary" or is_text(data)
        program = parse(data, name) if text else decode(data)
    except ProgramError as error:
        raise BadInputError(str(error)) from None
    to_text = arguments.to == "text" or not (arguments.to or text)
    answer = print_program(program).encode() if to_text else encode(program)
    if arguments.output == STANDARD:
        sys.stdout.buffer.write(answer)
        return FINE
    try:
        write_atomically(arguments.output, answer)
    except OSError as error:
        raise refused_output(arguments.output, error) from None
    return FINE
