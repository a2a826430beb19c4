# SPDX-License-Identifier: GPL-2.0-only
"""A campaign as plain text: lines while it runs, the parts of a summary, JSON."""

import sys
import textwrap
import time
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final, TextIO

from ...distribution import VERSION
from ...findings.found import known_text
from ...findings.witness import STAMP_PREFIX, stamp_of
from ...reports.report import (
    HALF_A_TREE,
    exercise_lines,
    no_verdict,
    not_exercised,
    plural,
    refused_lines,
)
from ..store.findings import PENDING
from .overview import CampaignFinding, Overview

# Seconds between two progress lines.
EVERY: Final = 10.0
# Width of the narrowest terminal.
WIDTH: Final = 80
INDENT: Final = " " * 12
_BARS: Final = "▁▂▃▄▅▆▇█"
# For output that supports only ASCII.
_PLAIN_BARS: Final = "_.-=+*%#"


def duration(seconds: float) -> str:
    """Return a duration as text: ``45 s``, ``12:05 min``, ``3:04 h``, ``2 d 3 h``."""
    whole = int(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60}:{whole % 60:02} min"
    if whole < 48 * 3600:
        return f"{whole // 3600}:{whole % 3600 // 60:02} h"
    return f"{whole // 86400} d {whole % 86400 // 3600} h"


def date(at: float | None) -> str:
    """Return a date as text: ``2026-01-31 12:00``, in local time; "" if it is not known."""
    return "" if at is None else time.strftime("%Y-%m-%d %H:%M", time.localtime(at))


def fitted(lines: Iterable[str]) -> Iterator[str]:
    """Wrap lines at spaces to `WIDTH` columns; a file name is one word and stays whole, however long it is."""
    for line in lines:
        indent = line[: len(line) - len(line.lstrip())]
        kind = line[: len(INDENT)]
        rest = INDENT if kind.endswith("  ") and not indent else indent
        if len(line) <= WIDTH or len(line.split()) == 1:
            yield line
        else:
            yield from textwrap.wrap(
                line, WIDTH, subsequent_indent=rest, break_long_words=False, break_on_hyphens=False
            )


def size(kib: int) -> str:
    """Return a size as text, such as ``120M``; "" if it is not known."""
    return f"{kib // 1024}M" if kib else ""


