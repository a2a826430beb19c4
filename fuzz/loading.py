# SPDX-License-Identifier: GPL-2.0-only
"""Ctrl-C while the modules of the command are imported: nothing has begun yet, so the process ends at once.

Standard library only, and little of it: until `heed_interrupt` has run, Ctrl-C ends in a traceback.
Then it is as `fuzz.processes.signals` has it.
"""

import os
import signal
import sys
from types import FrameType
from typing import Final

from .exit_codes import INTERRUPTED

_SCRIPT: Final = "s2fuzz"
_MODULE: Final = ("-m", "fuzz")
_SAID: Final = b"s2fuzz: interrupted\n"


def heed_interrupt() -> None:
    """Let Ctrl-C end this process with a line on stderr, if it is the command and Ctrl-C is not ignored."""
    if is_command() and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, leave)


def is_command() -> bool:
    """Tell whether this process is the console script, or ``python -m fuzz``, rather than a program that imports us."""
    if sys.argv[0] == "-m":
        # Python is looking for the module that it is to run.
        return _MODULE in zip(sys.orig_argv, sys.orig_argv[1:], strict=False) or "".join(_MODULE) in sys.orig_argv
    return os.path.basename(sys.argv[0]) == _SCRIPT


def leave(number: int, frame: FrameType | None) -> None:
    """Handle Ctrl-C: end the process. An exception could be swallowed by the machinery of imports."""
    try:
        os.write(2, _SAID)
    finally:
        os._exit(INTERRUPTED)
