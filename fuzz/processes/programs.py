# SPDX-License-Identifier: GPL-2.0-only
"""Programs of others that we run."""

import os
import shutil
from collections.abc import Callable


def program_path(name: str, variable: str, missing: Callable[[str], Exception]) -> str:
    """Return the path of a program.

    :param name: looked for on PATH, unless the environment *variable* names another one
    :param missing: makes the error that is raised if there is none, of the name that was looked for
    """
    wanted = os.environ.get(variable) or name
    found = shutil.which(wanted)
    if found is None:
        raise missing(wanted)
    return found
