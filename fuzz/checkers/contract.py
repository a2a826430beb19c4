# SPDX-License-Identifier: GPL-2.0-only
"""contract: no warning, no error that a correct caller would not get."""

from ..operations import Operation, fail_of
from .base import Checker, Outcome
from .locking import WARNINGS
from .memcache import EMPTY


class Contract(Checker):
    """Judges warnings when they come, results when the call returns.

    A warning harms no table: what other checkers find later stands for itself.
    """

    name = "contract"

    def warn(self, label: str) -> None:
        if label in WARNINGS or label == EMPTY:
            # The locking checker's, the memcache checker's.
            return
        if label.startswith("in "):
            what, function = "WARN", label[3:]
        else:
            what, function = f"WARN {label}", self.kernel.entry
        self.report(what, -1, f"{function} warns ({label})", taints=False, function=function)

    def quiet(self, op: Operation | None, outcome: Outcome) -> None:
        entry = self.kernel.entry
        if outcome.status in ("error", "oops") and not self.asked_for(op, outcome):
            what = f"{outcome.status} {outcome.value}"
            reason = f"the code crashed: {outcome.detail}" if outcome.detail else f"the caller got {what}"
            self.report(what, -1, reason, function=entry)

    def asked_for(self, op: Operation | None, outcome: Outcome) -> bool:
        """Whether the program itself made an allocation fail."""
        return op is not None and fail_of(op) is not None and outcome.value == -12
