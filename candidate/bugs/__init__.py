# SPDX-License-Identifier: GPL-2.0-only
"""Planted bugs: reintroduced known bugs and plausible mistakes, each on top of a version without it.

Engines are ranked by them (`fuzz.benchmark.finding`): some show in every tenth
random program, some in one of tens of thousands. They are not patches under
test, so `candidate.names` leaves them out. Each module of this folder ends in its declaration (`Bug`).
"""

from typing import Final

from ..registry.declaration import BUG, Bug
from ..registry.folder import declared_in

__all__ = ["BUGS", "Bug"]

# In order of depth, which is the number of programs that the random engine needs.
BUGS: Final[tuple[Bug, ...]] = tuple(declared_in(__name__, Bug, BUG))
