# SPDX-License-Identifier: GPL-2.0-only
"""Planted bugs: known ones brought back, and plausible slips, each on top of a version that does not have it.

What engines are ranked by (`fuzz.benchmark.finding`): some show in every tenth
random program, some in one of tens of thousands. They are no patches that
anybody looks at, so `candidate.names` leaves them out. Each module of this folder ends in its declaration (`Bug`).
"""

from typing import Final

from ..registry.declaration import BUG, Bug
from ..registry.folder import declared_in

__all__ = ["BUGS", "Bug"]

# In the order of depth: programs that the random engine needs.
BUGS: Final[tuple[Bug, ...]] = tuple(declared_in(__name__, Bug, BUG))
