# SPDX-License-Identifier: GPL-2.0-only
"""What a campaign is asked to do; part of it is written down and holds for good."""

import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from .database import CampaignError, transaction

# Seconds that a unit should take: long against the start of a process, short against what a kill may cost.
UNIT_SECONDS: Final = 15.0
DEFAULT_SEED: Final = 1


@dataclass(frozen=True, slots=True)
class Settings:
    """What the command asks for.

    :param candidate: name of the version under test; kept for good
    :param reference: name of the version that counts as the original; kept for good
    :param seed: what the seeds of units come from; kept for good; None: that of before, or `DEFAULT_SEED`
    :param engines: names, one for each unit in turn
    :param workers: processes that judge at once; None: one for each core, or thread of the cluster
    :param seconds: end after so long; None: never
    :param unit_seconds: how long a unit should take
    :param scheduler: address of a Dask scheduler; "" for this machine alone
    :param known: file of known findings; None: the default one, if it is there
    """

    candidate: str
    reference: str
    seed: int | None = None
    engines: tuple[str, ...] = ("random",)
    workers: int | None = None
    seconds: float | None = None
    unit_seconds: float = UNIT_SECONDS
    scheduler: str = ""
    known: str | None = None


def settle(db: sqlite3.Connection, folder: str, asked: Settings) -> int:
    """Hold the command against what the campaign was begun with, which is written down the first time.

    :returns: the seed
    :raises CampaignError: it is another campaign
    """
    with transaction(db):
        kept = dict(db.execute("SELECT key, value FROM settings"))
        wanted = {"candidate": asked.candidate, "reference": asked.reference}
        if asked.seed is not None:
            wanted["seed"] = str(asked.seed)
        if not kept:
            kept = {"seed": str(DEFAULT_SEED), **wanted}
            db.executemany("INSERT INTO settings VALUES (?, ?)", kept.items())
    compare(folder, kept, wanted)
    return int(kept["seed"])


def compare(folder: str, kept: Mapping[str, str], wanted: Mapping[str, str]) -> None:
    """See that nothing differs.

    :raises CampaignError: something does
    """
    for key, value in wanted.items():
        if kept[key] != value:
            wrong = f"--{key} {value}, but this campaign has --{key} {kept[key]}"
            raise CampaignError(f"{folder}: {wrong}; allowed: {kept[key]}, or another directory")
