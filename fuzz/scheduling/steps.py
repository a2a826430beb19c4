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
    :param aimed: whether two faults that meet there are at odds as a rule
    """

    when: Moment
    point: Point
    number: int
    aimed: bool = False

    def switch(self, cpu: int, to: int, fault: int) -> Switch:
        """The switch of a vCPU to another one at this step of its fault of that number."""
        if self.point == "fault":
            return Switch(cpu, to, self.when, self.point, fault)
        return Switch(cpu, to, self.when, self.point, self.number, fault)


def _entry(number: int) -> tuple[Step, ...]:
    """The steps of one entry: it is loaded, broken, flushed, cleaned and made.

    :param number: of the entries that the fault changes, from 1
    """
    return (
        # The entry above is loaded on the way down, and again when the walk comes to it.
        Step("after", "load", 2 * number - 1, True),
        Step("after", "load", 2 * number, True),
        Step("before", "cmpxchg", number, True),
        Step("after", "cmpxchg", number, True),
        Step("before", "flush", number),
        Step("after", "flush", number, True),
        Step("before", "clean", number),
        Step("after", "clean", number),
        Step("before", "store", number, True),
        Step("after", "store", number),
    )


# `user_mem_abort`: the frame is looked up behind the sample of the notifiers' sequence number, and the mmu lock is
# taken. `kvm_pgtable_stage2_map` and `kvm_pgtable_stage2_relax_perms` change up to three entries then.
STEPS: Final[tuple[Step, ...]] = (
    Step("after", "fault", 1, True),
    Step("before", "lookup", 1),
    Step("after", "lookup", 1, True),
    Step("before", "lock", 1, True),
    Step("after", "lock", 1),
    *_entry(1),
    *_entry(2),
    *_entry(3),
    Step("before", "unlock", 1, True),
    Step("after", "unlock", 1, True),
)
# The place at which a vCPU has taken a fault, and its handler has done nothing yet.
TAKEN: Final = 0
AIMED: Final = tuple(at for at, step in enumerate(STEPS) if step.aimed)
