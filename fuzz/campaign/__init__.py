# SPDX-License-Identifier: GPL-2.0-only
"""Long-running fuzzing: a directory, work units, and a pool or a cluster that does them.

The directory holds the whole state: after any kill, the same command continues from it.

* ``corpus/``: programs that showed something new (`fuzz.corpus`);
* ``findings/``: programs that show findings, each replayed first (`fuzz.findings.store`);
* ``campaign.sqlite``: units, findings, features and statistics (`fuzz.campaign.store.database`);
* ``log``: the events of the campaign, for people.

A unit is recorded before it begins. It counts once its outcome is recorded, which happens exactly once, in one
transaction. Until then it is repeated.
"""
