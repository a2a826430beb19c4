# SPDX-License-Identifier: GPL-2.0-only
"""External programs that s2fuzz runs."""

import os
import shutil
from collections.abc import Callable


def program_path(name: str, variable: str, missing: Callable[[str], Exception]) -> str:
    """Return the path of a program.

    :param name: looked up on PATH, unless the environment *variable* names another program
    :param missing: makes the exception to raise if there is none, from the name that was looked up
    """
    wanted = os.environ.get(variable) or name
    found = shutil.which(wanted)
    if found is None:
        raise missing(wanted)
    return found
