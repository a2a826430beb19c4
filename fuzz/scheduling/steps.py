# SPDX-License-Identifier: GPL-2.0-only
"""The steps of faults and of operations of the host, in their usual order: places where schedules may have switches.

The real steps of a fault are known only after its run. A switch whose step is never reached does not take place, so
steps that only some faults take do no harm.
"""

from typing import Final, NamedTuple

from ..language.operations import STEPS_OF_HOST, USERS, Moment, Point, Switch, is_host, is_vcpu


class Step(NamedTuple):
    """A place within a fault.

    :param number: its number among steps of its kind in the fault, from 1
    :param weight: how often it is chosen: high where two faults that meet conflict, and most faults get there
    """

    when: Moment
    point: Point
    number: int
    weight: int = 0

    def switch(self, cpu: int, to: int, fault: int) -> Switch:
        """Return the switch of an actor to another one at this step of its fault, or call of KVM, of that number."""
        if self.point == "fault" or self.point in STEPS_OF_HOST:
            return Switch(cpu, to, self.when, self.point, fault)
        return Switch(cpu, to, self.when, self.point, self.number, fault)


def _around(point: Point, before: int, after: int) -> tuple[Step, ...]:
    """Return the steps before and after the first event of a kind, with their weights."""
    return Step("before", point, 1, before), Step("after", point, 1, after)


def _entry(number: int, often: int) -> tuple[Step, ...]:
    """Return the steps of one entry: it is loaded, broken, flushed, cleaned and made.

    :param number: the number of the entry among those that the fault changes, from 1
    :param often: the base of the weights
    """
    return (
        # Entries are loaded on the way down, and again after a change.
        Step("after", "load", 2 * number - 1, often),
        Step("after", "load", 2 * number, often),
        Step("before", "cmpxchg", number, 3 * often),
        Step("after", "cmpxchg", number, 2 * often),
        Step("before", "flush", number),
        Step("after", "flush", number),
        Step("before", "clean", number),
        Step("after", "clean", number),
        Step("before", "store", number, often),
        Step("after", "store", number),
    )


# `user_mem_abort`: the frame is looked up after the sample of the notifiers' sequence number, then the mmu lock is
# taken. `kvm_pgtable_stage2_map` and `kvm_pgtable_stage2_relax_perms` then change up to three entries, most often one.
STEPS: Final[tuple[Step, ...]] = (
    Step("after", "fault", 1),
    *_around("lookup", 0, 2),
    *_around("lock", 2, 0),
    *_entry(1, 3),
    *_entry(2, 1),
    *_entry(3, 0),
    *_around("unlock", 2, 2),
)
# Index of the step at which a vCPU has taken a fault, and its handler has done nothing yet.
TAKEN: Final = 0
WEIGHTS: Final = tuple(step.weight for step in STEPS)

# An operation of the host: `kvm_mmu_notifier_invalidate_range_start` unmaps and flushes under the mmu lock, the pages
# change, `kvm_mmu_notifier_invalidate_range_end` takes the lock again.
HOST_STEPS: Final[tuple[Step, ...]] = (
    Step("before", "start", 1),
    *_around("lock", 1, 0),
    Step("after", "store", 1, 1),
    *_around("flush", 1, 0),
    *_around("unlock", 1, 3),
    Step("after", "start", 1, 3),
    Step("after", "change", 1, 4),
    Step("before", "end", 1),
    Step("after", "end", 1, 1),
)
# A call for a dirty log: the slot is changed, or bits are taken and pages write-protected, under the mmu lock.
USER_STEPS: Final[tuple[Step, ...]] = (
    *_around("lock", 2, 0),
    Step("after", "load", 1),
    Step("after", "store", 1, 1),
    Step("after", "cmpxchg", 1, 1),
    Step("before", "flush", 1, 1),
    *_around("unlock", 1, 3),
)
# The places of a fault at which it has seen pages of the host, or is about to. Most are not protected from changes.
SEEN: Final = (
    Step("after", "fault", 1, 2),
    *_around("lookup", 3, 9),
    Step("before", "lock", 1, 9),
    Step("after", "load", 1, 1),
    Step("before", "cmpxchg", 1, 2),
    Step("after", "clean", 1, 1),
    *_around("unlock", 1, 4),
)


def steps_of(actor: int) -> tuple[Step, ...]:
    """Return the steps of an actor. Hardware makes a single step, which cannot be interrupted."""
    if is_host(actor):
        return HOST_STEPS
    if is_vcpu(actor):
        return STEPS
    return USER_STEPS if actor in USERS else ()
