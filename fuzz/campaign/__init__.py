# SPDX-License-Identifier: GPL-2.0-only
"""Fuzzing that goes on for weeks: a directory, work units, a pool or a cluster that does them.

The directory is the truth: whatever is killed, the same command goes on from it.

* ``corpus/``: programs that showed something new (`fuzz.corpus`);
* ``findings/``: those that show findings, each replayed first (`fuzz.findings.store`);
* ``campaign.sqlite``: units, findings, features and statistics (`fuzz.campaign.store.database`);
* ``log``: the events of the campaign, for people.

A unit is written down before it is begun. It counts when its outcome is
written down, which happens once, in one transaction. Until then it is repeated.
"""

from typing import Final

# Seconds that a unit should take: long against the start of a process, short against what a kill may cost.
UNIT_SECONDS: Final = 15.0
