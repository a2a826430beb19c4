# SPDX-License-Identifier: GPL-2.0-only
"""Our own C programs and plugins, compiled when they are first needed."""

import subprocess
from collections.abc import Callable, Sequence


def compile_c(command: Sequence[str], what: str, seconds: float, failed: Callable[[str], Exception]) -> None:
    """Run a compiler.

    :param command: begins with its name
    :param what: is compiled, for people
    :param seconds: it may take
    :param failed: makes the error that is raised if it cannot be run, or compiles nothing
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
