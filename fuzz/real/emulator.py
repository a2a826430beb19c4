# SPDX-License-Identifier: GPL-2.0-only
"""The QEMU that emulates machines with real kernels."""

from ..hardware.qemu import QemuError, find
from .errors import RealError


def find_emulator() -> str:
    """Return the QEMU to run.

    :raises RealError: there is none
    """
    try:
        return find()
    except QemuError as error:
        raise RealError(f"real: {error}") from None
