# SPDX-License-Identifier: GPL-2.0-only
"""``s2fuzz campaign``: fuzzing for hours or weeks."""

import os
import sys
from argparse import Namespace
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ...campaign.store import UNIT_SECONDS
from ...engines.registry import DEFAULT, PUBLIC, engine_of
from ...exit_codes import FINE, INTERRUPTED, OUR_MISTAKE, WORSE
from ..command import CLASSES, EXIT_CODES, Command
from ..messages import BadInputError, complain, dump, say_form
from ..options import add_json, add_known, add_versions
from ..parser import Once, Parser
from ..values import MAX_SECONDS, folder, number, port, seed, until, workers
from .status import KEYS, exit_code_of, say_nothing_judged, tell_overview

if TYPE_CHECKING:
    from ...campaign.store.settings import Settings
    from ...campaign.view.overview import Overview
    from ...campaign.work.upkeep import Screen
    from ...findings.accepted import Accepted

_ABOUT: Final = """\
Fuzz until stopped. DIR holds the whole state: programs that showed something new
(corpus/), programs that show findings, each replayed in a fresh process first
(findings/), campaign.sqlite and log. After any kill or restart, the same command
resumes. Ctrl-C ends it within two seconds; `s2fuzz status DIR` shows its state at
any time.

`s2fuzz campaign compare A B` reports what one of two campaigns found that the other
did not (see its --help). To name a campaign's directory "compare", write ./compare.
"""
_COMPARE: Final = """\
Report what one of two campaigns found that the other did not: findings (regressions
first), features, programs, speed. Reads both, even while they run, and changes
nothing. Accepted findings are only counted.

A finding of only one campaign may be chance if the other judged too few programs to
be likely to meet it; the output says so.

example: s2fuzz campaign compare before.campaign after.campaign
"""
_COMPARE_CODES: Final = """\
exit codes:
    0  B has no regression or divergence that A lacks
    1  B has at least one
    2  bad usage, or a directory without a campaign; one line on stderr gives the place
    3  B hit a mistake of s2fuzz itself that A did not
  129, 130, 143  interrupted by SIGHUP, Ctrl-C, SIGTERM
  141  the reader closed the output
"""


def hours(text: str) -> float:
    """Parse the value of ``--hours``."""
    return number(text, 0, MAX_SECONDS / 3600)


def unit_seconds(text: str) -> float:
    """Parse the value of ``--unit-seconds``."""
    return number(text, 0.1, 3600)


def add_arguments(parser: Parser) -> None:
    """Add the arguments of ``s2fuzz campaign``."""
    other = parser.add_other("compare", _COMPARE, _COMPARE_CODES)
    add_json(other, "fuzz/campaign/view/comparison.py")
    other.add_argument("first", type=folder, metavar="A", help="directory of the earlier campaign")
    other.add_argument("second", type=folder, metavar="B", help="directory of the new campaign")
    parser.add_argument(
        "directory", type=folder, metavar="DIR", help="directory of the campaign; created the first time"
    )
    add_versions(parser, "the version under test; see `s2fuzz list`", required=True)
    engine = f"engine that generates the programs; if repeated, engines that find more get more time ({DEFAULT})"
    parser.add_argument("--engine", action="append", choices=PUBLIC, help=engine)
    processes = "number of worker processes (one per core)"
    parser.add_argument("--workers", type=workers, action=Once, metavar="N", help=processes)
    parser.add_argument("--hours", type=hours, action=Once, metavar="H", help="end after H hours (never)")
    ends = "end after a time without a new feature, after N programs, or at the first filed regression; may be repeated"
    parser.add_argument("--until", action="append", type=until, metavar="idle=2h|programs=N|regression", help=ends)
    told = (
        "shell command to run for each new finding that is not accepted, with S2FUZZ_FILE, _KIND, _SIGNATURE, _REASON"
    )
    parser.add_argument("--on-finding", action=Once, default="", metavar="COMMAND", help=told)
    page = "also show it in a browser, at http://127.0.0.1:PORT/, for this machine only (0: any free port)"
    parser.add_argument("--http", type=port, action=Once, metavar="PORT", help=f"{page}; needs s2fuzz[web]")
    seeds = "seed of the campaign (1); fixed when the campaign begins"
    parser.add_argument("--seed", type=seed, action=Once, metavar="S", help=seeds)
    add_known(parser)
    cluster = "address of a Dask scheduler; its workers do the work instead of this machine; needs s2fuzz[cluster]"
    parser.add_argument("--scheduler", action=Once, default="", metavar="ADDRESS", help=cluster)
    length = "target time of a unit of work, in seconds; a kill may lose that much (%(default)g)"
    parser.add_argument(
        "--unit-seconds", type=unit_seconds, action=Once, default=UNIT_SECONDS, metavar="N", help=length
    )


def compare_campaigns(arguments: Namespace) -> int:
    """Compare two campaigns.

    :raises BadInputError: one of them is not a campaign, or cannot be read
    """
    from ...campaign.store.database import CampaignError
    from ...campaign.view import comparison

    try:
        found = comparison.compare(Path(arguments.first), Path(arguments.second))
    except CampaignError as error:
        raise BadInputError(str(error)) from None
    code = OUR_MISTAKE if found.crashed else WORSE if found.worse else FINE
    if arguments.json:
        dump({**comparison.answer(found), "exit_code": code})
    else:
        print(comparison.text(found), end="")
    return code


