# SPDX-License-Identifier: GPL-2.0-only
"""The status screen of a campaign, for terminals."""

import sys

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from ...findings.found import CRASH
from ...judging.differential import CLASSES, CURED, DIVERGENCE, REGRESSION
from .lines import bars_for, date, duration, rate, reach_lines, since_feature, size, sparkline, state_of
from .overview import Overview

_STYLES = {REGRESSION: "bold red", DIVERGENCE: "bold red", CRASH: "bold magenta", CURED: "green"}
# Maximum number of findings listed by name, the newest of the weightiest class first.
_NAMED = 3


def render(overview: Overview, last: list[str]) -> RenderableType:
    """Render a campaign.

    :param last: the latest messages
    """
    o = overview
    facts = Table.grid(padding=(0, 2))
    facts.add_column(style="cyan", no_wrap=True)
    facts.add_column()
    versions = f", code version {o.versions}" if o.versions > 1 else ""
    facts.add_row("directory", Text(o.folder, overflow="fold"))
    facts.add_row("campaign", Text(f"{o.candidate} against {o.reference}, seed {o.seed}{versions}"))
    facts.add_row("time", f"{duration(o.elapsed)}, {o.units} units done, {o.open_units} in flight")
    overall = rate(o.programs, o.elapsed)
    facts.add_row("programs", f"{o.programs}   {o.programs_now:.1f}/s now   {overall}/s overall")
    facts.add_row("operations", f"{o.operations}   {o.operations_now:.0f}/s now")
    aside = f", {o.aside} files set aside" if o.aside else ""
    facts.add_row("corpus", f"{o.corpus} programs{aside}")
    facts.add_row("features", f"{o.features}, {since_feature(o)}")
    facts.add_row("", Text(sparkline(o.curve, 50, bars_for(sys.stderr)), style="green"))
    facts.add_row("findings", findings(o))
    if reach := reach_lines(o):
        facts.add_row("patch", Text("\n".join(reach)))
    parts: list[RenderableType] = [facts, *named(o), workers(o)]
    if last:
        parts.append(Text("\n".join(last), style="dim", overflow="ellipsis", no_wrap=True))
    return Panel(Group(*parts), title=Text(f"s2fuzz campaign: {state_of(o)}"), title_align="left")


def _counted(overview: Overview) -> list[tuple[str, int]]:
    """Return the classes with findings, the weightiest first, and the number of findings of each."""
    return [(kind, overview.counts[kind]) for kind in (CRASH, *CLASSES) if overview.counts[kind]]


def named(overview: Overview) -> list[RenderableType]:
    """Return the newest of the serious findings with their files, and accepted findings with person and reason."""
    kinds = (CRASH, REGRESSION, DIVERGENCE)
    serious = [each for each in overview.shown if each.kind in kinds and not each.accepted]
    serious.sort(key=lambda each: (kinds.index(each.kind), -each.elapsed))
    lines: list[RenderableType] = []
    for each in serious[:_NAMED]:
        line = Text(f"{each.kind} ", style=_STYLES[each.kind])
        line.append(f"{date(each.first_at)} ", style="dim")
        line.append(each.finding.signature, style="default")
        lines.append(line)
        if each.file:
            lines.append(Text(f"  {each.file}", overflow="fold"))
    if len(serious) > _NAMED:
        lines.append(Text(f"and {len(serious) - _NAMED} more: s2fuzz status", style="dim"))
    accepted = [each for each in overview.shown if each.accepted]
    told = [f"accepted {each.finding.signature}: {each.accepted}" for each in accepted[:_NAMED]]
    lines += [Text(line, style="dim") for line in told]
    if len(accepted) > _NAMED:
        lines.append(Text(f"and {len(accepted) - _NAMED} more accepted: s2fuzz status", style="dim"))
    return lines


def findings(overview: Overview) -> Text:
    """Return the number of findings of each class."""
    text = Text()
    for kind, count in _counted(overview):
        text.append(f"{count} {kind}", style=_STYLES.get(kind, ""))
        text.append("   ")
    if not text:
        text.append("none   ")
    accepted = sum(bool(each.accepted) for each in overview.shown)
    others = {"accepted": accepted, "to replay": overview.waiting, "unreplayed": len(overview.unreplayed)}
    others["not replayed, code gone"] = len(overview.gone)
    for what, count in others.items():
        if count:
            text.append(f"{count} {what}   ", style="dim")
    return text


def workers(overview: Overview) -> Table:
    """Return the table of the workers."""
    table = Table(box=None, padding=(0, 1), header_style="cyan")
    table.add_column("worker", overflow="fold")
    for name in ("unit", "engine", "programs", "/s", "memory", "units", "all"):
        table.add_column(name, justify="left" if name == "engine" else "right", no_wrap=True)
    for each in overview.workers:
        # A cluster does not report the current unit.
        state = str(each.unit) if each.unit else "" if overview.scheduler else "idle"
        done = str(each.units_done), str(each.programs_done)
        speed = rate(each.programs, each.seconds)
        table.add_row(each.name, state, each.engine, str(each.programs), speed, size(each.kib), *done)
    return table


class RichScreen:
    """The screen, updated in place.

    :param console: by default the terminal on stderr
    """

    def __init__(self, console: Console | None = None) -> None:
        console = console or Console(stderr=True)
        # `show` decides when to redraw.
        self.live = Live("", console=console, auto_refresh=False, transient=True)
        self.started = False

    def show(self, overview: Overview, news: list[str], last: list[str]) -> None:
        """Redraw the screen; see `fuzz.campaign.work.upkeep.Screen`."""
        if not self.started:
            self.started = True
            self.live.start()
        self.live.update(render(overview, last), refresh=True)

    def close(self) -> None:
        """Release the terminal."""
        if self.started:
            self.live.stop()
