# SPDX-License-Identifier: GPL-2.0-only
"""The arguments of ``s2fuzz campaign`` and ``s2fuzz status``."""

import argparse
import math
from collections.abc import Callable
from typing import Final

from ..campaign.store.settings import UNIT_SECONDS
from .arguments import ENGINES, MAX_SECONDS, Once, Parser, add_known, add_versions, folder, seed, whole

MAX_WORKERS: Final = 1024

_CAMPAIGN: Final = """\
Fuzz until somebody stops it. DIR has everything: programs that showed something
new (corpus/), programs that show findings, each replayed in a fresh process
first (findings/), campaign.sqlite and log. Whatever is killed or restarted, the
same command goes on from there. Ctrl-C ends it within two seconds;
`s2fuzz status DIR` shows it from elsewhere.

example: s2fuzz campaign rfc-v1.campaign --candidate rfc-v1 --hours 8
"""
_STATUS: Final = """\
Say how a campaign is doing: rates, corpus, features, findings, workers. Reads
campaign.sqlite only, also while the campaign runs, and changes nothing.

example: s2fuzz status rfc-v1.campaign
"""
_KEYS: Final = "answer with one JSON object; keys: fuzz/campaign/view/overview.py"


def number(text: str, least: float, most: float) -> float:
    """A number within bounds; *least* itself is allowed unless it is 0."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not least <= value <= most or not value:
        allowed = f"from {least:g} to {most:g}" if least else f"more than 0, at most {most:g}"
        raise argparse.ArgumentTypeError(f"{text[:40]!a}; allowed: {allowed}")
    return value


def hours(text: str) -> float:
    """The value of ``--hours``."""
    return number(text, 0, MAX_SECONDS / 3600)


def unit_seconds(text: str) -> float:
    """The value of ``--unit-seconds``."""
    return number(text, 0.1, 3600)


def workers(text: str) -> int:
    """The value of ``--workers``."""
    return whole(text, 1, MAX_WORKERS)


def add(command: Callable[..., Parser], epilog: str) -> None:
    """Add the commands to the others.

    :param command: makes the parser of one
    """
    campaign = command("campaign", "fuzz for hours and weeks, resumably", _CAMPAIGN, epilog, keys=_KEYS)
    campaign.add_argument("directory", type=folder, metavar="DIR", help="of the campaign; made the first time")
    add_versions(campaign, "the version to look at; see `s2fuzz list`", required=True)
    engine = f"what makes the programs; given more than once: in turn ({ENGINES[0]})"
    campaign.add_argument("--engine", action="append", choices=ENGINES, help=engine)
    processes = "processes that judge at once (one for each core)"
    campaign.add_argument("--workers", type=workers, action=Once, metavar="N", help=processes)
    campaign.add_argument("--hours", type=hours, action=Once, metavar="H", help="end after so long (never)")
    seeds = "what the seeds of all its work come from (1); it keeps the one that it was begun with"
    campaign.add_argument("--seed", type=seed, action=Once, metavar="S", help=seeds)
    add_known(campaign)
    cluster = "of a Dask scheduler whose workers do the work, instead of this machine; needs s2fuzz[cluster]"
    campaign.add_argument("--scheduler", action=Once, default="", metavar="ADDRESS", help=cluster)
    length = "how long a piece of work takes, about: what a kill may cost (%(default)g)"
    campaign.add_argument(
        "--unit-seconds", type=unit_seconds, action=Once, default=UNIT_SECONDS, metavar="N", help=length
    )
    status = command("status", "how a campaign is doing", _STATUS, epilog, keys=_KEYS)
    status.add_argument("directory", type=folder, metavar="DIR", help="of the campaign")
