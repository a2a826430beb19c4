# SPDX-License-Identifier: GPL-2.0-only
"""The log of a campaign: one line per event. Its lock also excludes other processes."""

import fcntl
import os
from collections import deque
from datetime import datetime
from pathlib import Path
from typing import Final

from .database import CampaignError, failure

NAME: Final = "log"
_LAST: Final = 8


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
        except OSError:
            os.close(self.fd)
            wrong = "the campaign is already running"
            raise CampaignError(f"{folder}: {wrong}; use `s2fuzz status`, or another directory") from None

    def say(self, message: str) -> None:
        """Write a line.

        :raises OSError: it cannot be written
        """
        line = " ".join(message.split())
        stamp = datetime.now().astimezone().isoformat(timespec="seconds")
        self.last.append(f"{stamp[11:19]} {line}")
        self.news.append(line)
        os.write(self.fd, f"{stamp} {line}\n".encode(errors="backslashreplace"))

    def take(self) -> list[str]:
        """Return the lines since the last call."""
        news = list(self.news)
        self.news.clear()
        return news

    def close(self) -> None:
        os.close(self.fd)
