# SPDX-License-Identifier: GPL-2.0-only
"""Declarations of operations: each is written, stored, seeded, generated, mutated, judged, and has an effect.

docs/how-to/operation.md tells a contributor what to do when a test here fails. The branch in the runner is not tested
here: without it mypy fails (`fuzz.execution.unhandled`).
"""

import random
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from functools import cache
from pathlib import Path
from typing import Any, Final, get_args

import pytest

import candidate
from fuzz.checkers.checker import Checker
from fuzz.checkers.registry import rules
from fuzz.execution.executor import Executor
from fuzz.generation.generator import Generator
from fuzz.generation.mutations import mutate
from fuzz.language.binary import decode, encode
from fuzz.language.operations import (
    DECLARATIONS,
    OPERATIONS,
    OPTIONAL,
    Evict,
    HostMerge,
    HypMap,
    Operation,
    Par,
    SlotPlace,
    declaration_of,
)
from fuzz.language.operations.declaration import (
    BYTE,
    DELETED,
    LIVE,
    LOGGED,
    MANUAL,
    MEMORY,
    PAGED,
    RAM,
    declare,
    title_of,
)
from fuzz.language.program import Program, ProgramError
from fuzz.language.text import load, parse, print_program
from fuzz.minimizing.legal import legal
from reference.events import EVENT_NAMES
from reference.machine.walk import Walk

from .. import strategies

ROOT: Final = Path(__file__).parents[3]
SEEDS: Final = ROOT / "corpus" / "seeds"
# Kinds of operations by their number in binary records: append a new one at the end, never move one.
POSITIONS: Final = (
    *("GuestAccess", "GuestCache", "GuestSetWay", "GuestExternalAbort", "GuestMove", "GuestReset", "Speculate"),
    *("Evict", "HostWrite", "HostWriteback", "HostCollapse", "HostSplit", "HostMigrate", "HostDiscard", "HostUnmap"),
    *("HostPoison", "HostShare", "HostMerge", "HostAge", "HostTestAge", "SetLog", "GetLog", "ClearLog", "SlotDelete"),
    *("SlotCreate", "SlotMove", "TableMap", "TableUnmap", "TableWrprotect", "TableFlush", "TableMkyoung"),
    *("TableMkold", "TableIsYoung", "TableRelax", "HypMap", "VmidRollover", "VmEnd", "GuestConflict"),
    *("HostProtect", "HostReap", "GuestOutside"),
)
# Number of programs from the generator, and of mutations for each class.
PROGRAMS: Final = 300
MUTATIONS: Final = 1000


@dataclass(frozen=True)
class Known:
    """The places at which an operation must be known; the tests below remove one place at a time.

    :param declared: classes that have a declaration
    :param positions: names by position
    :param seeds: the programs of corpus/seeds by name
    :param generated: classes that the generator makes
    :param reached: classes that a mutation adds to a program without them
    :param checkers: names of rules
    """

    declared: frozenset[type]
    positions: tuple[str, ...]
    seeds: dict[str, Program]
    generated: frozenset[type]
    reached: frozenset[type]
    checkers: frozenset[str]


@pytest.fixture(scope="module")
def known() -> Known:
    seeds = {path.name: load(path) for path in sorted(SEEDS.glob("*.s2"))}
    generator = Generator(1)
    made = [generator.next() for _ in range(PROGRAMS)]
    generated = {type(op) for program in made for op in program.operations}
    names = frozenset(rule.name for rule in rules())
    reached = frozenset(kind for kind in DECLARATIONS if is_reached(kind, list(seeds.values())))
    return Known(frozenset(DECLARATIONS), POSITIONS, seeds, frozenset(generated), reached, names)


def is_reached(kind: type, programs: list[Program]) -> bool:
    """Return whether mutations add a class to these programs once its operations are removed."""
    having = [program for program in programs if kind in map(type, program.operations)]
    bare = [
        legal(replace(each, operations=tuple(op for op in each.operations if type(op) is not kind))) for each in having
    ]
    sources = [program for program in bare if program is not None]
    chosen = random.Random(1)
    for number in range(MUTATIONS if sources else 0):
        if kind in map(type, mutate(sources[number % len(sources)], chosen).operations):
            return True
    return False


