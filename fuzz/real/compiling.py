# SPDX-License-Identifier: GPL-2.0-only
"""Compilation of our own C programs and plugins on first use."""

import subprocess
from collections.abc import Callable, Sequence


def compile_c(command: Sequence[str], what: str, seconds: float, failed: Callable[[str], Exception]) -> None:
    """Run a compiler.

    :param command: the command line
    :param what: name of the product, for messages
    :param seconds: timeout
    :param failed: creates the error to raise if the compiler cannot be run or fails
    """
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=seconds, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise failed(f"{command[0]} cannot be run: {error}") from None
    if done.returncode:
        said = next(
            (line for line in done.stderr.splitlines() if "error:" in line.lower()), f"exit code {done.returncode}"
        )
        raise failed(f"{command[0]} cannot compile {what}: {said.strip()}")
