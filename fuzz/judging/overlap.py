# SPDX-License-Identifier: GPL-2.0-only
"""Programs of kernel trees are judged beside each other: while a process works on one, the driver works on another.

Each has processes and objects of its own, so a verdict is the same as that of the program alone; verdicts
come in the order of the programs. Where both versions are ports there is nothing to wait for.
"""

from typing import Any, Final

from greenlet import getcurrent, greenlet

from candidate.tree.runtime import tallies
from candidate.tree.runtime.meanwhile import MEANWHILE

from ..language.program import Program
from ..sides.pulse import PULSE
from .differential import Differential
from .verdict import Verdict

# Programs that are begun before the verdict on the first of them is there.
TREES: Final = 2


class ProgramUnderWay:
    """The judging of one program.

    :param differential: as its options are now
    :param program: a valid one

    *verdict*, *error*: how it has ended, None before
    """

    def __init__(self, differential: Differential, program: Program) -> None:
        self.differential = differential
        self.program = program
        self.measure = differential.measure
        self.verdict: Verdict | None = None
        self.error: Exception | None = None
        self.begun = self.done = False
        # What it is left by, and goes on with: that of an actor, where a par block runs. None: it has not begun, or
        # has ended, and nothing is kept that would keep it in turn.
        self.greenlet: Any = None
        # Where it goes on when it ends, whoever began it.
        self.parent: Any = getcurrent()
        self.pulse = (0, 0)

    def body(self) -> None:
        """Judge it."""
        self.begun = True
        try:
            self.differential.measure = self.measure
            self.verdict = self.differential.run(self.program)
        except Exception as error:
            self.error = error
        finally:
            self.done = True
            self.greenlet = None

    def resume(self) -> None:
        """Go on with it, from another one or from outside of all."""
        PULSE.resume(self.pulse)
        if not self.begun:
            self.greenlet = greenlet(self.body, self.parent)
        self.greenlet.switch()


class Overlap:
    """Judges programs in their order, some of them at a time.

    :param differential: of two versions; its option `Differential.measure` counts when a program is added
    :param room: of *room*; None: as many as do good

    *room*: how many programs may have been added and not taken
    """

    def __init__(self, differential: Differential, room: int | None = None) -> None:
        self.differential = differential
        trees = differential.reference.is_tree or differential.candidate.is_tree
        self.room = room or (TREES if trees else 1)
        self.under_way: list[ProgramUnderWay] = []
        self.running: ProgramUnderWay | None = None

    def add(self, program: Program) -> None:
        """Let a program be judged behind those that were added before."""
        self.under_way.append(ProgramUnderWay(self.differential, program))

    def take(self) -> Verdict:
        """Return the verdict on the first program that was added and not taken.

        Raises what judging it has raised.

        :raises IndexError: there is none
        """
        first = self.under_way[0]
        if len(self.under_way) == 1 and not first.begun:
            self.under_way.clear()
            self.differential.measure = first.measure
            return self.differential.run(first.program)
        MEANWHILE.turn = self.leave
        try:
            while not first.done:
                self.running = first
                first.resume()
        finally:
            MEANWHILE.turn = None
            self.running = None
        self.under_way.pop(0)
        if first.error is not None:
            raise first.error
        assert first.verdict is not None
        return first.verdict

    def leave(self) -> None:
        """The program that runs has to wait: go on with another one; returns when its turn comes again."""
        mine = self.running
        assert mine is not None
        at = self.under_way.index(mine)
        count = len(self.under_way)
        for step in range(1, count):
            other = self.under_way[(at + step) % count]
            if not other.done:
                break
        else:
            return
        mine.greenlet, mine.pulse = getcurrent(), PULSE.held()
        self.running = other
        other.resume()

    def drop(self) -> None:
        """Let the programs that were added and not taken count for nothing."""
        while self.under_way:
            if not self.under_way[0].begun:
                self.under_way.pop(0)
                continue
            try:
                verdict = self.take()
            except Exception:
                continue
            tallies.WITHDRAWN.merge(verdict.counts)
