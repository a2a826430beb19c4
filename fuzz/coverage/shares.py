# SPDX-License-Identifier: GPL-2.0-only
"""Processes that replay programs under coverage.py, each a share of them."""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from ..distribution import home_folder
from ..execution.mistakes import CandidateMistake
from ..judging.silence import LOOK_EVERY, Silence
from ..language.program import Program
from ..language.text import headings, print_program
from ..processes.starting import starting
from ..sides import pulse

# Seconds of CPU time without an event after which kernel code does not come back; under coverage.py
# it takes several times as long for everything.
SECONDS: Final = 60.0


class MeasuringError(Exception):
    """A process that replays programs failed; one line."""


class Share:
    """A process that replays programs, one after the other.

    One that does not come back is left out, once two processes have shown it.

    :param programs: names and programs
    :param folder: where it writes
    :param number: its data are in the file of this name
    :param seconds: of CPU time without an event
    """

    def __init__(
        self,
        programs: Sequence[tuple[str, Program]],
        versions: Sequence[str],
        folder: Path,
        number: int,
        seconds: float = SECONDS,
    ) -> None:
        self.programs = list(programs)
        self.versions = versions
        self.folder = folder
        self.number = number
        self.seconds = seconds
        self.stuck = ""
        self.troubled: dict[str, str] = {}
        self.start()

    def start(self) -> None:
        """Have a process do the programs that are left, from the first one on."""
        jobs, out = self.folder / f"{self.number}.jobs", self.folder / f"{self.number}.answer"
        texts = (json.dumps([name, print_program(program)]) + "\n" for name, program in self.programs)
        jobs.write_text("".join(texts))
        environment = {**os.environ, "S2FUZZ_PURE": "1", "COVERAGE_CORE": "ctrace"}
        paths = [str(home_folder()), *filter(None, [os.environ.get("PYTHONPATH")])]
        environment["PYTHONPATH"] = os.pathsep.join(paths)
        memory = pulse.make()
        command = [sys.executable, "-m", "fuzz.coverage.child", str(os.getpid()), str(memory)]
        try:
            with open(jobs) as given, open(out, "w") as answer, starting("a process that replays programs"):
                self.process = subprocess.Popen(
                    [*command, str(self.folder / str(self.number)), *self.versions],
                    stdin=given,
                    stdout=answer,
                    # A process group of its own: Ctrl-C is the parent's to handle.
                    start_new_session=True,
                    pass_fds=(memory,),
                    env=environment,
                )
            self.silence = Silence(self.process.pid, pulse.shared(memory), self.seconds)
        finally:
            os.close(memory)

    def done(self) -> bool:
        """Whether all programs are; ends the process where it does not come back, and starts another.

        :raises MeasuringError: it failed
        :raises CandidateMistake: the Python of a version has a mistake
        """
        code = self.process.poll()
        if code is not None:
            if code:
                raise MeasuringError(f"a process that replays programs ended with exit code {code}")
            if "mistake" in self.said():
                raise CandidateMistake(self.said()["mistake"])
            return True
        stuck = self.silence.look()
        if stuck is not None:
            self.close()
            name = (self.folder / f"{self.number}.at").read_text()
            if name == self.stuck:
                program = dict(self.programs)[name]
                where = f"{stuck.walker or stuck.entry}, at {headings(program)[stuck.at + 1]}"
                self.troubled[name] = f"no event for {self.seconds:g} s of CPU time in {where}"
                self.programs = [each for each in self.programs if each[0] != name]
            self.stuck = name
            self.start()
        return False

    def answer(self) -> dict[str, Any]:
        """What it says, once it is done."""
        found = self.said()
        found["troubled"].update(self.troubled)
        return found

    def said(self) -> dict[str, Any]:
        """What the process that ended has told."""
        found: dict[str, Any] = json.loads((self.folder / f"{self.number}.answer").read_bytes())
        return found

    def close(self) -> None:
        """End it, whatever it does."""
        with suppress(ProcessLookupError):
            self.process.kill()
        self.process.wait()


def run(
    programs: Sequence[tuple[str, Program]], versions: Sequence[str], workers: int, folder: Path
) -> list[dict[str, Any]]:
    """Have each of some processes replay its share.

    :param folder: where they write what coverage.py saw, each in the file with its number
    :returns: what each has answered
    :raises MeasuringError: one failed
    :raises CandidateMistake: the Python of a version has a mistake
    :raises NoProcessError: one cannot be started
    """
    shares: list[Share] = []
    try:
        shares.extend(Share(programs[number::workers], versions, folder, number) for number in range(workers))
        running = list(shares)
        while running:
            running = [share for share in running if not share.done()]
            if running:
                # One that ends in this time is seen at once.
                with suppress(subprocess.TimeoutExpired):
                    running[0].process.wait(LOOK_EVERY)
        return [share.answer() for share in shares]
    finally:
        for share in shares:
            share.close()
