# SPDX-License-Identifier: GPL-2.0-only
"""``s2fuzz campaign`` and ``s2fuzz status``: fuzzing for hours and weeks, and how it is doing."""

import argparse
import sqlite3
import sys
from pathlib import Path
from typing import Any

import candidate

from ..campaign.campaign import run
from ..campaign.store.database import NAME, CampaignError, connect_to_read, failure
from ..campaign.store.settings import Settings
from ..campaign.view import lines
from ..campaign.view.overview import Overview, read
from ..campaign.work import stopping
from ..campaign.work.upkeep import Screen
from ..engines.drivers import missing
from ..exit_codes import FINE, INTERRUPTED, NO_VERDICT, OUR_MISTAKE, WORSE
from .arguments import ENGINES
from .changes import changes_answer, say_changes
from .commands import BadInputError, complain, dump, known_findings, say_form


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

    def begin() -> None:
        say_changes(settings.reference, [settings.candidate])
        say_form(arguments)

    try:
        why, overview = run(Path(arguments.directory), settings, accepted, screen(arguments.json), begin)
    except CampaignError as error:
        raise BadInputError(str(error)) from None
    code = INTERRUPTED if why == stopping.INTERRUPTED else code_of(overview)
    if code == FINE and not overview.programs:
        complain("nothing was judged, so there is no verdict; the log in DIR says why, the same command goes on")
        code = NO_VERDICT
    changes = changes_answer(settings.reference, [settings.candidate])
    tell(overview, arguments.json, {"exit_code": code, "changes": changes})
    for entry in accepted.stale():
        complain(f"{accepted.file}: entry {entry.number} ({entry.pattern}) matched nothing so far")
    return code


def screen(quiet: bool) -> Screen:
    """Where people see how it goes: on stderr, as a terminal can show it."""
    if quiet:
        return lines.Silence()
    if not sys.stderr.isatty():
        return lines.Lines()
    try:
        from ..campaign.view.screen import RichScreen
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
    code = code_of(overview)
    tell(overview, arguments.json, {"exit_code": code})
    return code


def tell(overview: Overview, as_json: bool, more: dict[str, Any]) -> None:
    """Print how a campaign is doing; *more*: keys for ``--json``."""
    if as_json:
        dump({**lines.answer(overview), **more})
    else:
        print(lines.summary(overview), end="")


def code_of(overview: Overview) -> int:
    """The exit code."""
    if overview.crashed:
        return OUR_MISTAKE
    return WORSE if overview.worse else FINE