def bars_for(out: TextIO) -> str:
    """Return eight characters that *out* can encode, the lowest bar first."""
    try:
        _BARS.encode(out.encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return _PLAIN_BARS
    return _BARS


def sparkline(points: list[tuple[float, int]], width: int, characters: str = _BARS) -> str:
    """Return a curve over time as bars, one per time step, each with the last value before the end of its step."""
    if not points or points[-1][1] == 0 or width < 1:
        return ""
    end, most = points[-1][0], max(count for _, count in points)
    bars: list[str] = []
    at, value = 0, 0
    for step in range(1, width + 1):
        while at < len(points) and points[at][0] <= end * step / width:
            value = points[at][1]
            at += 1
        bars.append(characters[min(value * len(characters) // (most + 1), len(characters) - 1)])
    return "".join(bars)


def state_of(overview: Overview) -> str:
    """Return whether the campaign runs, or why it does not, as text."""
    if overview.running:
        return "running"
    if not overview.sessions:
        return "not begun; the same command begins it"
    return f"ended: {overview.why}" if overview.why else "was killed, or its disk was full; the same command resumes it"


def since_feature(overview: Overview) -> str:
    """Return how long ago a program had a new feature, as text."""
    return "none yet" if overview.since_feature is None else f"the last {duration(overview.since_feature)} ago"


def progress_line(overview: Overview) -> str:
    """Return the state of the campaign in one line."""
    found = overview.exercise
    ran = f"  ran: {found.ran} of {plural(found.lines, 'line')} that differ" if found and found.lines else ""
    return (
        f"{duration(overview.elapsed)}  {overview.programs} programs  {overview.programs_now:.1f} programs/s  "
        f"{overview.operations_now:.0f} operations/s  corpus {overview.corpus}  "
        f"features {overview.features} ({since_feature(overview)})  findings: {overview.by_class()}{ran}"
    )


class Lines:
    """Output without a terminal: a progress line from time to time, and one line per event.

    :param out: the stream; by default stderr
    """

    def __init__(self, out: TextIO | None = None) -> None:
        self.out = out or sys.stderr
        self.next = time.monotonic() + EVERY

    def show(self, overview: Overview, news: list[str], last: list[str]) -> None:
        """Print new messages, and a progress line every `EVERY` seconds; see `fuzz.campaign.work.upkeep.Screen`."""
        for line in news:
            print(line, file=self.out)
        now = time.monotonic()
        if now >= self.next:
            self.next = now + EVERY
            print(progress_line(overview), file=self.out)
        self.out.flush()

    def close(self) -> None:
        """Do nothing: there is nothing to release."""


class NoOutput:
    """An output that shows nothing."""

    def show(self, overview: Overview, news: list[str], last: list[str]) -> None:
        """Do nothing; see `fuzz.campaign.work.upkeep.Screen`."""

    def close(self) -> None:
        """Do nothing: there is nothing to release."""


def finding_lines(found: CampaignFinding, overview: Overview) -> list[str]:
    """Return the lines of a finding: class, signature, reason, file, known bug."""
    smallest = "" if found.operations is None else f", the smallest of {plural(found.operations, 'operation')}"
    where = ", not replayed yet" if found.state == PENDING else ""
    when = f" on {day}" if (day := date(found.first_at)) else ""
    first = f"first by {found.engine}{when}, after {duration(found.elapsed)}"
    lines = [
        f"{found.kind:<10}  {found.finding.signature}",
        f"{INDENT}{found.finding.reason}",
        f"{INDENT}{plural(max(found.count, 1), 'program')}, {first}{smallest}{where}",
    ]
    if found.file:
        lines.append(f"  {Path(overview.folder, found.file)}")
    if known := known_text(found.finding, overview.reference):
        lines.append(f"{INDENT}{known}")
    if stamp := stamp_on(found, overview):
        lines.append(f"{INDENT}{STAMP_PREFIX}{stamp}")
    if found.accepted:
        lines.append(f"{INDENT}accepted: {found.accepted}")
    return lines


def stamp_on(found: CampaignFinding, overview: Overview) -> str:
    """Return the stamp of a real kernel in the file of a finding; "" if there is none."""
    return stamp_of(Path(overview.folder, found.file), found.finding.signature) if found.file else ""


def is_new(found: CampaignFinding, since: float | None) -> bool:
    """Tell whether a finding was first seen at or after *since*; None is the beginning."""
    return since is None or (found.first_at is not None and found.first_at >= since)


def reach_lines(overview: Overview) -> list[str]:
    """Return the lines on programs without a verdict, and on how much of the difference of two kernel trees ran."""
    lines = [no_verdict(overview.done, overview.refused)] if overview.unknown else []
    lines += refused_lines(overview.refused)
    if overview.idle:
        lines.append(not_exercised(overview.exercise))
    if overview.exercise is not None:
        lines += exercise_lines(overview.exercise)
    elif overview.only_one_is_tree:
        lines.append(HALF_A_TREE)
    return lines


def rate(count: int, seconds: float) -> str:
    """Return a rate as text: ``140.1``; "" if no time has passed."""
    return f"{count / seconds:.1f}" if seconds > 0 else ""


def answer(overview: Overview, since: float | None = None) -> dict[str, Any]:
    """Return the fields of `fuzz.campaign.view.overview.Overview` for ``--json``.

    ``unreplayed`` has the findings that did not replay. ``gone`` has the findings that were not replayed because the
    code that showed them is gone. Each of ``findings`` has ``real``, the stamp of a real kernel or null, and ``new``:
    whether it was first seen since the moment *since*, or since the beginning.
    """
    fields = asdict(overview)
    fields["findings"] = [
        {**each.answer(), "real": stamp_on(each, overview) or None, "new": is_new(each, since)}
        for each in overview.shown
    ]
    fields["unreplayed"] = [each.answer() for each in overview.unreplayed]
    fields["gone"] = [each.answer() for each in overview.gone]
    return {"s2fuzz": VERSION, "state": state_of(overview), **fields}
