# SPDX-License-Identifier: GPL-2.0-only
"""Fuzzing that goes on for weeks: a directory, work units, a pool or a cluster that does them.

The directory is the truth: whatever is killed, the same command goes on from it.

* ``corpus/``: programs that showed something new (`fuzz.corpus`);
* ``findings/``: those that show findings, each replayed first (`fuzz.findings.store`);
* ``campaign.sqlite``: units, findings, features and statistics (`fuzz.campaign.store.database`);
* ``log``: what happened, for people.

A unit is written down before it is begun and counts when what came of it is
written down, which happens once, in one transaction. Until then it is repeated.
"""
