# SPDX-License-Identifier: GPL-2.0-only
"""The settings of a campaign; some of them are stored and permanent."""

import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from candidate import anywhere

from ...engines.registry import DEFAULT
from . import UNIT_SECONDS
from .database import CampaignError, DamagedError, transaction

DEFAULT_SEED: Final = 1


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings given on the command line.

    :param candidate: name of the version under test; permanent
    :param reference: name of the version that the candidate is compared with; permanent
    :param seed: the source of the seeds of units; permanent; None: the stored one, or `DEFAULT_SEED`
    :param engines: names of the engines that share the units
    :param workers: number of processes that judge concurrently; None: one per core, or per thread of the cluster
    :param seconds: end after this time; None: never
    :param unit_seconds: target time of a unit
    :param scheduler: address of a Dask scheduler; "": use only this machine
    :param known: file of accepted findings; None: the default one, if it exists
    :param until: other ends, each a kind and an amount (`fuzz.campaign.work.limits`)
    :param on_finding: shell command to run for each new finding; "": none
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
    """Compare the settings with those that the campaign began with; store them the first time.

    :returns: the seed
    :raises CampaignError: it is a different campaign
    :raises DamagedError: a setting is missing, or the seed is no number
    """
    with transaction(db):
        kept = dict(db.execute("SELECT key, value FROM settings"))
        wanted = {"candidate": asked.candidate, "reference": asked.reference}
        if asked.seed is not None:
            wanted["seed"] = str(asked.seed)
        if not kept:
            kept = {"seed": str(DEFAULT_SEED), **wanted}
            db.executemany("INSERT INTO settings VALUES (?, ?)", kept.items())
    try:
        compare(folder, kept, wanted)
        return int(kept["seed"])
    except (KeyError, ValueError) as error:
        raise DamagedError(f"a setting cannot be read: {error}") from None


def compare(folder: str, kept: Mapping[str, str], wanted: Mapping[str, str]) -> None:
    """Check that no stored setting differs from the wanted one.

    :raises CampaignError: one differs
    """
    for key, value in wanted.items():
        # Earlier versions stored names of trees as given.
        if anywhere(kept[key]) != anywhere(value):
            wrong = f"--{key} {value}, but this campaign was begun with --{key} {kept[key]}"
            raise CampaignError(f"{folder}: {wrong}; give {kept[key]}, or name another directory")
