# SPDX-License-Identifier: GPL-2.0-only
"""Progress of ``s2fuzz build``: modules done, total number of modules, time left.

The compiler's process reports a line for each module (`report`). `BuildProgress` shows it on stderr: as one
updated line in a terminal, otherwise as a new line for each quarter of the work.
"""

import re
import sys
import time
from typing import Final

_MARK: Final = "s2fuzz-progress"
_REPORT: Final = re.compile(rf"{_MARK} (\d+) (0|1|0\.\d+)\n?")
_REMARK: Final = "s2fuzz-remark"
# Seconds between two updates of the line.
_RENEW: Final = 0.2


def report(done: int, fraction: float) -> None:
    """Report to the process that shows progress.

    :param done: number of compiled modules
    :param fraction: completed part of the C compiler's work, by expected compile time
    """
    print(f"{_MARK} {done} {min(max(fraction, 0.0), 1.0):.4g}", flush=True)


def tell(text: str) -> None:
    """Report a line to show to the user."""
    print(f"{_REMARK} {text}", flush=True)


class BuildProgress:
    """Shows a build on stderr.

    :param modules: number of modules to compile
    """

    def __init__(self, modules: int) -> None:
        self.modules = modules
        self.terminal = sys.stderr.isatty()
        self.started = 0.0
        self.renewed = 0.0
        self.quarter = 0
        self.show(f"compiling {modules} modules: translating them to C")

    def take(self, line: str) -> bool:
        """Process a line of the compiler's output.

        :returns: whether the line was a report or a remark, which does not belong in the log
        """
        if line.startswith(f"{_REMARK} "):
            self.show(line.removeprefix(f"{_REMARK} ").rstrip())
            if self.terminal:
                print(file=sys.stderr)
            return True
        match = _REPORT.fullmatch(line)
        if match is None:
            return False
        done, fraction = int(match[1]), float(match[2])
        now = time.monotonic()
        if not done:
            self.started = now
        quarter = int(4 * fraction)
        if now - self.renewed >= _RENEW if self.terminal else quarter > self.quarter:
            self.renewed = now
            self.quarter = quarter
            self.show(f"compiled {done} of {self.modules} modules{time_left(now - self.started, fraction)}")
        return True

    def show(self, text: str) -> None:
        """Show a text; in a terminal it replaces the previous one."""
        start, end = ("\r\x1b[K", "") if self.terminal else ("", "\n")
        print(f"{start}s2fuzz: {text}", end=end, file=sys.stderr, flush=True)

    def clear(self) -> None:
        """Clear the line in the terminal for other output."""
        if self.terminal:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)


def time_left(elapsed: float, fraction: float) -> str:
    """Return the end of a progress line; "" while no estimate is possible.

    :param elapsed: seconds since the C compiler started
    :param fraction: completed part of its work
    """
    if fraction < 0.02:
        return ""
    return f", {elapsed * (1 - fraction) / fraction:.0f} s left"
