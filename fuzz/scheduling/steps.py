# SPDX-License-Identifier: GPL-2.0-only
"""The steps of a fault, in the usual order: the places at which a schedule may have its switches.

What a fault really does is known when it has run. A switch whose step never comes does not take place, so steps that
only some faults take do no harm.
"""

from typing import Final, NamedTuple

from ..language.operations import Moment, Point, Switch


class Step(NamedTuple):
    """A place within a fault.

    :param number: which one of its kind it is in the fault, from 1
    :param weight: how often it is aimed at: two faults that meet there are at odds, and most faults come there
    """

    when: Moment
    point: Point
    number: int
    weight: int = 0

    def switch(self, cpu: int, to: int, fault: int) -> Switch:
        """The switch of a vCPU to another one at this step of its fault of that number."""
        if self.point == "fault":
            return Switch(cpu, to, self.when, self.point, fault)
        return Switch(cpu, to, self.when, self.point, self.number, fault)


def _entry(number: int, often: int) -> tuple[Step, ...]:
    """The steps of one entry: it is loaded, broken, flushed, cleaned and made.

    :param number: of the entries that the fault changes, from 1
    :param often: the weight of what is aimed at
    """
    return (
        # Entries are loaded on the way down, and again behind a change.
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


# `user_mem_abort`: the frame is looked up behind the sample of the notifiers' sequence number, and the mmu lock is
# taken. `kvm_pgtable_stage2_map` and `kvm_pgtable_stage2_relax_perms` change up to three entries then, most often one.
STEPS: Final[tuple[Step, ...]] = (
    Step("after", "fault", 1),
    Step("before", "lookup", 1),
    Step("after", "lookup", 1, 2),
    Step("before", "lock", 1, 2),
    Step("after", "lock", 1),
    *_entry(1, 3),
    *_entry(2, 1),
    *_entry(3, 0),
    Step("before", "unlock", 1, 2),
    Step("after", "unlock", 1, 2),
)
# The place at which a vCPU has taken a fault, and its handler has done nothing yet.
TAKEN: Final = 0
WEIGHTS: Final = tuple(step.weight for step in STEPS)
