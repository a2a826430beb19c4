# SPDX-License-Identifier: GPL-2.0-only
"""``s2fuzz campaign`` and ``s2fuzz status``: fuzzing for hours and weeks, and how it is doing."""

import argparse
import sqlite3
import sys
from functools import partial
from pathlib import Path

import candidate

from ..campaign import lines, stopping
from ..campaign.campaign import run
from ..campaign.database import NAME, CampaignError, connect_to_read, failure
from ..campaign.overview import Overview, read
from ..campaign.settings import Settings
from ..campaign.upkeep import Screen
from ..engines.drivers import missing
from .arguments import ENGINES
from .commands import BadInputError, complain, dump, known_findings, say_form
from .exit_codes import FINE, INTERRUPTED, OUR_MISTAKE, WORSE


def command(arguments: argparse.Namespace) -> int:
    """``s2fuzz campaign``

    :raises BadInputError: DIR, an engine, the known findings or the scheduler cannot be used
    :raises candidate.UnknownCandidate: no version of this name
    """
    settings = Settings(
        candidate.get(arguments.candidate).name,
        candidate.get(arguments.reference).name,
        arguments.seed,
        tuple(arguments.engine or ENGINES[:1]),
        arguments.workers,
        arguments.hours * 3600 if arguments.hours else None,
        arguments.unit_seconds,
        arguments.scheduler,
    )
    for engine in settings.engines:
        # On a cluster it is its workers that must have it.
        if not settings.scheduler and (lacking := missing(engine)):
            raise BadInputError(f"--engine {lacking}")
    accepted = known_findings(arguments)
    begin = partial(say_form, arguments)
    try:
        why, overview = run(Path(arguments.directory), settings, accepted, screen(arguments.json), begin)
    except CampaignError as error:
        raise BadInputError(str(error)) from None
    tell(overview, arguments.json)
    for entry in accepted.stale():
        complain(f"{accepted.file}: entry {entry.number} ({entry.pattern}) matched nothing so far")
    return INTERRUPTED if why == stopping.INTERRUPTED else code_of(overview)


def screen(quiet: bool) -> Screen:
    """Where people see how it goes: on stderr, as a terminal can show it."""
    if quiet:
        return lines.Silence()
    if not sys.stderr.isatty():
        return lines.Lines()
    try:
        from ..campaign.screen import RichScreen
    except ImportError:
        # From a checkout without `make venv`.
        complain("no status screen without rich; plain lines instead")
        return lines.Lines()
    return RichScreen()


def status(arguments: argparse.Namespace) -> int:
    """``s2fuzz status``

    :raises BadInputError: DIR has no campaign, or cannot be read
    """
    folder = Path(arguments.directory)
    try:
        db = connect_to_read(folder)
        try:
            overview = read(db, folder)
        except sqlite3.Error as error:
            raise failure(folder / NAME, error) from None
        finally:
            db.close()
    except CampaignError as error:
        raise BadInputError(str(error)) from None
    tell(overview, arguments.json)
    return code_of(overview)


def tell(overview: Overview, as_json: bool) -> None:
    """Print how a campaign is doing."""
    if as_json:
        dump(lines.answer(overview))
    else:
        print(lines.summary(overview), end="")


def code_of(overview: Overview) -> int:
    """The exit code."""
    if overview.crashed:
        return OUR_MISTAKE
    return WORSE if overview.worse else FINE
