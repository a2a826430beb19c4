# SPDX-License-Identifier: GPL-2.0-only
"""Two campaigns side by side: findings, features, work and speed."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from ...distribution import VERSION
from ...findings.found import CRASH
from ...judging.finding import CLASSES, DIVERGENCE, REGRESSION
from ...reports.report import legend, plural
from ..store.database import reading
from .lines import duration, finding_lines, fitted, rate, state_of
from .overview import CampaignFinding, Overview
from .queries import read

# A campaign with fewer than this many expected programs of a finding may have missed it by chance (about 1 in 20).
_SURE: Final = 3.0
# Widths of the table's columns.
_LABEL: Final = 18
_VALUE: Final = 20


@dataclass(frozen=True, slots=True)
class Examined:
    """A campaign and the features that its corpus has shown."""

    overview: Overview
    features: frozenset[int]

    @property
    def found(self) -> dict[tuple[str, str], CampaignFinding]:
        """The findings that count and are not accepted, keyed by class and signature, the weightiest first."""
        return {each.finding.key: each for each in self.overview.shown if not each.accepted}

    @property
    def judged(self) -> int:
        """Number of programs judged on the newest version of the code, to which the findings belong."""
        return sum(each.programs for each in self.overview.by_engine)


@dataclass(frozen=True, slots=True)
class TwoCampaigns:
    """Two campaigns: the first is the earlier one, the second the new one."""

    first: Examined
    second: Examined

    def only_first(self) -> list[CampaignFinding]:
        """Return the findings of the first campaign that the second lacks."""
        there = self.second.found
        return [each for key, each in self.first.found.items() if key not in there]

    def only_second(self) -> list[CampaignFinding]:
        """Return the findings of the second campaign that the first lacks."""
        there = self.first.found
        return [each for key, each in self.second.found.items() if key not in there]

    def both(self) -> list[CampaignFinding]:
        """Return the findings that both have, in the form of the second campaign."""
        there = self.first.found
        return [each for key, each in self.second.found.items() if key in there]

    @property
    def worse(self) -> bool:
        """True if the second has a regression or divergence that the first lacks."""
        return any(each.kind in (REGRESSION, DIVERGENCE) for each in self.only_second())

    @property
    def crashed(self) -> bool:
        """True if our own code failed in the second in a way that it did not in the first."""
        return any(each.kind == CRASH for each in self.only_second())


def compare(first: Path, second: Path) -> TwoCampaigns:
    """Read two campaigns, even while they run.

    :raises fuzz.campaign.store.database.CampaignError: one of them is not a campaign, or cannot be read
    """
    return TwoCampaigns(examine(first), examine(second))


def examine(folder: Path) -> Examined:
    """Read a campaign.

    :raises fuzz.campaign.store.database.CampaignError: there is no campaign, or it cannot be read
    """
    with reading(folder) as db:
        features = frozenset(feature for (feature,) in db.execute("SELECT feature FROM features"))
        return Examined(read(db, folder), features)


def by_chance(found: CampaignFinding, there: Examined, other: Examined) -> bool:
    """Tell whether a campaign may have missed a finding only because it judged too few programs.

    :param there: the campaign that has the finding
    :param other: the campaign that lacks it
    """
    return found.count * other.judged < _SURE * max(there.judged, 1)


def table(comparison: TwoCampaigns) -> list[str]:
    """Return the lines of the table: the work and the results of both campaigns."""
    sides = comparison.first, comparison.second
    views = [each.overview for each in sides]
    shared = len(comparison.first.features & comparison.second.features)
    rows = [
        ("", ["A", "B"]),
        ("campaign time", [duration(each.elapsed) for each in views]),
        ("units done", [str(each.units) for each in views]),
        ("programs", [str(each.programs) for each in views]),
        ("operations", [str(each.operations) for each in views]),
        ("programs/s", [rate(each.programs, each.elapsed) for each in views]),
        ("corpus", [str(each.corpus) for each in views]),
        ("features", [str(len(each.features)) for each in sides]),
        ("  only here", [str(len(each.features) - shared) for each in sides]),
        *((kind, [str(each.counts[kind]) for each in views]) for kind in (*CLASSES, CRASH)),
    ]
    used = [row for row in rows if row[0] not in (*CLASSES, CRASH) or row[1] != ["0", "0"]]
    return [f"{label:<{_LABEL}}{one:>{_VALUE}}{other:>{_VALUE}}" for label, (one, other) in used]


def brief(found: CampaignFinding) -> list[str]:
    """Return the short form of a finding that does not count against the candidate."""
    where = found.file or "not replayed yet"
    return [f"{found.kind:<10}  {found.finding.signature}", f"{'':12}{plural(max(found.count, 1), 'program')}: {where}"]


def lines_of_one(comparison: TwoCampaigns, second: bool) -> list[str]:
    """Return the lines of the findings that only one of two campaigns has.

    :param second: take the second campaign
    """
    there, other = (comparison.second, comparison.first) if second else (comparison.first, comparison.second)
    name, others = ("B", "A") if second else ("A", "B")
    found = comparison.only_second() if second else comparison.only_first()
    kinds = [each.kind for each in found]
    counts = ", ".join(f"{kinds.count(kind)} {kind}" for kind in dict.fromkeys(kinds))
    lines = ["", f"only {name} has {plural(len(found), 'finding')}: {counts}" if found else f"only {name} has: nothing"]
    classes = {each.finding.signature: each.kind for each in other.found.values()}
    for each in found:
        serious = each.kind in (REGRESSION, DIVERGENCE, CRASH)
        lines += finding_lines(each, there.overview) if serious else brief(each)
        if each.finding.signature in classes:
            lines.append(f"{'':12}{others} has it as {classes[each.finding.signature]}")
        elif by_chance(each, there, other):
            lines.append(f"{'':12}{others} judged {plural(other.judged, 'program')} and may have missed it by chance")
    return lines


def text(comparison: TwoCampaigns) -> str:
    """Return the comparison for people, findings of only the second first; at most 80 columns except for file names."""
    views = [each.overview for each in (comparison.first, comparison.second)]
    lines = [
        f"{name}  {o.folder}: {o.candidate} against {o.reference}, seed {o.seed}; {state_of(o)}"
        for name, o in zip("AB", views, strict=True)
    ]
    lines += ["", *table(comparison), *lines_of_one(comparison, True), *lines_of_one(comparison, False)]
    lines += ["", f"both have {plural(len(comparison.both()), 'finding')}"]
    for name, each in zip("AB", views, strict=True):
        if accepted := sum(bool(found.accepted) for found in each.shown):
            lines.append(f"{plural(accepted, 'finding')} of {name} accepted: see s2fuzz status")
    kinds = [each.kind for each in (*comparison.only_second(), *comparison.only_first())]
    if kinds and views[0].reference == views[1].reference:
        lines.append(f"({legend(kinds, views[0].reference)})")
    return "\n".join(fitted(lines)) + "\n"


def answer(comparison: TwoCampaigns) -> dict[str, Any]:
    """Return the comparison for ``--json``.

    ``first`` and ``second`` describe the work of each campaign; ``features`` has the number of features of only one
    campaign, and of both; ``findings`` has the findings of only one campaign, and of both, with the fields of
    `fuzz.campaign.view.overview.CampaignFinding`, the weightiest first. Accepted findings are left out.
    """
    sides = {"first": comparison.first, "second": comparison.second}
    shared = len(comparison.first.features & comparison.second.features)
    parts = {"only_first": comparison.only_first(), "only_second": comparison.only_second(), "both": comparison.both()}
    features = {f"only_{name}": len(each.features) - shared for name, each in sides.items()}
    return {
        "s2fuzz": VERSION,
        **{name: _work(each.overview) for name, each in sides.items()},
        "features": {**features, "both": shared},
        "findings": {name: [each.answer() for each in found] for name, found in parts.items()},
    }


def _work(o: Overview) -> dict[str, Any]:
    names = "folder candidate reference seed elapsed sessions units programs operations corpus features".split()
    return {"state": state_of(o), **{name: getattr(o, name) for name in names}}
