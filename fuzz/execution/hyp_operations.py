# SPDX-License-Identifier: GPL-2.0-only
"""The hypervisor's own tables (stage 1 of EL2): created at first use, mapped into, destroyed at the end."""

from reference.pgtable import (
    KVM_PGTABLE_PROT_DEVICE,
    KVM_PGTABLE_PROT_R,
    KVM_PGTABLE_PROT_W,
    KVM_PGTABLE_PROT_X,
    kvm_pgtable,
)
from reference.services.errors import EINVAL, ENOMEM

from ..language.operations import HYP_REFUSED, HypMap
from ..sides.guest import walked_range
from ..sides.outcome import Outcome
from ..sides.side import Side

PROT: dict[str, int] = {
    "r": KVM_PGTABLE_PROT_R,
    "rw": KVM_PGTABLE_PROT_R | KVM_PGTABLE_PROT_W,
    "rx": KVM_PGTABLE_PROT_R | KVM_PGTABLE_PROT_X,
    "device": KVM_PGTABLE_PROT_R | KVM_PGTABLE_PROT_W | KVM_PGTABLE_PROT_DEVICE,
    "w": KVM_PGTABLE_PROT_W,
    "rwx": KVM_PGTABLE_PROT_R | KVM_PGTABLE_PROT_W | KVM_PGTABLE_PROT_X,
    "xdevice": KVM_PGTABLE_PROT_R | KVM_PGTABLE_PROT_X | KVM_PGTABLE_PROT_DEVICE,
}


class HypOperations:
    """Runs `HypMap` as a caller that maps nothing twice, except by an identical call.

    :param side: the side that it runs on
    """

    def __init__(self, side: Side) -> None:
        self.side = side
        self.pgt: kvm_pgtable | None = None
        # [start, end) of each mapping, and the call that made it.
        self.mapped: list[tuple[int, int, HypMap]] = []

    def map(self, op: HypMap) -> Outcome:
        """Make one call, under the lock of the caller (``kvm_hyp_pgd_mutex``)."""
        side = self.side
        start, end = walked_range(op.va, op.size, side.granule.page_size)
        for first, last, earlier in self.mapped:
            same = (op.va, op.pa, op.size, op.prot) == (earlier.va, earlier.pa, earlier.size, earlier.prot)
            if first < end and start < last and not same:
                return Outcome("ok", "in use")
        if op.fail is not None:
            side.kernel.allocations_left = op.fail - 1
        ret = self.init()
        if ret == -ENOMEM and op.fail is not None:
            side.kernel.allocations_left = -1
            return Outcome("ok", "no root")
        ret = ret or self.call(op, start, end)
        side.kernel.allocations_left = -1
        if ret == -EINVAL and op.prot in HYP_REFUSED:
            return Outcome("ok", "refused")
        return Outcome("error", ret) if ret else Outcome("ok")

    def init(self) -> int:
        """Create the root if there is none. Return 0 or a negative errno."""
        if self.pgt is not None:
            return 0
        pgt = kvm_pgtable()
        self.side.enter("kvm_pgtable_hyp_init")
        ret = self.side.pgtable.kvm_pgtable_hyp_init(pgt, self.side.granule.pa_bits)
        if not ret:
            self.pgt = pgt
        return ret

    def call(self, op: HypMap, start: int, end: int) -> int:
        """Call ``kvm_pgtable_hyp_map()``. Mark [start, end) as in use if the call may have mapped a part of it."""
        assert self.pgt is not None
        self.side.enter("kvm_pgtable_hyp_map")
        ret = self.side.pgtable.kvm_pgtable_hyp_map(self.pgt, op.va, op.size, op.pa, PROT[op.prot])
        if ret != -EINVAL:
            self.mapped.append((start, end, op))
        return ret

    def destroy(self) -> None:
        """Call ``kvm_pgtable_hyp_destroy()`` if there are tables."""
        if self.pgt is not None:
            self.side.enter("kvm_pgtable_hyp_destroy")
            self.side.pgtable.kvm_pgtable_hyp_destroy(self.pgt)
