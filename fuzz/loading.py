# SPDX-License-Identifier: GPL-2.0-only
"""Ctrl-C while the command's modules are being imported: no work has begun, so the process ends at once.

Uses only a small part of the standard library: until `heed_interrupt` has run, Ctrl-C ends in a traceback.
Later, `fuzz.processes.signals` handles Ctrl-C.
"""

import os
import signal
import sys
from types import FrameType
from typing import Final

from .exit_codes import INTERRUPTED

_SCRIPT: Final = "s2fuzz"
_MODULE: Final = ("-m", "fuzz")
_MESSAGE: Final = b"s2fuzz: interrupted\n"


def heed_interrupt() -> None:
    """Let Ctrl-C end this process with a line on stderr, if it is the command and does not ignore Ctrl-C."""
    if is_command() and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, leave)


def is_command() -> bool:
    """Tell whether this process is the console script, or ``python -m fuzz``, rather than a program that imports us."""
    if sys.argv[0] == "-m":
        # Python is still looking for the module to run.
        return _MODULE in zip(sys.orig_argv, sys.orig_argv[1:], strict=False) or "".join(_MODULE) in sys.orig_argv
    return os.path.basename(sys.argv[0]) == _SCRIPT


def leave(number: int, frame: FrameType | None) -> None:
    """Handle Ctrl-C by ending the process; the import machinery could swallow an exception."""
    try:
        os.write(2, _MESSAGE)
    finally:
        os._exit(INTERRUPTED)
