# SPDX-License-Identifier: GPL-2.0-only
"""Ends child processes with their parent.

Standard library only, because an importer may still have to choose whether the rest runs compiled, and because
`fuzz.processes.tied` runs this file as a script.
"""

import ctypes
import os
import signal
import sys
from typing import Final

# prctl(2)
_PR_SET_PDEATHSIG: Final = 1


def die_with_parent(parent: int) -> None:
    """Have this process killed when the thread that started it ends, for whatever reason; only on Linux.

    :param parent: the process expected to be this one's parent
    """
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)


def become(parent: int, pipe: int, command: list[str]) -> None:
    """Replace this process by a program; write the number of an error to a pipe.

    :param parent: the process expected to be this one's parent
    """
    die_with_parent(parent)
    # Python ignores these, and a program inherits that.
    for number in (signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(number, signal.SIG_DFL)
    os.set_inheritable(pipe, False)
    try:
        os.execvp(command[0], command)
    except OSError as error:
        os.write(pipe, str(error.errno).encode())
        os._exit(127)


if __name__ == "__main__":
    become(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:])
