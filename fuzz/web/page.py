# SPDX-License-Identifier: GPL-2.0-only
"""The page: what a campaign has, put into the template, where all text is escaped."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import jinja2

import candidate

from ..campaign.view.lines import date, duration, is_new, rate, size, state_of
from ..campaign.view.overview import CampaignFinding, Overview
from ..distribution import VERSION
from ..findings.found import known_text
from ..findings.severity import severity
from ..language.program import Program, ProgramError
from ..language.text import load
from ..reports.watched import run_all

# Findings whose programs are run for the page, the weightiest first.
TRACED: Final = 50
# Of the curve, in its own units.
_WIDE: Final = 600
_HIGH: Final = 120


@dataclass(slots=True)
class PageEntry:
    """One finding on the page.

    :param text: its file, comments and all; "" where there is none
    :param trace: both sides' events side by side, or why there are none
    """

    found: CampaignFinding
    severity: str
    new: bool
    known: str
    date: str
    text: str = ""
    trace: str = ""


def entries(overview: Overview, since: float | None, traced: int = TRACED) -> list[PageEntry]:
    """Return the findings that count, the weightiest first, with program and traces.

    :param since: seconds since 1970, from which on findings are new; None: all are
    :param traced: programs that are run
    """
    made: list[PageEntry] = []
    for found in overview.shown:
        known = found.accepted or known_text(found.finding, overview.reference)
        word = severity(found.finding.signature).name.lower()
        made.append(PageEntry(found, word, is_new(found, since), known, date(found.first_at)))
    with_programs: list[tuple[PageEntry, Program]] = []
    for entry in made:
        path = Path(overview.folder, entry.found.file)
        if not entry.found.file:
            entry.trace = "The program is not replayed yet."
            continue
        try:
            entry.text = path.read_text(errors="replace")
            with_programs.append((entry, load(path)))
        except (OSError, ProgramError) as error:
            entry.trace = f"The file cannot be read: {error}"
    trace(overview, with_programs[:traced])
    for entry, _ in with_programs[traced:]:
        entry.trace = f"Not run for this page: s2fuzz run --trace {overview.folder}/{entry.found.file}"
    return made


def trace(overview: Overview, chosen: Sequence[tuple[PageEntry, Program]]) -> None:
    """Run the programs on both versions as they are now, and take in the traces."""
    if not chosen:
        return
    try:
        versions = candidate.get(overview.reference), candidate.get(overview.candidate)
    except candidate.UnknownCandidate as error:
        for entry, _ in chosen:
            entry.trace = f"No traces: {error}"
        return
    programs = [(entry.found.file, program) for entry, program in chosen]
    aims = [entry.found.finding.key for entry, _ in chosen]
    runs = run_all(programs, versions[0], [versions[1]], True, aims)
    for (entry, _), run in zip(chosen, runs, strict=True):
        shown = run.verdict is not None and entry.found.finding.key in [each.key for each in run.verdict.findings]
        gone = "" if shown else "The code has changed: the program does not show this finding any more.\n\n"
        entry.trace = gone + (run.trace or run.trouble)


def points(curve: Sequence[tuple[float, int]]) -> str:
    """Return a curve as the points of an SVG polyline."""
    if not curve:
        return ""
    end, most = max(curve[-1][0], 0.001), max(max(count for _, count in curve), 1)
    return " ".join(f"{at / end * _WIDE:.1f},{_HIGH - count / most * _HIGH:.1f}" for at, count in curve)


def page(overview: Overview, since: float | None = None, traced: int = TRACED) -> str:
    """Return the page as HTML; it loads nothing.

    :param since: seconds since 1970, from which on findings are new; None: all are
    :param traced: programs that are run for their traces
    :raises candidate.CandidateMistake: the Python of a version has a mistake
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=jinja2.StrictUndefined
    )
    environment.filters.update(duration=duration, size=size)
    rows = entries(overview, since, traced)
    return environment.get_template("page.html").render(
        o=overview,
        state=state_of(overview),
        made=date(time.time()),
        version=VERSION,
        since=date(since),
        fresh=[each for each in rows if not each.known],
        known=[each for each in rows if each.known],
        points=points(overview.curve),
        wide=_WIDE,
        high=_HIGH,
        rate=rate,
    )
