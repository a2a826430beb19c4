# SPDX-License-Identifier: GPL-2.0-only
"""A thread of the host in a par block: its operations, under the mmap lock as the table of blocks says."""

from ..language.beside import LINES, SHARED
from ..language.operations import HostOperation
from ..sides.outcome import Outcome
from ..sides.side import Side
from .host_operations import HostOperations


class HostThread:
    """Runs operations of the host beside vCPUs.

    :param side: the side that they run on
    :param host: runs operations where nobody is beside them
    """

    def __init__(self, side: Side, host: HostOperations) -> None:
        self.side = side
        self.host = host

    def run(self, op: HostOperation, at: int) -> Outcome:
        """Run an operation, of which other actors see the steps.

        :param at: the number of the operation, by which its writes are told from others
        """
        side = self.side
        # No vCPU's; what the host does there touches no CPU alone.
        side.kernel.cpu = 0
        side.kernel.cause = ""
        side.host.version = at + 1
        mode = LINES[type(op)].mmap
        main = side.guests[0].main
        # The caller of a notifier knows of no VM.
        side.active = side.guests[0]
        side.enter("mmap_lock")
        if mode:
            main.lock_mmap(mode == SHARED)
        outcome = self.host.run(op, side.by_name[op.slot])
        if mode:
            main.unlock_mmap(mode == SHARED)
        return outcome
