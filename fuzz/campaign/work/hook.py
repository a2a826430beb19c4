# SPDX-License-Identifier: GPL-2.0-only
"""A user's command that runs for each new finding."""

import os
import signal
import subprocess
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

from ..store.findings import ToTell
from ..store.log import Log

# Seconds for the remaining commands when the campaign ends.
_LAST_RUNS_TIMEOUT: Final = 1.0
# Seconds that the command may take for one finding: docs/campaigns.md names them.
MAX_SECONDS: Final = 600.0


class Hook:
    """A runner of the command, for one finding at a time, while the campaign continues.

    The command is a shell command. It receives the finding through environment variables, never as part of its text,
    because a signature may contain any character. A command that runs longer than `MAX_SECONDS` is killed.

    :param command: "": there is none
    :param folder: of the campaign
    :param begun: called when the command has begun for a finding
    """

    def __init__(self, command: str, folder: Path, log: Log, begun: Callable[[ToTell], object]) -> None:
        self.command = command
        self.folder = folder
        self.log = log
        self.tell_begun = begun
        self.waiting: deque[ToTell] = deque()
        self.running: subprocess.Popen[bytes] | None = None
        # When the running command began.
        self.begun = 0.0

    def found(self, found: ToTell) -> None:
        """Queue a run of the command."""
        if self.command:
            self.waiting.append(found)

    def variables(self, found: ToTell) -> dict[str, str]:
        """Return the environment variables that describe a finding."""
        finding = found.finding
        about = {"KIND": finding.kind, "SIGNATURE": finding.signature, "REASON": finding.reason}
        about |= {"FILE": str(Path(self.folder, found.file).absolute()), "CAMPAIGN": str(self.folder.absolute())}
        return {f"S2FUZZ_{key}": value.replace("\0", "") for key, value in about.items()}

    def tick(self) -> None:
        """Reap a command that has ended, kill one that takes too long, and start the next one."""
        if self.running is not None:
            code = self.running.poll()
            if code is None and time.monotonic() - self.begun < MAX_SECONDS:
                return
            if code is None:
                self.kill(self.running)
            elif code:
                self.log.say(f"--on-finding: the command ended with exit status {code}")
            self.running = None
        if self.waiting:
            found = self.waiting.popleft()
            quiet = subprocess.DEVNULL
            self.begun = time.monotonic()
            try:
                self.running = subprocess.Popen(
                    ["/bin/sh", "-c", self.command],
                    env={**os.environ, **self.variables(found)},
                    stdin=quiet,
                    stdout=quiet,
                    stderr=quiet,
                    start_new_session=True,
                )
            except OSError as error:
                self.log.say(f"--on-finding: the command cannot run: {error.strerror}")
            else:
                self.tell_begun(found)

    def kill(self, command: "subprocess.Popen[bytes]") -> None:
        """Kill the process group of a command, which includes the processes that it started, and reap the command."""
        self.log.say(f"--on-finding: the command did not end within {MAX_SECONDS:g} s and was killed")
        with suppress(ProcessLookupError):
            os.killpg(command.pid, signal.SIGKILL)
        command.wait()

    def close(self) -> None:
        """Run the queued commands for up to a second; a command still running then continues on its own."""
        end = time.monotonic() + _LAST_RUNS_TIMEOUT
        self.tick()
        while self.running is not None:
            with suppress(subprocess.TimeoutExpired):
                self.running.wait(max(end - time.monotonic(), 0.0))
            if self.running.poll() is None:
                # Prevents a warning about a process that was not waited for.
                self.running.returncode = 0
                break
            self.tick()
        if self.waiting:
            later = "the next session with this option runs it"
            self.log.say(f"--on-finding: the command has not run for {len(self.waiting)} findings; {later}")