def missing(kind: type, known: Known) -> list[str]:
    """Return the steps that a class of operations lacks, in the order of the page, as instructions."""
    name = kind.__name__
    if kind not in known.declared:
        return [f"{name}: no declare({name}, ...) stands below the class"]
    wrong = []
    declared = declaration_of(kind)
    if name not in known.positions or known.positions.index(name) != declared.position:
        place = f"position {declared.position} is not its place in POSITIONS of this file"
        wrong.append(f"{name}: binary form: {place}: put {name} at its end")
    unknown = sorted(set(declared.checkers) - known.checkers)
    if not declared.checkers or unknown:
        what = f"no rule is called {', '.join(unknown)}" if unknown else "declares none"
        wrong.append(f"{name}: checkers: {what}: name rules of fuzz/checkers in checkers= of its declare()")
    if kind not in known.generated:
        wrong.append(f"{name}: generator: not among {PROGRAMS} programs (fuzz/generation/disturbances.py)")
    having = {file: program for file, program in known.seeds.items() if kind in map(type, program.operations)}
    if having and kind not in known.reached:
        wrong.append(f"{name}: mutation: none makes one where there was none (fuzz/generation/mutations.py)")
    if not having:
        return [*wrong, f"{name}: seed: no program of corpus/seeds has one: write one"]
    wrong += [f"{name}: {each}" for each in (unwritten(having), idle(kind, having)) if each]
    return wrong


Through = Callable[[Program], Program]


def as_text(program: Program) -> Program:
    """Return the program after writing and parsing its text."""
    return parse(print_program(program))


def as_binary(program: Program) -> Program:
    """Return the program after encoding and decoding it."""
    return decode(encode(program))


def unwritten(having: dict[str, Program], text: Through = as_text, binary: Through = as_binary) -> str:
    """Name the form that does not preserve the programs; "" if both do."""
    for form, through in (("text form", text), ("binary form", binary)):
        for file, program in having.items():
            try:
                same = through(program) == program
            except (TypeError, ValueError, AttributeError, LookupError) as error:
                return f"{form}: {file}: {error}"
            if not same:
                return f"{form}: {file} does not come back"
    return ""


class Stream(Checker):
    """Records all events of kernel code, translations of CPUs, and contents of data caches."""

    events: list[tuple[Any, ...]]

    def translated(self, cpu: int, access: int, ipa: int, walk: Walk) -> None:
        self.events.append(("translated", cpu, access, ipa, walk.fault, walk.level, walk.entry))


def _record(event: str) -> Any:
    def record(self: Stream, *values: Any) -> None:
        self.events.append((event, *values))

    return record


for _name in EVENT_NAMES:
    setattr(Stream, _name, _record(_name))


@cache
def stream(program: Program) -> list[tuple[Any, ...]]:
    """Return the events of a program on the original."""
    executor = Executor(candidate.get("original"), program)
    watcher = Stream(executor.side)
    watcher.events = []
    executor.side.kernel.observe(watcher)
    for observers in executor.checkers.on_translated:
        observers.append(watcher)
    executor.create()
    memory = executor.side.memory
    before = (0, *memory.dirty.runs(0, memory.frames))
    for at in range(len(program.operations)):
        executor.step(at)
        # Pages at which a CPU without caches would see other contents.
        dirty = (0, *memory.dirty.runs(0, memory.frames))
        if dirty != before:
            watcher.events.append(("dirty", *dirty))
        before = dirty
    executor.destroy()
    return watcher.events


def without(program: Program, at: int) -> Program | None:
    """Return the program without one operation, and without operations that this makes illegal."""
    return legal(replace(program, operations=program.operations[:at] + program.operations[at + 1 :]))


def idle(kind: type, having: dict[str, Program]) -> str:
    """Name an operation without effect; "" if removing it from a seed changes the original's events."""
    for program in sorted(having.values(), key=lambda program: len(program.operations)):
        for at in [at for at, op in enumerate(program.operations) if type(op) is kind]:
            shorter = without(program, at)
            if shorter is not None and stream(shorter) != stream(program):
                return ""
    return f"it does not act: removing it changes no event of the original in {', '.join(having)}"


# A par block is not an operation of one line: it has neither record nor generator, and ports refuse it.
SINGLE: Final = tuple(kind for kind in get_args(Operation) if kind is not Par)
# Ports do not know the others, and they are drawn only where a version knows them.
EVERYWHERE: Final = tuple(kind for kind in SINGLE if kind not in OPTIONAL)


@pytest.mark.parametrize("kind", EVERYWHERE, ids=lambda kind: kind.__name__)
def test_no_step_is_missing(kind: type, known: Known) -> None:
    lines = missing(kind, known)
    assert not lines, "\n".join(lines)


