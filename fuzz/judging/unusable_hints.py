# SPDX-License-Identifier: GPL-2.0-only
"""Flushes by address with a hint that names no level of the tables: the CPU need not invalidate anything."""

from reference.events import Observer
from reference.kernel import Kernel
from reference.machine.instructions import BROADCAST
from reference.machine.processor import MISFIT

from ..checkers.tlb import BY_ADDRESS


class UnusableHints(Observer):
    """Collects the flushed addresses of one call of tlb.c.

    The instructions of a call precede its event. The observer of that event takes the addresses.
    """

    def __init__(self, kernel: Kernel) -> None:
        self.kernel = kernel
        self.pages: list[int] = []

    def instruction(self, op: int, operand: int) -> None:
        if op & ~BROADCAST in BY_ADDRESS:
            begun = self.kernel.hardware.processors[self.kernel.assembly.cpu].begun
            if begun and begun[-1].hint == MISFIT:
                self.pages.append(begun[-1].ipa)

    def take(self) -> list[int]:
        """Return the addresses flushed with such a hint since the last call, and forget them."""
        pages, self.pages = self.pages, []
        return pages
