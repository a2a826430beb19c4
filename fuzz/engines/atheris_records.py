# SPDX-License-Identifier: GPL-2.0-only
"""The atheris engine: libFuzzer selects programs that showed something new, and the engine judges their mutants.

The engine mutates the binary records of programs (`fuzz.language.binary`), mostly by whole operations
(`fuzz.generation.mutations`). Features of the runs and instrumented lines show libFuzzer what is new
(`fuzz.engines.guidance`). libFuzzer keeps a bounded number of programs. Beyond that number, this module keeps the
latest programs that showed something new.
"""

import os
import random
import sys
import traceback
from collections import deque
from collections.abc import Callable
from functools import wraps
from typing import Any, Final, ParamSpec, TypeVar

from ..distribution import debugging
from ..findings.found import crash_reason
from ..generation.editor import ProgramEditor
from ..generation.generator import Generator
from ..generation.mutations import crossover, mutate, other_operations
from ..generation.racing import may_race
from ..language.binary import RECORD_SIZE, decode, encode
from ..language.block_repair import RECORDS
from ..language.bounds import MAX_SLOTS
from ..language.operations import Operation
from ..language.program import DEVICES, Program, has_blocks
from ..language.repair import large_size
from .guidance import Counters, instrument
from .libfuzzer import arguments, silence
from .unit_run import NOTHING, UnitRun

# Maximum operations of a derived program: several short programs are worth more than one long one.
OPERATIONS: Final = 100
# Par blocks for which an input has room, whatever their length.
BLOCKS: Final = 4
# Maximum device memory of a derived program, in pages: some milliseconds.
DEVICE_PAGES: Final = 2048
# Chance, in percent, to cross the two programs that libFuzzer chose.
CROSSED: Final = 15
# A unit begins with this many programs of the corpus and the generator. Before that there is little to mutate, and
# what many programs show appears just as soon without guidance.
BEGINNING: Final = 256
# Once libFuzzer keeps as many inputs as it may (`fuzz.engines.guidance.KEPT`), this module keeps the latest LATER
# inputs that showed something new. When it has that many, INSTEAD is the chance, in percent, that one of them replaces
# libFuzzer's choice; with fewer, the chance is proportionally lower.
LATER: Final = 512
INSTEAD: Final = 50
# How a single chosen input is changed, in percent: by default, mutate some of its operations.
# FRESH: use a generated program instead; JOINED, a part of FRESH: append the operations of a second generated program.
FRESH: Final = 40
JOINED: Final = 10
# BYTES: mutate the bytes of the input.
BYTES: Final = 3

Arguments = ParamSpec("Arguments")
Answer = TypeVar("Answer")


