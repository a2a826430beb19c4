# SPDX-License-Identifier: GPL-2.0-only
"""Programs that are not ours, such as QEMU, started so that they end with this process.

Python code between fork and exec (``preexec_fn``) may deadlock if other threads run. So `fuzz.processes.orphans` is run
as a script, which asks for the signal of the parent's death and then becomes the program.
"""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Final

_SCRIPT: Final = str(Path(__file__).with_name("orphans.py"))


def start_tied(
    command: Sequence[str],
    given: int,
    stdout: int | IO[bytes],
    stderr: int | IO[bytes],
    passed: Sequence[int] = (),
) -> subprocess.Popen[bytes]:
    """Start a program in a process group of its own: Ctrl-C in a terminal reaches only this process.

    The kernel kills it (on Linux only) when the thread that started it ends, for whatever reason.

    :param command: the program, searched on PATH, and its arguments
    :param given: its standard input, as for `subprocess.Popen`, unbuffered
    :param passed: descriptors that the program inherits, under the same numbers
    :returns: once the program runs
    :raises OSError: it cannot be executed
    """
    failure, pipe = os.pipe()
    with open(failure, "rb") as failed:
        try:
            process = subprocess.Popen(
                [sys.executable, "-I", "-S", _SCRIPT, str(os.getpid()), str(pipe), *command],
                bufsize=0,
                stdin=given,
                stdout=stdout,
                stderr=stderr,
                pass_fds=(pipe, *passed),
                process_group=0,
            )
        finally:
            os.close(pipe)
        try:
            # The script's end of the pipe is closed when the program begins.
            error = failed.read()
        except BaseException:
            process.kill()
            with process:
                raise
    if error:
        with process:
            raise OSError(int(error), os.strerror(int(error)), command[0])
    return process