def campaign(arguments: Namespace) -> int:
    """Fuzz until somebody stops it, or compare two campaigns.

    :raises BadInputError: DIR, an engine, the accepted findings or the scheduler cannot be used
    :raises candidate.UnknownCandidateError: no version with this name
    """
    if arguments.action == "compare":
        return compare_campaigns(arguments)
    from ..changes import changes_answer
    from ..inputs import known_findings

    settings = settings_of(arguments)
    accepted = known_findings(arguments)
    interrupted, overview = run_campaign(arguments, settings, accepted)
    code = INTERRUPTED if interrupted else exit_code_of(overview)
    if not interrupted:
        say_nothing_judged(overview)
    changes = changes_answer(settings.reference, [settings.candidate])
    tell_overview(overview, arguments.json, {"exit_code": code, "changes": changes})
    for entry in accepted.stale():
        complain(f"{accepted.file}: entry {entry.number} ({entry.pattern}) matched nothing so far")
    return code


def settings_of(arguments: Namespace) -> "Settings":
    """Return the settings on the command line.

    :raises BadInputError: an engine or the scheduler cannot be used
    :raises candidate.UnknownCandidateError: no version with this name
    """
    import candidate

    from ...campaign.store.settings import Settings

    settings = Settings(
        # Names that work in any folder: the campaign may be viewed or resumed from another one.
        candidate.get(candidate.anywhere(arguments.candidate)).name,
        candidate.get(candidate.anywhere(arguments.reference)).name,
        arguments.seed,
        tuple(arguments.engine or (DEFAULT,)),
        arguments.workers,
        arguments.hours * 3600 if arguments.hours else None,
        arguments.unit_seconds,
        arguments.scheduler,
        until=tuple(arguments.until or ()),
        on_finding=arguments.on_finding,
    )
    if settings.scheduler:
        check_cluster(settings)
    for engine in settings.engines:
        # On a cluster, its workers must have the engine.
        if not settings.scheduler and (lacking := engine_of(engine).missing()):
            raise BadInputError(f"--engine {lacking}")
    return settings


def run_campaign(arguments: Namespace, settings: "Settings", accepted: "Accepted") -> "tuple[bool, Overview]":
    """Run the campaign, and show it in a browser if requested.

    :returns: whether somebody interrupted it, and its overview at the end
    :raises BadInputError: DIR or the port cannot be used
    """
    from ...campaign.campaign import run
    from ...campaign.store.database import CampaignError
    from ...campaign.work import stopping
    from ..changes import say_changes

    address = ""

    def begin() -> None:
        say_changes(settings.reference, [settings.candidate])
        say_form(arguments)
        if address:
            complain(f"{address} shows the campaign")

    with ExitStack() as stack:
        if arguments.http is not None:
            address = serve(arguments, stack)
        try:
            why, overview = run(Path(arguments.directory), settings, accepted, screen(arguments.json), begin)
        except CampaignError as error:
            raise BadInputError(str(error)) from None
    return why == stopping.INTERRUPTED, overview


def serve(arguments: Namespace, stack: ExitStack) -> str:
    """Start a process that shows the campaign in a browser, until *stack* is closed.

    :returns: the address
    :raises BadInputError: a package is missing, or the port is unavailable
    """
    from ...web.listening import CannotServeError, serving

    try:
        child, address = serving(Path(arguments.directory), arguments.http)
    except CannotServeError as error:
        raise BadInputError(f"campaign --http {error}") from None
    stack.callback(child.close)
    return address


def check_cluster(settings: "Settings") -> None:
    """Refuse versions that the workers of a cluster cannot have.

    :raises BadInputError: a version is a file of this machine
    """
    import candidate

    for option, name in (("candidate", settings.candidate), ("reference", settings.reference)):
        if candidate.is_file(name):
            wrong = f"--{option} {name}: a file is on this machine only, and the workers of a cluster do not have it"
            raise BadInputError(f"{wrong}; put it into candidate/ of each installation, or leave out --scheduler")


def screen(quiet: bool) -> "Screen":
    """Return the output on stderr for people, in the form that the terminal supports."""
    from ...campaign.view import lines

    if quiet:
        return lines.NoOutput()
    # rich draws no status at all on a terminal that cannot move its cursor.
    if not sys.stderr.isatty() or os.environ.get("TERM") in ("dumb", "unknown"):
        return lines.Lines()
    try:
        from ...campaign.view.screen import RichScreen
    except ImportError:
        # A checkout without `make venv` may lack rich.
        complain("no status screen without rich; plain lines instead")
        return lines.Lines()
    return RichScreen()


COMMAND: Final = Command(
    "campaign",
    "fuzz for hours and weeks, resumably",
    _ABOUT,
    add_arguments,
    campaign,
    (
        "s2fuzz campaign rfc-v1.campaign --candidate rfc-v1 --hours 8",
        "s2fuzz campaign compare rfc-v1.campaign rfc-v2.campaign",
    ),
    CLASSES + EXIT_CODES,
    KEYS,
)
