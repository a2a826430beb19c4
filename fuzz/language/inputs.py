# SPDX-License-Identifier: GPL-2.0-only
"""The bytes of a program from a file or from standard input."""

import sys
from typing import Final

from .program import ProgramError
from .text import contents, shown_name

# The name of standard input or output on the command line.
STANDARD: Final = "-"
# The name of standard input as a program's file.
STDIN: Final = "<stdin>"


def input_name(name: str) -> str:
    """Return the name of a file or of standard input (``-``), for people."""
    return STDIN if name == STANDARD else shown_name(name)


def read_contents(name: str) -> bytes:
    """Read a file or standard input (``-``).

    :raises ProgramError: it cannot be read, or is too long
    """
    if name != STANDARD:
        return contents(name, input_name(name))
    try:
        descriptor = sys.stdin.fileno()
    except (OSError, ValueError, AttributeError):
        # Standard input is closed, or not a file.
        raise ProgramError(STDIN, 0, "cannot be read; pipe a program into s2fuzz") from None
    return contents(descriptor, STDIN)
