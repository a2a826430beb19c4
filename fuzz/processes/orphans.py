# SPDX-License-Identifier: GPL-2.0-only
"""Ends child processes with their parent.

Standard library only, because an importer may still have to choose whether the rest runs compiled.
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
