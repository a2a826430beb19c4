# SPDX-License-Identifier: GPL-2.0-only
"""``s2fuzz status``: the state of a campaign."""

from argparse import Namespace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ...distribution import how_to_install
from ...exit_codes import BAD_INPUT, FINE, NO_VERDICT, OUR_MISTAKE, WORSE
from ..command import CLASSES, EXIT_CODES, Command
from ..messages import BadInputError, NoVerdictError, complain, dump
from ..options import add_known
from ..parser import Once, Parser
from ..values import folder, since

if TYPE_CHECKING:
    from ...campaign.view.history import Moment
    from ...campaign.view.overview import Overview
    from ...web.lines import CoveredFile

KEYS: Final = "fuzz/campaign/view/overview.py"
_ABOUT: Final = """\
Show the state of a campaign: rates, corpus, features, findings, workers. Reads
campaign.sqlite only, even while the campaign runs, and changes nothing.
"""


def add_arguments(parser: Parser) -> None:
    """Add the arguments of ``s2fuzz status``."""
    parser.add_argument("directory", type=folder, metavar="DIR", help="directory of the campaign")
    new = "list only findings since then: an age (2h) or a date (2026-01-31)"
    page = "write one page for a browser, with programs and traces; needs s2fuzz[web]"
    parser.add_argument("--html", action=Once, metavar="OUT", help=page)
    lines = "with --html: add each line of kernel code, with a program that reaches it; replays the corpus"
    parser.add_argument("--cover", action="store_true", help=lines)
    add_known(parser)
    parser.add_argument("--since", type=since, action=Once, metavar="WHEN", help=new)


def status(arguments: Namespace) -> int:
    """Print the state of a campaign.

    :raises BadInputError: DIR has no campaign or cannot be read, or the accepted findings cannot be used
    """
    from ...campaign.store.database import CampaignError, reading
    from ...campaign.view.history import history
    from ...campaign.view.overview import accepted_by
    from ...campaign.view.queries import read
    from ..inputs import known_findings

    if arguments.cover and not arguments.html:
        raise BadInputError("status --cover: without --html; name the page: --html OUT")
    folder, accepted = Path(arguments.directory), known_findings(arguments)
    try:
        with reading(folder) as db:
            overview, moments = accepted_by(read(db, folder), accepted), history(db)
    except CampaignError as error:
        raise BadInputError(str(error)) from None
    if arguments.html:
        files = covered_lines(overview) if arguments.cover else []
        write_page(overview, moments, files, arguments.html, arguments.since)
    code = exit_code_of(overview)
    tell_overview(overview, arguments.json, {"exit_code": code}, arguments.since)
    say_nothing_judged(overview)
    return code


def covered_lines(overview: "Overview") -> "list[CoveredFile]":
    """Return the lines that the corpus of a campaign reaches.

    :raises BadInputError: coverage.py is missing, or the corpus cannot be read
    :raises NoVerdictError: a process failed
    """
    from ...campaign.campaign import CORPUS
    from ...corpus import CorpusError
    from ...coverage.shares import MeasuringError
    from ...web.lines import covered

    try:
        return covered(Path(overview.folder, CORPUS), overview.reference, overview.candidate)
    except ImportError as error:
        raise BadInputError(f"--cover needs the package {error.name}; {how_to_install('cover')}") from None
    except CorpusError as error:
        raise BadInputError(str(error)) from None
    except MeasuringError as error:
        raise NoVerdictError(f"--cover: {error}") from None


def write_page(
    overview: "Overview", moments: "list[Moment]", files: "list[CoveredFile]", out: str, since: float | None
) -> None:
    """Write the page for a browser.

    :raises BadInputError: the file cannot be written, or a package of the extra ``web`` is missing
    """
    try:
        from ...web.page import page
    except ImportError as error:
        raise BadInputError(f"--html needs the package {error.name}; {how_to_install('web')}") from None
    from ...files import write_atomically

    text = page(overview, moments, since, covered=files)
    try:
        write_atomically(out, text)
    except OSError as error:
        raise BadInputError(f"{out}: {error.strerror}; name a file that can be written") from None


def tell_overview(overview: "Overview", as_json: bool, more: dict[str, Any], since: float | None = None) -> None:
    """Print the state of a campaign; *more*: keys for ``--json``; *since*: see `fuzz.campaign.view.summary`."""
    from ...campaign.view.lines import answer
    from ...campaign.view.summary import summary

    if as_json:
        dump({**answer(overview, since), **more})
    else:
        print(summary(overview, since), end="")


def say_nothing_judged(overview: "Overview") -> None:
    """Complain if there is no verdict because no program was judged."""
    if not overview.programs:
        log = Path(overview.folder, "log")
        rest = " yet" if overview.running else f"; see {log}; the same command resumes"
        complain(f"nothing was judged, so there is no verdict{rest}")


def exit_code_of(overview: "Overview") -> int:
    """Return the exit code for a campaign."""
    if overview.crashed:
        return OUR_MISTAKE
    if overview.worse:
        return WORSE
    if overview.unknown or not overview.programs:
        return NO_VERDICT
    return BAD_INPUT if overview.idle else FINE


COMMAND: Final = Command(
    "status",
    "show the state of a campaign",
    _ABOUT,
    add_arguments,
    status,
    (
        "s2fuzz status rfc-v1.campaign",
        "s2fuzz status --since 12h rfc-v1.campaign",
        "s2fuzz status --html page.html --cover rfc-v1.campaign",
    ),
    CLASSES + EXIT_CODES,
    KEYS,
)
