# SPDX-License-Identifier: GPL-2.0-only
"""The end of a program that was started: its exit code and its last line of output."""

import os
import subprocess
from typing import IO, Any, Final

# Maximum number of bytes that are read from the end of the output.
_READ: Final = 2000


def end_of(process: subprocess.Popen[Any], errors: IO[bytes], patience: float) -> tuple[int, str]:
    """Wait for the end of a process, and kill it after *patience* seconds.

    :param errors: the file to which its standard error is redirected
    :returns: its exit code (negative: the signal), and its last line in *errors*
    """
    try:
        code = process.wait(patience)
    except subprocess.TimeoutExpired:
        process.kill()
        code = process.wait()
    size = errors.seek(0, os.SEEK_END)
    errors.seek(max(size - _READ, 0))
    return code, errors.read().decode(errors="replace").strip().split("\n")[-1]


def ended_text(program: str, code: int, said: str) -> str:
    """Return a text about the end of a program and its last line; *code* and *said* are as `end_of` returns them."""
    how = f"by signal {-code}" if code < 0 else f"with exit code {code}"
    return f"{program} ended {how}{': ' + said if said else ''}"
