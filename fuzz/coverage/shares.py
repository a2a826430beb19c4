# SPDX-License-Identifier: GPL-2.0-only
"""Processes that each replay a share of the programs and record the lines that these reach."""

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from ..execution.mistakes import CandidateMistakeError
from ..judging.exits import check_exit
from ..judging.silence import LOOK_EVERY, Silence
from ..language.program import Program
from ..language.text import headings, print_program
from ..processes.child import Child
from ..processes.waiting import readable
from ..sides import pulse

# CPU seconds without an event after which kernel code counts as hanging. The bound is high, since
# coverage.py makes everything several times slower.
SECONDS: Final = 60.0
# The module of a process, and its environment: for ports, plain Python under coverage.py; for a tree, C.
PYTHON: Final = "fuzz.coverage.port_process"
TREE: Final = "fuzz.coverage.tree_process"
_ENVIRONMENT: Final = {PYTHON: {"S2FUZZ_PURE": "1", "COVERAGE_CORE": "ctrace"}, TREE: {}}


class MeasuringError(Exception):
    """A process that replays programs failed; one line."""


class Share:
    """A process that replays programs, one after the other.

    A program that hangs in two processes is left out.

    :param programs: names and programs
    :param folder: folder for its data
    :param number: name of its data file
    :param module: `PYTHON` or `TREE`
    """

    def __init__(
        self,
        programs: Sequence[tuple[str, Program]],
        versions: Sequence[str],
        folder: Path,
        number: int,
        module: str,
    ) -> None:
        self.programs = list(programs)
        self.versions = versions
        self.folder = folder
        self.number = number
        self.module = module
        self.stuck = ""
        self.troubled: dict[str, str] = {}
        # Its answer, once it is done.
        self.said: dict[str, Any] = {}
        self.start()

    def start(self) -> None:
        """Start a process for the remaining programs.

        :raises NoProcessError: it cannot be started
        """
        jobs = self.folder / f"{self.number}.jobs"
        texts = (json.dumps([name, print_program(program)]) + "\n" for name, program in self.programs)
        jobs.write_text("".join(texts))
        memory = pulse.make()
        try:
            with open(jobs) as given:
                self.process = Child(
                    "a process that replays programs",
                    self.module,
                    *(str(memory), str(self.folder / str(self.number)), *self.versions),
                    passed=[memory],
                    environment=_ENVIRONMENT[self.module],
                    given=given,
                )
            self.silence = Silence(self.process.pid, pulse.shared(memory), SECONDS)
        finally:
            os.close(memory)

    def done(self) -> bool:
        """Return whether all programs are done; if the process hangs, end it and start another.

        :raises MeasuringError: the process failed
        :raises CandidateMistakeError: the Python of a version has a mistake
        """
        if not self.said:
            lines = self.process.read(0)
            if lines is None:
                how = self.process.death()
                check_exit(self.silence.memory, self.process.wait() or 0)
                raise MeasuringError(f"a process that replays programs {how}")
            if lines:
                self.said = json.loads(lines[0])
                if "mistake" in self.said:
                    raise CandidateMistakeError(self.said["mistake"])
        if self.said:
            return True
        stuck = self.silence.look()
        if stuck is not None:
            self.process.close()
            name = (self.folder / f"{self.number}.at").read_text()
            if name == self.stuck:
                program = dict(self.programs)[name]
                where = f"{stuck.walker or stuck.entry}, at {headings(program)[stuck.at + 1]}"
                self.troubled[name] = f"no event for {SECONDS:g} s of CPU time in {where}"
                self.programs = [each for each in self.programs if each[0] != name]
            self.stuck = name
            self.start()
        return False

    def answer(self) -> dict[str, Any]:
        """Return its answer, after it is done."""
        found = self.said
        found["troubled"].update(self.troubled)
        return found

    def close(self) -> None:
        """End the process in any state."""
        self.process.close()


def run(
    programs: Sequence[tuple[str, Program]],
    versions: Sequence[str],
    workers: int,
    folder: Path,
    module: str = PYTHON,
) -> list[dict[str, Any]]:
    """Replay shares of the programs in several processes.

    :param folder: folder for their data, with one file per process, named by its number
    :param module: `PYTHON`, or `TREE` for one version
    :returns: the answer of each process
    :raises MeasuringError: a process failed
    :raises CandidateMistakeError: the Python of a version has a mistake
    :raises NoProcessError: a process cannot be started
    """
    shares: list[Share] = []
    try:
        shares.extend(Share(programs[number::workers], versions, folder, number, module) for number in range(workers))
        running = list(shares)
        while running:
            running = [share for share in running if not share.done()]
            if running:
                # Returns as soon as a process answers.
                readable((share.process.answers for share in running), LOOK_EVERY)
        return [share.answer() for share in shares]
    finally:
        for share in shares:
            share.close()