@pytest.mark.parametrize("kind", OPERATIONS, ids=lambda kind: kind.__name__)
def test_the_strategies_know_each_operation(kind: type) -> None:
    declared = declaration_of(kind)
    names = {field.name for field in fields(kind)}
    logged = LOGGED in declared.needs
    belongs = {
        "NEEDS_RAM": (strategies.NEEDS_RAM, declared.backings in (MEMORY, RAM, PAGED)),
        "NEEDS_PAGED": (strategies.NEEDS_PAGED, declared.backings == PAGED),
        "NEEDS_LOG": (strategies.NEEDS_LOG, logged),
        "NEEDS_SLOT": (strategies.NEEDS_SLOT, LIVE in declared.needs and "slot" in names and not logged),
        "BYTES": (strategies.BYTES, declared.align == BYTE and "offset" in names),
        "RARE": (strategies.RARE, DELETED in declared.needs or MANUAL in declared.needs),
        "WITHOUT_VM": (strategies.WITHOUT_VM, issubclass(kind, (SlotPlace, HypMap)) and not logged),
    }
    wrong = [
        f"{kind.__name__}: {'put it into' if is_one else 'leave it out of'} {name} in tests/unit/strategies.py"
        for name, (kinds, is_one) in belongs.items()
        if issubclass(kind, kinds) != is_one
    ]
    assert not wrong, "\n".join(wrong)


def test_the_union_contains_the_declared_operations() -> None:
    absent = sorted(kind.__name__ for kind in set(DECLARATIONS) - set(SINGLE))
    assert not absent, f"{', '.join(absent)}: put into the union at the end of the module"
    assert set(SINGLE) == set(DECLARATIONS)


def test_positions_are_unique() -> None:
    with pytest.raises(ValueError, match=r"^Another: position 0 is GuestAccess's; take the next free one$"):
        declare(type("Another", (), {}), 0, "another")


def test_positions_are_appended() -> None:
    names = [kind.__name__ for kind in OPERATIONS]
    new = names[len(POSITIONS) :]
    assert not new, f"{', '.join(new)}: put it at the end of POSITIONS of this file, and move no other"
    moved = [name for name, known in zip(names, POSITIONS, strict=False) if name != known]
    assert not moved, f"{', '.join(moved)}: not at their places in POSITIONS of this file: give the old numbers back"
    assert len(names) == len(POSITIONS), f"{', '.join(POSITIONS[len(names) :])}: removed, but binary records keep them"
    assert [declaration_of(kind).position for kind in OPERATIONS] == list(range(len(OPERATIONS)))


def test_no_two_forms_begin_with_the_same_words() -> None:
    begins = []
    for kind in OPERATIONS:
        words = declaration_of(kind).form.split()
        at = 2 if words[0] in ("log", "slot") else 1
        begins += [(words[0], verb) for verb in words[at].split("|")]
    assert len(begins) == len(set(begins))


def test_findings_and_programs_use_the_same_names() -> None:
    titles = [declaration_of(kind).title for kind in OPERATIONS]
    assert len(set(titles)) == len(titles)
    assert {"cpu access", "cpu abort", "host testage", "log on, off", "log get", "slot move"} < set(titles)
    assert title_of(Par) == "par"


def test_every_missing_step_is_named(known: Known) -> None:
    """Remove one step at a time from a known operation, as if it were new."""
    kind, name = HostMerge, "HostMerge"
    there = known.seeds
    seeds = {file: program for file, program in there.items() if kind not in map(type, program.operations)}
    lacking = {
        "no declare(": replace(known, declared=known.declared - {kind}),
        "binary form: position": replace(known, positions=(*known.positions[:17], "Other", *known.positions[18:])),
        "checkers: no rule is called tlb": replace(known, checkers=known.checkers - {"tlb"}),
        "generator: ": replace(known, generated=known.generated - {kind}),
        "mutation: ": replace(known, reached=known.reached - {kind}),
        "seed: ": replace(known, seeds=seeds),
    }
    assert missing(kind, known) == []
    for said, less in lacking.items():
        (line,) = missing(kind, less)
        assert line.startswith(f"{name}: {said}")


def test_an_operation_without_effect_is_named() -> None:
    """Evict from an empty TLB at the end of a program."""
    program = parse("s2fuzz 1\nvm\nslot a size=4K backing=anon\ncpu0 evict a+0\n")
    assert idle(Evict, {"idle.s2": program}).startswith("it does not act: ")
    assert idle(Evict, {"idle.s2": program}).endswith("in idle.s2")


def test_a_form_that_loses_operations_is_named(known: Known) -> None:
    having = {file: program for file, program in known.seeds.items() if HostMerge in map(type, program.operations)}

    def halved(program: Program) -> Program:
        return replace(program, operations=program.operations[::2])

    def refused(program: Program) -> Program:
        raise ProgramError("merge.s2", 4, "unknown operation")

    assert unwritten(having) == ""
    first = next(iter(having))
    assert unwritten(having, text=halved) == f"text form: {first} does not come back"
    assert unwritten(having, text=refused) == f"text form: {first}: merge.s2:4: unknown operation"
    assert unwritten(having, binary=halved) == f"binary form: {first} does not come back"
