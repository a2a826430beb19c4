# SPDX-License-Identifier: GPL-2.0-only
"""Trials of fictional mutants."""

from fuzz.mutation.trial import MutantTrial


def trial(key: str, killed: str = "", by: str = "", operations: int = 100, silent: str = "") -> MutantTrial:
    """Make a trial of a change that is named like its key."""
    return MutantTrial(key, "Mmu.f", "LeaveOut", f"{key} => pass", killed, by, 1, operations, silent, 0.1)
