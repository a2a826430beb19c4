# SPDX-License-Identifier: GPL-2.0-only
"""Child processes end with their parent. Standard library only: who imports this may choose what else is."""

import ctypes
import os
import signal
import sys
from typing import Final

# prctl(2)
_PR_SET_PDEATHSIG: Final = 1


def die_with_parent(parent: int) -> None:
    """Be killed when the thread that started this process ends, whatever that died of; only Linux can.

    :param parent: the process expected to be this one's parent
    """
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)
