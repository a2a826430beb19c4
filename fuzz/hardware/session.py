# SPDX-License-Identifier: GPL-2.0-only
"""A session with QEMU: puts the same questions to QEMU and to our walk, and keeps the differences."""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from reference.machine.walk import Walk

from .deviations import Deviation, explain
from .expectation import Expectation
from .generator import TablesGenerator
from .qemu import Qemu
from .tables import NoRoomError, TableMemory, Tables

# Number of questions per batch; our own walks run while QEMU works.
BATCH: Final = 16384


@dataclass(frozen=True)
class Difference:
    """A question that QEMU answers differently.

    :param tables: the tables at the time of the question
    :param asked: the question
    :param walk: our walk
    :param expected: the answer of a QEMU that agrees with our walk
    :param answer: the answer of this QEMU
    """

    tables: Tables
    asked: int
    walk: Walk
    expected: int
    answer: int


class QemuSession:
    """A QEMU, the table memory, and the questions so far.

    *asked*: number of questions; *guests*: number of tables they were about; *deviations*: answers left out for
    each deviation

    :param qemu: a running QEMU
    """

    def __init__(self, qemu: Qemu) -> None:
        self.qemu = qemu
        self.memory = TableMemory(qemu.tables)
        self.asked = 0
        self.guests = 0
        self.deviations: Counter[Deviation] = Counter()

    def ask(self, batch: list[Tables]) -> list[Difference]:
        """Ask all questions of *batch*, whose tables are in the table memory.

        :raises QemuError: QEMU died or does not answer
        """
        self.qemu.begin([tables.job() for tables in batch], [asked for tables in batch for asked in tables.questions])
        walks: list[Walk] = []
        expected: list[int] = []
        for tables in batch:
            found = self.memory.walks(tables)
            answer = Expectation(tables.setting).answer
            expected += map(answer, found, tables.questions)
            walks += found
        answers = self.qemu.answers()
        self.asked += len(answers)
        self.guests += len(batch)
        return [] if answers == expected else self.differences(batch, walks, expected, answers)

    def differences(
        self, batch: list[Tables], walks: list[Walk], expected: list[int], answers: list[int]
    ) -> list[Difference]:
        """Return the answers that no deviation explains."""
        found: list[Difference] = []
        at = 0
        for tables in batch:
            for asked in tables.questions:
                if answers[at] != expected[at]:
                    odd = explain(tables, walks[at], asked, answers[at])
                    self.deviations.update(odd)
                    if not odd:
                        found.append(Difference(tables, asked, walks[at], expected[at], answers[at]))
                at += 1
        return found

    def rounds(self, generator: TablesGenerator, more: Callable[[], bool]) -> Iterator[list[Difference]]:
        """Ask about random tables, batch by batch, while *more* returns true; yield the differences of each batch.

        :raises QemuError: QEMU died or does not answer
        """
        while more():
            batch: list[Tables] = []
            questions = 0
            while questions < BATCH:
                try:
                    tables = generator.make(self.memory)
                except NoRoomError:
                    break
                batch.append(tables)
                questions += len(tables.questions)
            yield self.ask(batch)
            self.memory.clear(batch)
