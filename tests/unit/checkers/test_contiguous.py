# SPDX-License-Identifier: GPL-2.0-only
"""Fields that are equal in a group of leaves with the Contiguous bit."""

import pytest

from fuzz.checkers.contiguous import attributes
from reference.machine.descriptor import AF_BIT, DBM_BIT, WRITE_BIT
from reference.machine.granule import Granule
from reference.machine.walk import Regime


@pytest.mark.parametrize(
    ("dirty", "one", "other", "alike"),
    [
        # The dirty state may differ where the hardware manages it, and only in leaves with DBM.
        (True, DBM_BIT, DBM_BIT | WRITE_BIT | AF_BIT, True),
        (True, 0, WRITE_BIT, False),
        (True, 0, DBM_BIT, False),
        (True, WRITE_BIT, DBM_BIT | WRITE_BIT, False),
        (False, DBM_BIT, DBM_BIT | WRITE_BIT, False),
        (False, 0, DBM_BIT, True),
    ],
)
def test_dirty_state_of_a_group(dirty: bool, one: int, other: int, alike: bool) -> None:
    regime = Regime(Granule(12), 39, 1, 0)
    regime.dirty = dirty
    assert (attributes(one, regime) == attributes(other, regime)) == alike
