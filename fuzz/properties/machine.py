# SPDX-License-Identifier: GPL-2.0-only
"""A state machine for pytest: Hypothesis steps two versions side by side, one operation at a time.

::

    from fuzz.properties.machine import SideBySide

    class MyPatch(SideBySide):
        candidate = "my-patch"

    TestMyPatch = MyPatch.TestCase

A failure names the finding. It shows the program, as small as Hypothesis could make it, in the
form that ``s2fuzz run`` accepts.
"""

import random
from fnmatch import fnmatchcase
from typing import ClassVar, Final

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from candidate import Candidate, get

from ..execution.refusal import UnmodelledError, is_not_started
from ..generation import disturbances as do
from ..generation.disturbances import Disturbance
from ..generation.motifs import MOTIFS, Motif
from ..generation.racing import may_race, race
from ..judging.differential import DIVERGENCE, REGRESSION, Differential, Lockstep, Verdict
from ..language.operations import Operation
from ..language.text import print_program
from .choices import SOURCES, ChosenBuilder

HOST: Final = (do.host_write, do.write_back, do.discard, do.unmap, do.protect, do.poison)
HUGE_PAGES: Final = (do.collapse, do.split, do.migrate, do.share, do.merge)
AGEING: Final = (do.age, do.test_age)
LOGGING: Final = (do.toggle_log, do.get_log, do.clear_log)
TABLES: Final = (do.table_map, do.table_range, do.table_place, do.hyp_map)
SLOTS: Final = (do.slot_change,)
CPUS: Final = (do.caches, do.move_cpu, do.reset, do.speculate, do.evict, do.stage1, do.external_abort)


class WorseError(AssertionError):
    """The candidate is worse than the reference, or differs for no known reason."""


class SteppedBuilder(ChosenBuilder):
    """A builder whose operations run as soon as they are added.

    :param differential: runs them
    """

    def __init__(self, source: random.Random, differential: Differential) -> None:
        super().__init__(source)
        self.run = Lockstep(differential, self.program())

    def add(self, *operations: Operation) -> None:
        for operation in operations:
            before = len(self.operations)
            super().add(operation)
            for made in self.operations[before:]:
                self.run.add(made)


def version(named: str | Candidate) -> Candidate:
    """Return the version, given itself or its name.

    :raises candidate.UnknownCandidateError: no version of this name
    """
    return get(named) if isinstance(named, str) else named


class SideBySide(RuleBasedStateMachine):
    """Operations on two versions that must not differ for the worse.

    Derive from it, and set *candidate*. The other attributes have defaults.

    *candidate*: the version under test, or its name in ``s2fuzz list``;
    *reference*: the version that the candidate is compared with, likewise;
    *accepted*: findings that are no failure: ``kind signature``, with * and ? as in file names
    """

    candidate: ClassVar[str | Candidate]
    reference: ClassVar[str | Candidate] = "original"
    accepted: ClassVar[tuple[str, ...]] = ()

    builder: SteppedBuilder
    failed = False

    @initialize(source=SOURCES)
    def create(self, source: random.Random) -> None:
        """Create the machine, its VMs and their slots."""
        self.builder = SteppedBuilder(source, Differential(version(self.reference), version(self.candidate)))

    @rule()
    def access(self) -> None:
        """Let a vCPU access a place, most often near the last one."""
        self.builder.access(*self.builder.place())

    @rule(change=st.sampled_from(HOST))
    def host(self, change: Disturbance) -> None:
        """Let user space or the host change pages behind a slot."""
        self.near(change)

    @rule(change=st.sampled_from(HUGE_PAGES))
    def huge_pages(self, change: Disturbance) -> None:
        """Let the host make, split, move or share pages."""
        self.near(change)

    @rule(change=st.sampled_from(AGEING))
    def ageing(self, change: Disturbance) -> None:
        """Let the host ask which pages are in use."""
        self.near(change)

    @rule(change=st.sampled_from(LOGGING))
    def logging(self, change: Disturbance) -> None:
        """Use dirty logging."""
        self.near(change)

    @rule(change=st.sampled_from(SLOTS))
    def slots(self, change: Disturbance) -> None:
        """Delete, recreate or move a slot."""
        self.near(change)

    @rule(change=st.sampled_from(TABLES))
    def tables(self, change: Disturbance) -> None:
        """Call pgtable.c directly."""
        self.near(change)

    @rule(change=st.sampled_from(CPUS))
    def cpus(self, change: Disturbance) -> None:
        """Run an operation of a vCPU or its CPU other than an access."""
        self.near(change)

    @rule(motif=st.sampled_from(MOTIFS))
    def motif(self, motif: Motif) -> None:
        """Run a few operations that lead the tables into an interesting state."""
        motif(self.builder, self.builder.pick_slot())

    @rule()
    def race(self) -> None:
        """Let several vCPUs access the same pages at once, at times beside the host."""
        if may_race(self.builder.vm, self.builder.slots):
            race(self.builder, self.builder.pick_slot())

    def near(self, change: Disturbance) -> None:
        """Run an operation at a place, most often near the last one."""
        change(self.builder, *self.builder.place())

    @invariant()
    def no_worse(self) -> None:
        """Check that there is no regression and no divergence so far.

        :raises WorseError: there is one
        """
        self.judge(self.builder.run.verdict())

    def teardown(self) -> None:
        """Destroy both sides. Leaks count, too.

        :raises WorseError: there is a regression or divergence, and there was none before
        """
        if hasattr(self, "builder"):
            verdict = self.builder.run.end()
            if not self.failed:
                self.judge(verdict)

    def judge(self, verdict: Verdict) -> None:
        """Fail if a verdict has a regression or divergence.

        :raises WorseError: it has one
        :raises UnmodelledError: a process of a kernel tree could not be started
        """
        if is_not_started(verdict.refused):
            raise UnmodelledError(verdict.refused)
        worse = [
            finding
            for finding in verdict.findings
            if finding.kind in (REGRESSION, DIVERGENCE)
            and not any(fnmatchcase(finding.title, pattern) for pattern in self.accepted)
        ]
        if worse:
            self.failed = True
            worst = "\n".join(f"{finding.title}\n    {finding.reason}" for finding in worse)
            differential = self.builder.run.differential
            names = f"--reference {differential.reference.name} --candidate {differential.candidate.name}"
            program = print_program(self.builder.run.program)
            raise WorseError(f"{worst}\n# s2fuzz run {names} PROGRAM\n{program}")
