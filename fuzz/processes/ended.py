# SPDX-License-Identifier: GPL-2.0-only
"""The end of a program that was started: its exit code, and what it said last."""

import subprocess
from typing import IO, Any


def end_of(process: subprocess.Popen[Any], errors: IO[bytes], patience: float) -> tuple[int, str]:
    """Wait for the end of a process, which is killed after *patience* seconds.

    :param errors: the file that its standard error goes to
    :returns: its exit code (negative: the signal), and the last line that it wrote to *errors*
    """
    try:
        code = process.wait(patience)
    except subprocess.TimeoutExpired:
        process.kill()
        code = process.wait()
    errors.seek(0)
    return code, errors.read(2000).decode(errors="replace").strip().split("\n")[-1]


def ended_text(program: str, code: int, said: str) -> str:
    """Say that a program ended, in which way, and what it said; arguments as `end_of` returns them."""
    how = f"by signal {-code}" if code < 0 else f"with exit code {code}"
    return f"{program} ended {how}{': ' + said if said else ''}"
