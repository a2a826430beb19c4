# SPDX-License-Identifier: GPL-2.0-only
"""The settings of a campaign; part of them is written down and holds for good."""

import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from candidate import anywhere

from ...engines.registry import DEFAULT
from .. import UNIT_SECONDS
from .database import CampaignError, transaction

DEFAULT_SEED: Final = 1


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings that the command asks for.

    :param candidate: name of the version under test; kept for good
    :param reference: name of the version that the candidate is compared with; kept for good
    :param seed: the source of the seeds of units; kept for good; None: that of before, or `DEFAULT_SEED`
    :param engines: names, one for each unit in turn
    :param workers: processes that judge at once; None: one for each core, or thread of the cluster
    :param seconds: end after so long; None: never
    :param unit_seconds: how long a unit should take
    :param scheduler: address of a Dask scheduler; "" for this machine alone
    :param known: file of accepted findings; None: the default one, if it is there
    :param until: other ends, each a kind and an amount (`fuzz.campaign.work.limits`)
    :param on_finding: command of the shell for each new finding; "": none
    """

    candidate: str
    reference: str
    seed: int | None = None
    engines: tuple[str, ...] = (DEFAULT,)
    workers: int | None = None
    seconds: float | None = None
    unit_seconds: float = UNIT_SECONDS
    scheduler: str = ""
    known: str | None = None
    until: tuple[tuple[str, float], ...] = ()
    on_finding: str = ""


def settle(db: sqlite3.Connection, folder: str, asked: Settings) -> int:
    """Compare the command with the settings that the campaign began with, written down the first time.

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
    """Check that nothing differs.

    :raises CampaignError: something does
    """
    for key, value in wanted.items():
        # Earlier versions have kept names of trees as they were given.
        if anywhere(kept[key]) != anywhere(value):
            wrong = f"--{key} {value}, but this campaign has --{key} {kept[key]}"
            raise CampaignError(f"{folder}: {wrong}; give {kept[key]}, or name another directory")
