# SPDX-License-Identifier: GPL-2.0-only
"""``s2fuzz convert``: programs from text to binary and back."""

from argparse import Namespace
from typing import Final

from ...exit_codes import FINE
from ..command import RUNS_NOTHING, Command
from ..messages import BadInputError
from ..parser import Once, Parser

_ABOUT: Final = """\
Convert a program from text to the binary records of byte engines, or back.
A file that does not begin like a text is binary, and every byte string is a program.
Only comments are lost.
"""


def add_arguments(parser: Parser) -> None:
    """Add the arguments of ``s2fuzz convert``."""
    parser.add_argument("file", metavar="FILE", help="the program; - is standard input")
    parser.add_argument("--to", choices=("text", "binary"), help="the form to write (the form that FILE does not have)")
    where = "output file (%(default)s: standard output)"
    parser.add_argument("-o", "--output", action=Once, default="-", metavar="OUT", help=where)


def convert(arguments: Namespace) -> int:
    """Convert a program.

    Data that does not begin like a text is binary: any bytes are a valid binary. With ``--to binary``, the data must be
    a text.

    :raises BadInputError: the file cannot be read or is no valid text, or *output* cannot be written
    """
    from ...language.binary import decode, encode
    from ...language.inputs import input_name, read_contents
    from ...language.looks import is_text
    from ...language.program import ProgramError
    from ...language.text import parse, print_program
    from ..inputs import write_output

    try:
        data = read_contents(arguments.file)
        text = arguments.to == "binary" or is_text(data)
        program = parse(data, input_name(arguments.file)) if text else decode(data)
    except ProgramError as error:
        raise BadInputError(str(error)) from None
    to_text = arguments.to == "text" or not (arguments.to or text)
    write_output(arguments.output, print_program(program).encode() if to_text else encode(program))
    return FINE


COMMAND: Final = Command(
    "convert",
    "programs from text to binary records and back",
    _ABOUT,
    add_arguments,
    convert,
    ("s2fuzz convert crash-0a1b2c -o crash.s2",),
    keys="",
    epilog=RUNS_NOTHING,
)
