# SPDX-License-Identifier: GPL-2.0-only
"""The atheris engine: libFuzzer chooses among programs that showed something new, and judged is what is made of them.

What it mutates are the binary records of programs (`fuzz.language.binary`), most
often by whole operations (`fuzz.generation.mutations`). What is new is told by
features of the runs and by instrumented lines (`fuzz.engines.guidance`).
"""

import os
import random
import sys
import traceback
from collections.abc import Callable
from functools import wraps
from typing import Any, Final, ParamSpec, TypeVar

from ..distribution import debugging, home_folder
from ..findings.found import crash_reason
from ..generation.generator import Generator
from ..generation.mutations import crossover, mutate
from ..language.binary import RECORD_SIZE, decode, encode
from ..language.program import Program, ProgramError
from ..language.repair import large_size
from ..language.text import load
from ..language.validate import MAX_SLOTS
from .guidance import Counters
from .libfuzzer import arguments, silence
from .session import NOTHING, Session

# Operations of a program that is made of others: time is better spent on several short ones.
OPERATIONS: Final = int(os.environ.get("X_OPS", "100"))
# What becomes of a program that libFuzzer chose, in percent; mutations of operations otherwise.
FRESH: Final = int(os.environ.get("X_FRESH", "40"))
BYTES: Final = int(os.environ.get("X_BYTES", "5"))
SPLICED: Final = int(os.environ.get("X_SPLICED", "10"))
# In percent, of two programs that libFuzzer chose: cross them.
CROSSED: Final = int(os.environ.get("X_CROSSED", "50"))

Arguments = ParamSpec("Arguments")
Answer = TypeVar("Answer")


def guarded(call: Callable[Arguments, Answer]) -> Callable[Arguments, Answer]:
    """Let a mistake of ours end this process as `fuzz.engines.child` does; libFuzzer would take it for a crash."""

    @wraps(call)
    def guard(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Answer:
        try:
            return call(*args, **kwargs)
        except BaseException as error:
            if debugging():
                traceback.print_exception(error)
            print(f"s2fuzz: a mistake of s2fuzz, in an engine: {crash_reason(error)}", file=sys.stderr)
            os._exit(1)

    return guard


class Fuzzing:
    """What libFuzzer calls.

    :param atheris: the package
    :param session: judges
    :param seeds: programs to be judged before anything else is made
    """

    def __init__(self, atheris: Any, session: Session, seeds: list[Program]) -> None:
        self.atheris = atheris
        self.session = session
        self.counters = Counters(atheris)
        self.generator = Generator(session.unit.seed)
        # The first one last.
        self.seeds = [encode(program) for program in reversed(seeds)]
        self.longest = max([RECORD_SIZE * (1 + MAX_SLOTS + OPERATIONS), *map(len, self.seeds)])

    @guarded
    def test(self, data: bytes) -> None:
        """Judge the program of an input."""
        if len(data) < RECORD_SIZE:
            self.counters.start()
            return
        verdict = self.session.judge(decode(data))
        self.counters.mark(verdict.features if verdict else ())
        self.end()

    def end(self) -> None:
        """Leave, if the budget is spent: libFuzzer does not return."""
        if self.session.over():
            self.session.finish()
            os._exit(0)

    @guarded
    def mutate(self, data: bytes, longest: int, seed: int) -> bytes:
        """An input made of one that showed something new."""
        return self.made(data, b"", longest, random.Random(seed))

    @guarded
    def cross(self, data: bytes, other: bytes, longest: int, seed: int) -> bytes:
        """An input made of two that showed something new."""
        chance = random.Random(seed)
        return self.made(data, other if chance.randrange(100) < CROSSED else b"", longest, chance)

    def made(self, data: bytes, other: bytes, longest: int, chance: random.Random) -> bytes:
        """A seed, while there are some; else a crossing if there is another input, else a mutation."""
        if self.seeds:
            made = self.seeds.pop()
        elif len(data) < RECORD_SIZE:
            made = encode(self.fresh())
        elif other:
            made = self.derived(data, lambda program: crossover(program, decode(other), chance, OPERATIONS))
        else:
            kind = chance.randrange(100)
            if kind < FRESH:
                made = encode(self.fresh())
            elif kind < FRESH + BYTES:
                made = bytes(self.atheris.Mutate(data, longest))
            elif kind < FRESH + BYTES + SPLICED:
                made = self.derived(data, lambda program: crossover(program, self.fresh(), chance, OPERATIONS))
            else:
                made = self.derived(data, lambda program: mutate(program, chance, OPERATIONS))
        # The first operations, as many as there is room for.
        return made[:longest]

    def derived(self, data: bytes, change: Callable[[Program], Program]) -> bytes:
        """What a change makes of the program of an input."""
        program = decode(data)
        try:
            changed = change(program)
        except Exception as error:
            self.session.failed(error, program)
            return data
        return encode(self.fresh() if slow(changed) else changed)

    def fresh(self) -> Program:
        """A program of the generator."""
        try:
            return self.generator.next()
        except Exception as error:
            self.session.failed(error, NOTHING)
            return NOTHING


def slow(program: Program) -> bool:
    """Whether a program has device memory that takes seconds to map: all of it is, when the slot is made."""
    most = large_size(program.vm.granule)
    return any(slot.backing == "device" and slot.size > most for slot in program.slots)


def shipped_seeds() -> list[Program]:
    """The programs of corpus/seeds/, as far as they are there."""
    found = []
    for path in sorted((home_folder() / "corpus" / "seeds").glob("*.s2")):
        try:
            found.append(load(path))
        except ProgramError:
            continue
    return found


def drive(session: Session) -> None:
    """Judge programs until the budget of the unit is spent; then this process ends."""
    import atheris

    session.differential.features = True
    seeds = session.corpus or (shipped_seeds() if os.environ.get("X_SEEDS", "1") == "1" else [])
    fuzzing = Fuzzing(atheris, session, seeds)
    fuzzing.end()
    if not debugging():
        silence()
    options = arguments(session.unit.seed, fuzzing.longest)
    atheris.Setup(options, fuzzing.test, custom_mutator=fuzzing.mutate, custom_crossover=fuzzing.cross)
    atheris.Fuzz()
