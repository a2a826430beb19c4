# SPDX-License-Identifier: GPL-2.0-only
"""Renders a campaign with the template of the page, which escapes all text."""

import shlex
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

import jinja2

import candidate

from ..campaign.view.history import Moment
from ..campaign.view.lines import date, duration, is_new, rate, size, state_of
from ..campaign.view.overview import CampaignFinding, Overview
from ..distribution import VERSION
from ..findings.found import comments_of, file_name, known_text
from ..findings.severity import severity
from ..language.program import Program, ProgramError
from ..language.text import load, print_program
from ..reports.watched import run_all
from .charts import charts
from .lines import CoveredFile

# Maximum number of findings whose programs are run for the page, most severe first.
TRACED: Final = 50


@dataclass(slots=True)
class PageEntry:
    """One finding on the page.

    :param name: name of the finding in an address
    :param program: the program of its file, without the comments; "" if there is none
    :param comments: comments of the file: key -> value
    :param command: a command that shows the finding in a terminal
    :param trace: the events of both sides in two columns, or why there are none
    """

    found: CampaignFinding
    severity: str
    new: bool
    known: str
    date: str
    name: str
    program: str = ""
    comments: dict[str, str] = field(default_factory=dict)
    command: str = ""
    trace: str = ""


def entries(overview: Overview, since: float | None, traced: int = TRACED) -> list[PageEntry]:
    """Return the findings that count, most severe first, with programs and traces.

    :param since: time in seconds since 1970 from which on findings are new; None: all are new
    :param traced: maximum number of programs that are run
    """
    made: list[PageEntry] = []
    for found in overview.shown:
        known = found.accepted or known_text(found.finding, overview.reference)
        word = severity(found.finding.signature).name.lower()
        made.append(PageEntry(found, word, is_new(found, since), known, date(found.first_at), name_of(found)))
    with_programs: list[tuple[PageEntry, Program]] = []
    for entry in made:
        path = Path(overview.folder, entry.found.file)
        entry.command = shlex.join(["s2fuzz", "run", "--trace", str(path)])
        if not entry.found.file:
            entry.trace, entry.command = "The program has not been replayed yet.", ""
            continue
        try:
            entry.comments = comments_of(path.read_text(encoding="utf-8"))
            program = load(path)
            entry.program = print_program(program)
            with_programs.append((entry, program))
        except (OSError, UnicodeDecodeError, ProgramError) as error:
            entry.trace = f"The file cannot be read: {error}"
    trace(overview, with_programs[:traced])
    for entry, _ in with_programs[traced:]:
        entry.trace = f"Not run for this page; to run it: {entry.command}"
    return made


def trace(overview: Overview, chosen: Sequence[tuple[PageEntry, Program]]) -> None:
    """Run the programs on the current state of both versions, and store the traces in the entries."""
    if not chosen:
        return
    try:
        versions = candidate.get(overview.reference), candidate.get(overview.candidate)
    except candidate.UnknownCandidateError as error:
        for entry, _ in chosen:
            entry.trace = f"No traces: {error}"
        return
    programs = [(entry.found.file, program) for entry, program in chosen]
    aims = [entry.found.finding.key for entry, _ in chosen]
    runs = run_all(programs, versions[0], [versions[1]], True, aims)
    for (entry, _), run in zip(chosen, runs, strict=True):
        shown = run.verdict is not None and entry.found.finding.key in [each.key for each in run.verdict.findings]
        gone = "" if shown else "The code has changed: the program no longer shows this finding.\n\n"
        entry.trace = gone + (run.trace or run.trouble)


def page(
    overview: Overview,
    moments: Sequence[Moment] = (),
    since: float | None = None,
    traced: int = TRACED,
    served: bool = False,
    only: str = "",
    covered: Sequence[CoveredFile] = (),
) -> str:
    """Return the page as HTML without external resources.

    :param moments: the history of the campaign
    :param since: time in seconds since 1970 from which on findings are new; None: all are new
    :param traced: maximum number of programs that are run for their traces
    :param served: a server shows the page; it has a page with traces for each finding
    :param only: name of the finding to show; "": show all
    :param covered: files of kernel code with the programs that reach their lines
    :returns: "" if there is no such finding
    :raises candidate.CandidateMistakeError: the Python code of a version has a mistake
    """
    if only:
        overview = replace(overview, findings=[each for each in overview.shown if name_of(each) == only])
        if not overview.findings:
            return ""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=jinja2.StrictUndefined
    )
    environment.filters.update(duration=duration, size=size)
    rows = entries(overview, since, 0 if served and not only else traced)
    return environment.get_template("page.html").render(
        o=overview,
        state=state_of(overview),
        made=date(time.time()),
        version=VERSION,
        since=date(since),
        fresh=[each for each in rows if not each.known],
        known=[each for each in rows if each.known],
        charts=[] if only else charts(list(moments)),
        rate=rate,
        served=served,
        only=only,
        covered=covered,
    )


def name_of(found: CampaignFinding) -> str:
    """Return the name of a finding in an address: letters, digits and hyphens."""
    return file_name(found.finding).removesuffix(".s2")
