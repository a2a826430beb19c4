# SPDX-License-Identifier: GPL-2.0-only
"""A command of the user that runs for each new finding."""

import os
import subprocess
import time
from collections import deque
from contextlib import suppress
from pathlib import Path
from typing import Final

from ...judging.finding import Finding
from ..store.log import Log

# Seconds that the commands get when the campaign ends.
_PATIENCE: Final = 1.0


class Hook:
    """Runs the command, one finding at a time, while the campaign goes on.

    The command is for the shell. What is known of the finding is in its environment, never in its text: a
    signature may have any character.

    :param command: "": there is none
    :param folder: of the campaign
    """

    def __init__(self, command: str, folder: Path, log: Log) -> None:
        self.command = command
        self.folder = folder
        self.log = log
        self.waiting: deque[dict[str, str]] = deque()
        self.running: subprocess.Popen[bytes] | None = None

    def found(self, finding: Finding, file: str) -> None:
        """Ask for a run.

        :param file: of the finding, below the campaign's folder
        """
        if self.command:
            about = {"KIND": finding.kind, "SIGNATURE": finding.signature, "REASON": finding.reason}
            about |= {"FILE": str(Path(self.folder, file).absolute()), "CAMPAIGN": str(self.folder.absolute())}
            self.waiting.append({f"S2FUZZ_{key}": value.replace("\0", "") for key, value in about.items()})

    def tick(self) -> None:
        """Take in the end of a run, begin the next one."""
        if self.running is not None:
            code = self.running.poll()
            if code is None:
                return
            self.running = None
            if code:
                self.log.say(f"--on-finding: the command ended with {code}")
        if self.waiting:
            about = self.waiting.popleft()
            quiet = subprocess.DEVNULL
            try:
                self.running = subprocess.Popen(
                    ["/bin/sh", "-c", self.command],
                    env={**os.environ, **about},
                    stdin=quiet,
                    stdout=quiet,
                    stderr=quiet,
                    start_new_session=True,
                )
            except OSError as error:
                self.log.say(f"--on-finding: the command cannot run: {error.strerror}")

    def close(self) -> None:
        """Run what waits, within a second; the command that runs then goes on by itself."""
        end = time.monotonic() + _PATIENCE
        self.tick()
        while self.running is not None:
            with suppress(subprocess.TimeoutExpired):
                self.running.wait(max(end - time.monotonic(), 0.0))
            if self.running.poll() is None:
                # Nobody waits for it any more.
                self.running.returncode = 0
                break
            self.tick()
        if self.waiting:
            self.log.say(f"--on-finding: {len(self.waiting)} findings were not told of; see findings/")