def guarded(call: Callable[Arguments, Answer]) -> Callable[Arguments, Answer]:
    """End this process at a mistake of ours as `fuzz.engines.engine_process` does; libFuzzer would see a crash."""

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
    """The callbacks of libFuzzer.

    :param atheris: the package
    :param unit_run: judges the programs; its corpus comes before any derived program
    """

    def __init__(self, atheris: Any, unit_run: UnitRun) -> None:
        self.atheris = atheris
        self.unit_run = unit_run
        self.counters = Counters(atheris)
        # The latest inputs that showed something new and that libFuzzer does not keep.
        self.later: deque[bytes] = deque(maxlen=LATER)
        self.generator = Generator(unit_run.unit.seed, offers=unit_run.offers)
        # Reversed, because seeds are popped from the end.
        self.seeds = [encode(program) for program in reversed(unit_run.corpus)]
        self.beginning = BEGINNING - len(self.seeds)
        records = 1 + MAX_SLOTS + OPERATIONS + BLOCKS * RECORDS
        self.longest = max([RECORD_SIZE * records, *map(len, self.seeds)])

    @guarded
    def test(self, data: bytes) -> None:
        """Judge the program of an input."""
        if len(data) < RECORD_SIZE:
            self.counters.start()
            return
        # Hold no reference to the verdict when `UnitRun.over` checks which memory it can release.
        if self.counters.mark(self.features(decode(data))):
            self.later.append(data)
        self.end()

    def features(self, program: Program) -> tuple[int, ...]:
        """Judge a program and return its features; none if it has no verdict."""
        verdict = self.unit_run.judge(program)
        return verdict.features if verdict else ()

    def end(self) -> None:
        """End the process if the budget is spent: libFuzzer does not return."""
        if self.unit_run.over():
            self.unit_run.finish()
            os._exit(0)

    @guarded
    def mutate(self, data: bytes, longest: int, seed: int) -> bytes:
        """Derive an input from one that showed something new."""
        return self.made(data, b"", longest, random.Random(seed))

    @guarded
    def cross(self, data: bytes, other: bytes, longest: int, seed: int) -> bytes:
        """Derive an input from two that showed something new."""
        chance = random.Random(seed)
        return self.made(data, other if chance.randrange(100) < CROSSED else b"", longest, chance)

    def made(self, data: bytes, other: bytes, longest: int, chance: random.Random) -> bytes:
        """Return a seed or a fresh program at first; later a crossing if there is another input, else a mutation."""
        if self.later and chance.randrange(100 * LATER) < INSTEAD * len(self.later):
            data = chance.choice(self.later)
        if self.seeds:
            made = self.seeds.pop()
        elif len(data) < RECORD_SIZE or self.generator.number < self.beginning:
            made = encode(self.fresh())
        elif other:
            made = self.derived(decode(data), lambda program: crossover(program, decode(other), chance, OPERATIONS))
        else:
            made = self.mutated(data, longest, chance)
        # Truncate to the operations that fit.
        return made[:longest]

    def mutated(self, data: bytes, longest: int, chance: random.Random) -> bytes:
        """Return a mutation of an input, or a fresh one."""
        kind = chance.randrange(100)
        if kind < JOINED:
            return self.derived(self.fresh(), lambda program: joined(program, self.fresh(), chance))
        if kind < FRESH:
            return encode(self.fresh())
        if kind < FRESH + BYTES:
            return bytes(self.atheris.Mutate(data, longest))
        return self.derived(decode(data), lambda program: mutate(program, chance, OPERATIONS))

    def derived(self, program: Program, change: Callable[[Program], Program]) -> bytes:
        """Return the changed program, or a fresh one if the changed one takes long to judge."""
        try:
            changed = change(program)
        except Exception as error:
            self.unit_run.failed(error, program)
            return encode(program)
        return encode(self.fresh() if slow(changed) else changed)

    def fresh(self) -> Program:
        """Return a program of the generator."""
        try:
            return self.generator.next()
        except Exception as error:
            self.unit_run.failed(error, NOTHING)
            return NOTHING


def joined(first: Program, second: Program, chance: random.Random) -> Program:
    """Append the operations of a second program to the first, on the machine and the slots of the first."""
    editor = ProgramEditor(first, chance)
    editor.operations += other_operations(editor, second)
    return editor.program(OPERATIONS)


def slow(program: Program) -> bool:
    """Tell whether a program may take a hundred times as long as others.

    Large slots of device memory are mapped page by page. Long ranges of other large slots are also processed page by
    page. A par block makes each of these slots take twice as long.
    """
    if has_blocks(program) and not may_race(program.vm, program.slots):
        return True
    device, large = DEVICE_PAGES * program.vm.granule, large_size(program.vm.granule)
    vast = {slot.name for slot in program.slots if slot.backing in ("anon", "thp") and slot.size > large}
    if any(slot.backing in DEVICES and slot.size > device for slot in program.slots):
        return True
    # If all pages begin dirty, the whole log is cleared.
    costly = has_blocks(program) or program.vm.manual == "set"
    return bool(vast) and (costly or any(long_in(vast, each, large) for each in program.operations))


def long_in(slots: set[str], operation: Operation, most: int) -> bool:
    """Tell whether an operation covers more than *most* bytes of one of the slots."""
    return getattr(operation, "slot", "") in slots and getattr(operation, "size", 0) > most


def drive(unit_run: UnitRun) -> None:
    """Judge programs until the budget of the unit is spent, then end this process."""
    import atheris

    instrument(atheris)
    unit_run.differential.features = True
    fuzzing = Fuzzing(atheris, unit_run)
    fuzzing.end()
    if not debugging():
        silence()
    options = arguments(unit_run.unit.seed, fuzzing.longest)
    atheris.Setup(options, fuzzing.test, custom_mutator=fuzzing.mutate, custom_crossover=fuzzing.cross)
    unit_run.ready()
    atheris.Fuzz()
