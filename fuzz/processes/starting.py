# SPDX-License-Identifier: GPL-2.0-only
"""Processes that the system refuses: what failed, and what to do about it. Standard library only."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

# What helps, by the error.
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
    """A process of ours cannot be started; the text names it and says what helps."""


def remedy(error: OSError) -> str:
    """``; try: ...``; "" if nothing is known to help."""
    helps = REMEDIES.get(error.errno or 0, "")
    return f"; try: {helps}" if helps else ""


@contextmanager
def starting(what: str) -> Iterator[None]:
    """Name what is started where the system refuses it.

    :param what: for people: ``the process of engine random``
    :raises NoProcessError: it is refused
    """
    try:
        yield
    except OSError as error:
        why = error.strerror or str(error)
        raise NoProcessError(error.errno, f"{what} cannot be started: {why}{remedy(error)}") from None
