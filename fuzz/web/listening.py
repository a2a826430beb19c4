# SPDX-License-Identifier: GPL-2.0-only
"""The server of a campaign, for whoever starts it: it has a process of its own and ends with that."""

from importlib.util import find_spec
from pathlib import Path
from subprocess import DEVNULL
from typing import Final

from ..distribution import how_to_install
from ..processes.child import Child

# Of the extra `web`.
_NEEDED: Final = ("bottle", "jinja2", "pygal")
# What it says then, with its port behind.
READY: Final = "ready "
# Seconds in which it is up, on a machine with much else to do.
_PATIENCE: Final = 120.0


class CannotServeError(Exception):
    """There is no server; one line: why, and what to do."""


def serving(folder: Path, port: int) -> tuple[Child, str]:
    """Start the server of a campaign.

    :param folder: of the campaign, which need not be there yet
    :param port: 0: one that is free
    :returns: its process, which is to be closed, and its address
    :raises CannotServeError: a package is missing, or the port cannot be had
    """
    for name in _NEEDED:
        if find_spec(name) is None:
            raise CannotServeError(f"needs the package {name}; {how_to_install('web')}")
    # What it prints would spoil the screen of the campaign.
    child = Child(
        "the process that shows the campaign",
        "fuzz.web.serve",
        str(folder.absolute()),
        str(port),
        stdout=DEVNULL,
        stderr=DEVNULL,
    )
    try:
        said = (child.line(_PATIENCE) or b"its process has ended").decode(errors="replace")
        if said.startswith(READY):
            return child, f"http://127.0.0.1:{said.removeprefix(READY)}/"
    except BaseException:
        child.close()
        raise
    child.close()
    raise CannotServeError(f"{port}: {said}; name a port that is free, or 0")
