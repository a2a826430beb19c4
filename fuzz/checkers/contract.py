# SPDX-License-Identifier: GPL-2.0-only
"""contract: no warning, no lock left held, no error that a correct caller would not get."""

from ..operations import Operation, fail_of
from .base import Checker, Outcome


class Contract(Checker):
    """Judges warnings when they come, results when the call returns.

    A warning, a sleep under the lock or a lock that is dropped late harms no
    table: what other checkers find later stands for itself.
    """

    name = "contract"

    def warn(self, label: str) -> None:
        if label.startswith("in "):
            what, function = "WARN", label[3:]
        else:
            what, function = (
                f"WARN {label}",
                "kvm_mmu_memory_cache_alloc" if label == "cache-empty" else self.kernel.entry,
            )
        self.report(what, -1, f"{function} warns ({label})", taints=False, function=function)

    def topup(self, minimum: int, had: int, has: int, ret: int, locked: bool) -> None:
        if locked:
            self.report(
                "memory cache filled under mmu_lock",
                -1,
                f"kvm_mmu_topup_memory_cache({minimum}) may sleep and runs with the mmu lock held",
                taints=False,
                function="kvm_mmu_topup_memory_cache",
            )

    def quiet(self, op: Operation | None, outcome: Outcome) -> None:
        entry = self.kernel.entry
        if outcome.status in ("error", "oops") and not self.asked_for(op, outcome):
            what = f"{outcome.status} {outcome.value}"
            reason = f"the code crashed: {outcome.detail}" if outcome.detail else f"the caller got {what}"
            self.report(what, -1, reason, function=entry)
        if self.kernel.locks and outcome.status != "oops":
            held = ", ".join(self.kernel.locks)
            self.report("lock still held", -1, f"{held} held on return to the caller", taints=False, function=entry)

    def asked_for(self, op: Operation | None, outcome: Outcome) -> bool:
        """Whether the program itself made an allocation fail."""
        return op is not None and fail_of(op) is not None and outcome.value == -12
