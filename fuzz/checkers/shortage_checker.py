# SPDX-License-Identifier: GPL-2.0-only
"""A checker that knows whether memory was short in the current call, so that an -ENOMEM is deserved."""

from typing import Final

from ..language.operations import Operation
from ..sides.side import Side
from .checker import Peers
from .refusal_checker import RefusalChecker

# The end of the signature of a top-up that fails with enough objects.
ENOUGH: Final = "top-up fails with enough objects"


class ShortageChecker(RefusalChecker):
    """The base of the checker that judges -ENOMEM: records failed allocations, and judges failed top-ups.

    No operation of a par block makes allocations fail, so one state is enough.
    """

    def __init__(self, side: Side, peers: Peers) -> None:
        super().__init__(side, peers)
        # The current call has got less memory than it needs.
        self.short = False

    def before_operation(self, op: Operation | None) -> None:
        super().before_operation(op)
        self.short = False

    def alloc(self, page: int) -> None:
        self.short = self.short or page < 0

    def alloc_exact(self, page: int, pages: int) -> None:
        self.short = self.short or page < 0

    def kzalloc(self, ok: bool) -> None:
        self.short = self.short or not ok

    def object(self, number: int, held: bool, counted: bool) -> None:
        self.short = self.short or not number

    def topup(self, cache: int, minimum: int, had: int, has: int, ret: int, locked: bool) -> None:
        if not ret:
            return
        # The error that follows from an undeserved failure is not reported again.
        self.short = True
        if has >= minimum:
            reason = f"the cache holds {has} {'object' if has == 1 else 'objects'}, {minimum} "
            reason += f"{'is' if minimum == 1 else 'are'} enough for its caller: it gets an error all the same"
            self.report(ENOUGH, -1, reason, taints=False, function="kvm_mmu_topup_memory_cache")
