# SPDX-License-Identifier: GPL-2.0-only
"""The log of a campaign: one line per event, and the tracebacks of our own mistakes.

Its lock excludes other processes that would run the campaign.
"""

import fcntl
import os
import traceback
from collections import deque
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import Final

from .database import CampaignError, failure

NAME: Final = "log"
_LAST: Final = 8


def entries(lines: Iterable[str]) -> bytes:
    """Return lines as the log has them, each with the current time."""
    stamp = datetime.now().astimezone().isoformat(timespec="seconds")
    return "".join(f"{stamp} {line}\n" for line in lines).encode(errors="backslashreplace")


def mistake_text(error: BaseException) -> str:
    """Return the line that reports a mistake of ours."""
    return " ".join(f"a mistake of s2fuzz: {type(error).__name__}: {error}".split())


def trace_lines(error: BaseException) -> list[str]:
    """Return the traceback of an error, one string for each of its lines."""
    return "".join(traceback.format_exception(error)).splitlines()


def append_mistake(folder: Path, where: str, error: BaseException) -> None:
    """Write a mistake of ours with its traceback to the log of a campaign that another process runs.

    :param folder: of the campaign; nothing is written if it has no log
    :param where: the part of s2fuzz that failed
    :raises OSError: the log cannot be written
    """
    try:
        fd = os.open(folder / NAME, os.O_WRONLY | os.O_APPEND | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        # One write, so that lines of the coordinator do not come between.
        os.write(fd, entries([f"{where}: {mistake_text(error)}", *trace_lines(error)]))
    finally:
        os.close(fd)


class Log:
    """The log, locked by one process at a time.

    :raises CampaignError: another process runs the campaign, or the file cannot be written
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / NAME
        self.last: deque[str] = deque(maxlen=_LAST)
        self.news: deque[str] = deque(maxlen=_LAST)
        try:
            # O_NONBLOCK: fail instead of waiting if this is a FIFO without a reader.
            flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NONBLOCK | os.O_CLOEXEC
            self.fd = os.open(self.path, flags, 0o666)
        except OSError as error:
            raise failure(self.path, error) from None
        try:
            fcntl.flock(self.fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self.fd)
            wrong = "the campaign is already running"
            raise CampaignError(f"{folder}: {wrong}; use `s2fuzz status`, or another directory") from None
        except OSError as error:
            os.close(self.fd)
            wrong = f"the file system cannot lock a file: {error.strerror or error}"
            raise CampaignError(f"{self.path}: {wrong}; use a directory on another file system") from None

    def say(self, message: str) -> None:
        """Write a line.

        :raises OSError: it cannot be written
        """
        line = " ".join(message.split())
        self.last.append(f"{datetime.now():%H:%M:%S} {line}")
        self.news.append(line)
        os.write(self.fd, entries([line]))

    def mistake(self, error: BaseException) -> None:
        """Write a mistake of ours as a line; its traceback follows in the file only.

        :raises OSError: it cannot be written
        """
        self.say(mistake_text(error))
        os.write(self.fd, entries(trace_lines(error)))

    def take(self) -> list[str]:
        """Return the lines since the last call."""
        news = list(self.news)
        self.news.clear()
        return news

    def close(self) -> None:
        os.close(self.fd)
