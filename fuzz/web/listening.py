# SPDX-License-Identifier: GPL-2.0-only
"""Starts the server of a campaign in a child process, which ends with its parent."""

from importlib.util import find_spec
from pathlib import Path
from subprocess import DEVNULL
from typing import Final

from ..distribution import how_to_install
from ..processes.child import Child

# Packages of the extra `web`.
_NEEDED: Final = ("bottle", "jinja2", "pygal")
# The message of a server that listens, followed by its port.
READY: Final = "ready "
# Seconds until the server must listen, generous enough for a loaded machine.
_START_TIMEOUT: Final = 120.0


class CannotServeError(Exception):
    """Raised when the server cannot be started; the message is one line: why, and what to do."""


def serving(folder: Path, port: int) -> tuple[Child, str]:
    """Start the server of a campaign.

    :param folder: folder of the campaign, which need not exist yet
    :param port: its port; 0: any free port
    :returns: its process, which the caller must close, and its address
    :raises CannotServeError: a package is missing, or the port is not available
    """
    for name in _NEEDED:
        if find_spec(name) is None:
            raise CannotServeError(f"needs the package {name}; {how_to_install('web')}")
    # Its output would disturb the screen of the campaign.
    child = Child(
        "the process that shows the campaign",
        "fuzz.web.serve",
        str(folder.absolute()),
        str(port),
        stdout=DEVNULL,
        stderr=DEVNULL,
    )
    try:
        said = (child.line(_START_TIMEOUT) or b"its process has ended").decode(errors="replace")
        if said.startswith(READY):
            return child, f"http://127.0.0.1:{said.removeprefix(READY)}/"
    except BaseException:
        child.close()
        raise
    child.close()
    raise CannotServeError(f"{port}: {said}; use a free port, or 0")
