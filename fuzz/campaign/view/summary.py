# SPDX-License-Identifier: GPL-2.0-only
"""The summary of a campaign for people: at its end, and in ``s2fuzz status``."""

import sys

from ...findings.found import CRASH
from ...reports.report import legend, plural
from .lines import (
    INDENT,
    bars_for,
    date,
    duration,
    finding_lines,
    fitted,
    is_new,
    rate,
    reach_lines,
    since_feature,
    size,
    sparkline,
    state_of,
)
from .overview import CampaignFinding, Overview


def summary(overview: Overview, since: float | None = None) -> str:
    """Return the summary of a campaign: its work and its findings; at most `fuzz.campaign.view.lines.WIDTH` columns.

    :param since: seconds since 1970; earlier findings are counted but not listed; None: all are listed
    """
    o = overview
    lines = [*work_lines(o), *engine_lines(o), *worker_lines(o), "", *weighty_lines(o, since), *reach_lines(o)]
    lines += accepted_lines([found for found in o.shown if found.accepted])
    if o.waiting:
        lines.append(f"{plural(o.waiting, 'program')} still to be replayed")
    if o.unreplayed:
        lines.append(
            f"{plural(len(o.unreplayed), 'finding')} that did not replay in a fresh process: findings/unreplayed/"
        )
    if o.gone:
        lines.append(f"{plural(len(o.gone), 'finding')} of code that is gone, not replayed: findings/gone/")
    lines += crash_lines(o)
    return "\n".join(fitted(lines)) + "\n"


def work_lines(o: Overview) -> list[str]:
    """Return the lines of the work: versions, time, programs, corpus, features."""
    speed = f"{o.programs_now:.1f}" if o.running else rate(o.programs, o.elapsed)
    versions = f", code version {o.versions}" if o.versions > 1 else ""
    lines = [
        f"{o.folder}: {o.candidate} against {o.reference}, seed {o.seed}{versions}; {state_of(o)}",
        f"{duration(o.elapsed)} in {plural(o.sessions, 'session')}, {plural(o.units, 'unit')} done"
        + (f", {o.open_units} in flight" if o.open_units else "")
        + (f", {o.failed_units} failed" if o.failed_units else ""),
        f"{plural(o.programs, 'program')} and {plural(o.operations, 'operation')} judged"
        + (f", {speed} programs/s" if speed else "")
        + (" now" if o.running else ""),
        f"corpus {plural(o.corpus, 'program')}"
        + (f", {plural(o.aside, 'file')} set aside" if o.aside else "")
        + f"; features {o.features}, {since_feature(o)}",
    ]
    if curve := sparkline(o.curve, 40, bars_for(sys.stdout)):
        lines.append(f"features over time  {curve}")
    return lines


def engine_lines(o: Overview) -> list[str]:
    """Return the table of the engines; empty if none has done a unit."""
    if not o.by_engine:
        return []
    heads = f"{'units':>8}{'programs':>12}{'/s a worker':>12}{'new features':>14}{'findings':>10}{'share':>7}"
    lines = ["", f"{'engine':<12}{heads}"]
    for each in o.by_engine:
        first = sum(found.engine == each.engine for found in o.shown)
        lines.append(
            f"{each.engine:<12}{each.units:>8}{each.programs:>12}{rate(each.programs, each.seconds):>12}"
            f"{each.features:>14}{first:>10}{'' if each.share is None else f'{each.share:.0%}':>7}"
        )
    return lines


def worker_lines(o: Overview) -> list[str]:
    """Return the table of the workers; empty if there are none."""
    if not o.workers:
        return []
    heads = f"{'worker':<24}{'unit':>8}  {'engine':<12}{'programs':>10}{'programs/s':>12}{'memory':>8}"
    return [
        *("", heads),
        *(
            f"{each.name:<24}{each.unit or '':>8}  {each.engine:<12}{each.programs:>10}"
            f"{rate(each.programs, each.seconds):>12}{size(each.kib):>8}"
            for each in o.workers
        ),
    ]


def weighty_lines(o: Overview, since: float | None) -> list[str]:
    """Return the lines of the findings that are neither accepted nor mistakes of s2fuzz.

    :param since: as for `summary`
    """
    serious = [found for found in o.shown if not found.accepted and found.kind != CRASH]
    told = [found for found in serious if is_new(found, since)]
    lines: list[str] = []
    if since is not None:
        before = len(serious) - len(told)
        lines.append(f"new since {date(since)}: {plural(len(told), 'finding')}; {before} from before")
    for found in told:
        lines += finding_lines(found, o)
    if serious:
        kinds = [found.kind for found in serious]
        counts = ", ".join(f"{kinds.count(kind)} {kind}" for kind in dict.fromkeys(kinds))
        lines += ["", f"{plural(len(serious), 'finding')}: {counts}", f"({legend(kinds, o.reference)})"]
    elif not o.unknown:
        accepted = any(found.accepted for found in o.shown)
        lines.append("nothing found" + (", except accepted findings" if accepted else ""))
    return lines


def accepted_lines(accepted: list[CampaignFinding]) -> list[str]:
    """Return the lines of accepted findings, each with the person and the reason."""
    if not accepted:
        return []
    lines = [f"{plural(len(accepted), 'finding')} accepted (see the file of accepted findings):"]
    for each in accepted:
        lines += [f"{each.kind:<10}  {each.finding.signature}", f"{INDENT}accepted: {each.accepted}"]
    return lines


def crash_lines(o: Overview) -> list[str]:
    """Return the lines of mistakes of s2fuzz; empty if there are none."""
    crashes = [found for found in o.shown if found.kind == CRASH and not found.accepted]
    if not crashes:
        return []
    lines = ["", "Mistakes of s2fuzz, not of the candidate; please report them with the file:"]
    for found in crashes:
        lines += finding_lines(found, o)
    return lines
