# SPDX-License-Identifier: GPL-2.0-only
"""Processes that the system refuses to start: the reason, and the remedy. Standard library only."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

# The remedy, by the error.
REMEDIES: Final = {
    errno.EMFILE: "raise the limit of open files (`ulimit -n`)",
    errno.ENFILE: "close files of other programs: the system has no more",
    errno.EAGAIN: "end other processes, or raise the limit of them (`ulimit -u`)",
    errno.ENOMEM: "free memory, raise the limit (`ulimit -v`), or use fewer --workers",
    errno.ENOSPC: "make room on the disk",
    errno.EDQUOT: "make room on the disk: the quota is used up",
    errno.EROFS: "write elsewhere: the file system is read-only",
}


class NoProcessError(OSError):
    """A process of ours cannot be started; the text names it and says what helps.

    *why*: the text without the process
    """

    why = ""


def remedy(error: OSError) -> str:
    """``; try: ...``; "" if nothing is known to help."""
    helps = REMEDIES.get(error.errno or 0, "")
    return f"; try: {helps}" if helps else ""


@contextmanager
def starting(what: str) -> Iterator[None]:
    """Name the process that is being started where the system refuses it.

    :param what: for people: ``the process of engine random``
    :raises NoProcessError: it is refused
    """
    try:
        yield
    except OSError as error:
        why = f"{error.strerror or error}{remedy(error)}"
        refused = NoProcessError(error.errno, f"{what} cannot be started: {why}")
        refused.why = why
        raise refused from None
