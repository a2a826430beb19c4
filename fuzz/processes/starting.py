# SPDX-License-Identifier: GPL-2.0-only
"""Processes that the system cannot start: the reason and the remedy. Standard library only."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

# Remedies by errno.
REMEDIES: Final = {
    errno.EMFILE: "raise the limit of open files (`ulimit -n`)",
    errno.ENFILE: "close files of other programs: the limit of the system is reached",
    errno.EAGAIN: "end other processes, or raise the limit of them (`ulimit -u`)",
    errno.ENOMEM: "free memory, raise the limit (`ulimit -v`), or use fewer --workers",
    errno.ENOSPC: "free space on the disk",
    errno.EDQUOT: "free space on the disk",
    errno.EROFS: "write elsewhere",
}


class NoProcessError(OSError):
    """Raised when a process of ours cannot be started; the message names the process and a remedy.

    *why*: the message without the process
    """

    why = ""


def remedy(error: OSError) -> str:
    """Return the remedy for an error as ``; try: ...``; "" if none is known."""
    helps = REMEDIES.get(error.errno or 0, "")
    return f"; try: {helps}" if helps else ""


@contextmanager
def starting(what: str) -> Iterator[None]:
    """Convert an OSError during the start of a process into one that names the process.

    :param what: the process, for people: ``the process of engine random``
    :raises NoProcessError: the process cannot be started
    """
    try:
        yield
    except OSError as error:
        why = f"{error.strerror or error}{remedy(error)}"
        refused = NoProcessError(error.errno, f"{what} cannot be started: {why}")
        refused.why = why
        raise refused from None
