# SPDX-License-Identifier: GPL-2.0-only
"""Standard input, output and error of this process, which the caller may have closed. Standard library only."""

import os
from typing import Final

# How each of descriptors 0, 1 and 2 is opened.
_MODES: Final = (os.O_RDONLY, os.O_WRONLY, os.O_WRONLY)


def open_closed() -> None:
    """Open ``/dev/null`` in place of each standard file that is closed.

    Otherwise the next file that this process opens gets its number. A child process that inherits that file loses it
    to its own standard input, or prints into it.
    """
    for number, mode in enumerate(_MODES):
        try:
            os.fstat(number)
        except OSError:
            # The system returns the lowest number that is free.
            os.set_inheritable(os.open(os.devnull, mode), True)
