# SPDX-License-Identifier: GPL-2.0-only
"""The life of whole VMs."""

from dataclasses import dataclass

from .declaration import declare


@dataclass(frozen=True, slots=True)
class VmEnd:
    """VM number *vm* ends while others continue: user space closes it, and keeps the memory behind its slots."""

    vm: int


declare(VmEnd, 36, "vm end COUNT", checkers=("translation",))
