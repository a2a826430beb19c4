# SPDX-License-Identifier: GPL-2.0-only
"""A campaign at one moment: for the screen, the plain lines, and ``s2fuzz status``."""

import dataclasses
from collections import Counter
from dataclasses import dataclass
from typing import Any

from candidate.tree.lines.difference import Exercise

from ...coverage.exercised import only_one_is_tree
from ...engines.refused import says_nothing
from ...findings.accepted import Accepted
from ...findings.found import CRASH
from ...judging.finding import CLASSES, DIVERGENCE, REGRESSION, Finding
from ..store.findings import GONE, UNREPLAYED


@dataclass(frozen=True, slots=True)
class CampaignFinding:
    """A finding of a campaign and how it was seen.

    :param state: pending, filed, unreplayed, or gone
    :param count: number of programs that showed it
    :param elapsed: campaign time of its first program, in seconds
    :param operations: of its smallest program; None until that is replayed
    :param accepted: why the file of accepted findings accepts it; "" if it does not
    :param first_at: when its first program was judged, in seconds since 1970; None: not known
    """

    finding: Finding
    state: str
    count: int
    engine: str
    unit: int
    elapsed: float
    file: str
    operations: int | None
    accepted: str
    version: int
    first_at: float | None

    @property
    def kind(self) -> str:
        """The class of the finding."""
        return self.finding.kind

    def answer(self) -> dict[str, Any]:
        """Return its keys for ``--json``."""
        fields = {each.name: getattr(self, each.name) for each in dataclasses.fields(self) if each.name != "finding"}
        return {"kind": self.kind, "signature": self.finding.signature, "reason": self.finding.reason, **fields}


@dataclass(frozen=True, slots=True)
class WorkerRow:
    """The current work of a worker.

    :param unit: its current unit; None: none, or not known
    :param seconds: time spent on the unit so far, in which *programs* programs were judged
    :param kib: memory of the engine's process, in KiB
    """

    name: str
    unit: int | None
    engine: str
    programs: int
    operations: int
    seconds: float
    kib: int
    units_done: int
    programs_done: int


@dataclass(frozen=True, slots=True)
class EngineRow:
    """The work of an engine on the newest code version.

    :param share: of the time that it gets from now on, 0 to 1; None: the engine is not in use now
    """

    engine: str
    units: int
    programs: int
    operations: int
    seconds: float
    features: int
    share: float | None


@dataclass(frozen=True, slots=True)
class Overview:
    """The overview of a campaign; `fuzz.campaign.view.queries.read` returns it.

    Except totals, curve and gone findings, it covers only the newest code version.

    :param running: a coordinator runs on this machine, or reported less than a minute ago
    :param why: why the last session ended; "" if it runs, was killed, or could not store the reason
    :param versions: number of code versions so far
    :param elapsed: campaign time in seconds
    :param programs: number judged, over all code versions
    :param programs_now: programs per second, lately
    :param since_feature: seconds of campaign time since the last new feature; None: there was none
    :param curve: campaign time and number of features, at most `fuzz.campaign.view.queries.CURVE` points
    :param open_units: begun, but their outcome is not recorded yet
    :param waiting: number of programs to be replayed
    :param gone: findings that were not replayed before the code that they were found on was gone
    :param refused: what is not modelled -> number of programs of the units that are done that needed it (no verdict)
    :param exercise: how much of the difference of two kernel trees ran in the units that are done; None: no two trees
    """

    folder: str
    candidate: str
    reference: str
    seed: int
    engines: str
    scheduler: str
    form: str
    running: bool
    why: str
    versions: int
    sessions: int
    elapsed: float
    programs: int
    operations: int
    programs_now: float
    operations_now: float
    units: int
    open_units: int
    failed_units: int
    corpus: int
    aside: int
    features: int
    since_feature: float | None
    curve: list[tuple[float, int]]
    findings: list[CampaignFinding]
    gone: list[CampaignFinding]
    waiting: int
    workers: list[WorkerRow]
    by_engine: list[EngineRow]
    exercise: Exercise | None
    refused: dict[str, int] = dataclasses.field(default_factory=dict)

    @property
    def shown(self) -> list[CampaignFinding]:
        """The findings that count: all except those that no fresh process showed, and those that were not replayed."""
        return [each for each in self.findings if each.state not in (UNREPLAYED, GONE)]

    @property
    def unreplayed(self) -> list[CampaignFinding]:
        return [each for each in self.findings if each.state == UNREPLAYED]

    @property
    def counts(self) -> Counter[str]:
        """Number of findings by class, without the accepted ones."""
        return Counter(each.kind for each in self.shown if not each.accepted)

    @property
    def worse(self) -> bool:
        """True if the candidate is worse, or differs for no known reason."""
        return bool(self.counts[REGRESSION] or self.counts[DIVERGENCE])

    @property
    def crashed(self) -> bool:
        """True if our own code failed."""
        return bool(self.counts[CRASH])

    @property
    def idle(self) -> bool:
        """True if none of the code in which two kernel trees differ ran, although most programs have a verdict."""
        return bool(self.units) and not self.unknown and self.exercise is not None and not self.exercise.exercised

    @property
    def done(self) -> int:
        """Number of programs of the units that are done."""
        return sum(each.programs for each in self.by_engine)

    @property
    def unknown(self) -> bool:
        """True if most programs have no verdict, so that the absence of findings says nothing."""
        return says_nothing(self.done, self.refused)

    @property
    def only_one_is_tree(self) -> bool:
        """True if exactly one side is a kernel tree."""
        return only_one_is_tree(self.reference, self.candidate)

    def by_class(self) -> str:
        """Return the counts as text: ``6 regression, 11 common``; or "none"."""
        counts = self.counts
        return ", ".join(f"{counts[kind]} {kind}" for kind in (*CLASSES, CRASH) if counts[kind]) or "none"


def accepted_by(overview: Overview, accepted: Accepted) -> Overview:
    """Return an overview that also marks what a file accepts now, in addition to what the campaign accepted."""
    found: list[CampaignFinding] = []
    for each in overview.findings:
        entry = accepted.match(*each.finding.key)
        found.append(dataclasses.replace(each, accepted=entry.text) if entry is not None else each)
    return dataclasses.replace(overview, findings=found)
