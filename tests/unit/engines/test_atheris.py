# SPDX-License-Identifier: GPL-2.0-only
"""The atheris engine: it is repeatable and guided, finds bugs, leaves no files, and reports a missing package."""

import random
import re
import subprocess
import sys
import time
from collections import deque
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from weakref import ref

import pytest

from fuzz.command_line.cli import main
from fuzz.engines import atheris_records, guidance, registry
from fuzz.engines.atheris_records import OPERATIONS, Fuzzing, slow
from fuzz.engines.guidance import Counters, is_kernel_code
from fuzz.engines.seeds import shipped
from fuzz.engines.supervisor import run_unit
from fuzz.engines.unit import Result, Unit
from fuzz.engines.unit_run import UnitRun
from fuzz.generation.capabilities import Offers
from fuzz.generation.generator import Generator
from fuzz.generation.mutations import crossover, mutate
from fuzz.language.binary import RECORD_SIZE, decode, encode
from fuzz.language.program import Program, has_blocks
from fuzz.language.text import parse, print_program

from ..console import HEAD, ROOT, process, refused

MISSING = registry.engine_of("atheris").missing()
needs_atheris = pytest.mark.skipif(bool(MISSING), reason=MISSING or "it is there")
COALESCING = "regression dcache: stage2_map_walker: table->block after a translation fault, not cleaned L2"
LONGEST = 200 * RECORD_SIZE
# A program without findings.
START = print_program(parse(f"{HEAD}cpu0 read a+4K\n"))


def fuzzing(unit: Unit) -> Fuzzing:
    """Return a run of a unit that is not registered with libFuzzer."""
    unit_run = UnitRun(unit, lambda message: None)
    return Fuzzing(SimpleNamespace(Mutate=lambda data, longest: data[::-1]), unit_run)


@pytest.fixture
def bare() -> Fuzzing:
    """Return a run of a unit without seeds."""
    return fuzzing(Unit("atheris", "original", "rfc-v1", 1))


def test_programs_have_blocks_and_mutations_keep_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """Check programs of the corpus, fresh programs, and mutations of both."""
    text = print_program(parse(f"{HEAD}par\ncpu0 write a+0\ncpu1 read a+0\nswitch cpu0 to cpu1 after load 1\nend\n"))
    made = fuzzing(Unit("atheris", "original", "rfc-v1", 1, corpus=(text,)))
    data = made.mutate(b"\n", LONGEST, 1)
    assert print_program(decode(data)) == text
    assert any(has_blocks(made.fresh()) for _ in range(40))
    made.beginning = 0
    monkeypatch.setattr(atheris_records, "FRESH", 0)
    monkeypatch.setattr(atheris_records, "JOINED", 0)
    mutated = [decode(made.mutate(data, LONGEST, seed)) for seed in range(100)]
    assert sum(map(has_blocks, mutated)) > 50
    assert len({each for each in mutated if has_blocks(each)}) > 40


@needs_atheris
def test_the_same_unit_does_the_same() -> None:
    unit = Unit("atheris", "original", "rfc-v1", 3, programs=50, corpus=(START,), features=True)
    first, second = run_unit(unit), run_unit(unit)
    assert first.state.programs == 50
    assert first.fresh[0].text == START
    assert comparable(first) == comparable(second)
    assert not first.accidents
    third = run_unit(Unit("atheris", "original", "rfc-v1", 4, programs=50, corpus=(START,), features=True))
    assert comparable(third) != comparable(first)


def comparable(result: Result) -> object:
    """Return all results except times."""
    costs = result.state.costs
    return result.state.programs, result.state.operations, result.state.counts, costs, result.found, result.fresh


def test_no_verdict_is_alive_when_memory_is_returned(bare: Fuzzing, monkeypatch: pytest.MonkeyPatch) -> None:
    """Check that no verdict is alive at that moment, because it would keep the memory around it."""

    class Shown:
        features = (1, 2)

    verdicts: list[ref[Shown]] = []
    left: list[object] = []

    def judge(program: Program) -> Shown:
        verdict = Shown()
        verdicts.append(ref(verdict))
        return verdict

    def over() -> bool:
        left.extend(each() for each in verdicts)
        return False

    monkeypatch.setattr(bare.unit_run, "judge", judge)
    monkeypatch.setattr(bare.unit_run, "over", over)
    bare.test(encode(parse(START)))
    assert left == [None]


@needs_atheris
def test_finds_the_missing_clean_of_rfc_v1() -> None:
    unit = Unit("atheris", "original", "rfc-v1", 1, programs=300, corpus=(START,), until=COALESCING)
    assert COALESCING in run_unit(unit).found


@needs_atheris
@pytest.mark.parametrize(("lines", "features"), [(True, False), (False, True), (False, False)])
def test_is_guided_by_lines_and_by_features(lines: bool, features: bool) -> None:
    """Check that libFuzzer keeps programs that show something new; compiled modules show no lines."""
    script = f"""
from fuzz.engines import atheris_records
from tests.unit.run_here import run_here
from fuzz.engines.guidance import Counters
from fuzz.engines.unit import Unit
if not {lines}:
    atheris_records.instrument = lambda atheris: None
if not {features}:
    mark = Counters.mark
    Counters.mark = lambda self, features: mark(self, ())
run_here(Unit("atheris", "original", "rfc-v1", 1, programs=40), lambda message: None)
"""
    environment = {"PYTHONPATH": str(ROOT), "S2FUZZ_DEBUG": "1", "S2FUZZ_PURE": "1"}
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True)
    kept = len(re.findall(r"\bNEW\b", done.stderr))
    # Without guidance libFuzzer keeps only the first input, which adds no counters.
    assert kept >= 10 if lines or features else kept == 0


@needs_atheris
def test_libfuzzer_keeps_a_bounded_number_of_programs() -> None:
    """Check that a bounded number of later programs is kept beside libFuzzer, the newest ones."""
    script = """
from fuzz.engines import atheris_records, guidance
from tests.unit.run_here import run_here
from fuzz.engines.unit_run import UnitRun
from fuzz.engines.unit import Unit
guidance.KEPT = 5
atheris_records.LATER = 4
made = []
begin = atheris_records.Fuzzing.__init__
finish = UnitRun.finish
def first(self, *arguments):
    begin(self, *arguments)
    made.append(self)
def last(self):
    print("kept", made[0].counters.kept, len(made[0].later), flush=True)
    finish(self)
atheris_records.Fuzzing.__init__ = first
UnitRun.finish = last
run_here(Unit("atheris", "original", "rfc-v1", 1, programs=30), lambda message: None)
"""
    environment = {"PYTHONPATH": str(ROOT), "S2FUZZ_DEBUG": "1", "S2FUZZ_PURE": "1"}
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout == "kept 5 4\n"
    # A shorter program may replace one of these.
    assert len(re.findall(r"\bNEW\b", done.stderr)) == 5


def test_new_counters_when_libfuzzer_has_enough_programs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Check that new counters then count as new once, and that libFuzzer does not receive them."""
    counted: list[int] = []
    numbers = count(3)
    counters = Counters(SimpleNamespace(_reserve_counter=lambda: next(numbers), _trace_branch=counted.append))
    monkeypatch.setattr(guidance, "KEPT", 2)
    counters.start()
    for features, line, kept_here, told in (
        ((1, 2), 0, False, [0, 5, 6]),
        ((1, 2), 0, False, [0, 5, 6]),
        ((2, 3), 0, False, [0, 6, 7]),
        # From here on libFuzzer keeps no new program.
        ((2, 4), 0, True, [0, 6]),
        ((2, 4), 0, False, [0, 6]),
        ((2,), 1, True, [6]),
        ((2,), 1, False, [6]),
    ):
        counted.clear()
        counters.lines.add(line)
        assert counters.mark(features) == kept_here
        assert sorted(counted) == told
    assert counters.kept == 2


def test_later_programs_are_mutated(bare: Fuzzing, monkeypatch: pytest.MonkeyPatch) -> None:
    """Check that later programs are changed more often if there are more of them."""
    bare.beginning = 0
    monkeypatch.setattr(atheris_records, "LATER", 2)
    changed: list[bytes] = []

    def mutated(data: bytes, longest: int, chance: random.Random) -> bytes:
        changed.append(data)
        return data

    monkeypatch.setattr(bare, "mutated", mutated)
    chosen = encode(parse(START))
    later = [encode(program) for program in (Generator(3).next(), Generator(4).next())]
    for many, least, most in ((0, 0, 0), (1, 30, 75), (2, 75, 130)):
        changed.clear()
        bare.later = deque(later[:many], maxlen=2)
        for seed in range(200):
            bare.mutate(chosen, LONGEST, seed)
        assert least <= len([data for data in changed if data != chosen]) <= most
        assert set(changed) == {chosen, *later[:many]}


@needs_atheris
def test_atheris_prints_nothing_and_leaves_no_other_files(tmp_path: Path) -> None:
    done = process(
        *("fuzz", "--engine", "atheris", "--candidate", "v5.14", "--programs", "10", "--out", "out", "--json"),
        cwd=tmp_path,
        stdout=subprocess.PIPE,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("{")
    assert done.stderr.startswith("s2fuzz: v5.14 (on v5.12.9) overrides ")
    assert done.stderr.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_without_atheris(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(registry, "find_spec", lambda name: None)
    out = tmp_path / "out"
    code = main(["fuzz", "--engine", "atheris", "--candidate", "rfc-v1", "--out", str(out)])
    refused((code, *capsys.readouterr()), "--engine atheris", ".[atheris]")
    assert not out.exists()


def test_seeds_come_first_and_in_order() -> None:
    texts = shipped("atheris")[:5]
    assert len(texts) == 5
    assert shipped("random") == ()
    made = fuzzing(Unit("atheris", "original", "rfc-v1", 1, corpus=texts))
    data = b"\n"
    for text in texts:
        data = made.mutate(data, LONGEST, 1)
        assert print_program(decode(data)) == text
    assert made.mutate(data, LONGEST, 1) != data


def test_an_empty_input_gives_programs_of_the_generator(bare: Fuzzing) -> None:
    generator = Generator(1, offers=Offers(par=True))
    for seed in range(5):
        assert decode(bare.mutate(b"\n", LONGEST, seed)) == generator.next()


def burn(seconds: float) -> None:
    end = time.process_time() + seconds
    while time.process_time() < end:
        pass


def test_cpu_time_excludes_set_up() -> None:
    unit_run = UnitRun(Unit("atheris", "original", "rfc-v1", 1, cpu=0.5), lambda _: None)
    unit_run.begin()
    burn(0.6)
    assert unit_run.over()
    unit_run.ready()
    assert not unit_run.over()
    unit_run.judge(parse(f"{HEAD}cpu0 read a+0\n"))
    burn(0.6)
    unit_run.ready()
    assert unit_run.over()


def test_programs_of_the_generator_come_first(bare: Fuzzing) -> None:
    """Check it for any program that libFuzzer chose; programs of a corpus count, too."""
    generator = Generator(1, offers=Offers(par=True))
    data = encode(Generator(2).next())
    for _ in range(atheris_records.BEGINNING - 1):
        assert bare.mutate(data, LONGEST, 7) == encode(generator.next())
    assert bare.beginning == atheris_records.BEGINNING
    begun = fuzzing(Unit("atheris", "original", "rfc-v1", 1, corpus=shipped("atheris")[:5]))
    assert begun.beginning == atheris_records.BEGINNING - 5


def test_mutations_change_operations(bare: Fuzzing, monkeypatch: pytest.MonkeyPatch) -> None:
    for share in ("FRESH", "BYTES", "JOINED"):
        monkeypatch.setattr(atheris_records, share, 0)
    bare.beginning = 0
    for seed in range(20):
        program = Generator(seed).next()
        chance = random.Random(seed)
        chance.randrange(100)
        expected = mutate(program, chance, OPERATIONS)
        assert expected != program
        made = decode(bare.mutate(encode(program), LONGEST, seed))
        # A fresh program replaces one that would take long.
        assert (made == expected) != slow(expected)


def test_crossovers_combine_operations(bare: Fuzzing, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(atheris_records, "CROSSED", 100)
    bare.beginning = 0
    for seed in range(20):
        one, other = Generator(seed).next(), Generator(seed + 100).next()
        chance = random.Random(seed)
        chance.randrange(100)
        expected = crossover(one, other, chance, OPERATIONS)
        made = decode(bare.cross(encode(one), encode(other), LONGEST, seed))
        assert (made == expected) != slow(expected)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("vm\nslot a size=16G backing=anon\ncpu0 write a+15G\nlog a on\n", False),
        ("vm\nslot a size=16G backing=anon\nhost age a+15G 64M\n", False),
        ("vm\nslot a size=16G backing=anon\nhost age a+0 65M\n", True),
        ("vm\nslot a size=64M backing=anon\nslot b size=16G backing=thp\nhost age a+0 64M\n", False),
        ("vm manual=set\nslot a size=16G backing=thp\ncpu0 write a+15G\n", True),
        ("vm\nslot a size=16M backing=device\n", True),
        ("vm\nslot a size=1G backing=hugetlb1g\nhost age a+0 1G\n", False),
        ("vm cpus=2\nslot a size=65M backing=thp\npar\n  cpu0 write a+0\n  cpu1 write a+0\nend\n", True),
        ("vm cpus=2\nslot a size=64M backing=thp\npar\n  cpu0 write a+0\n  cpu1 write a+0\nend\n", False),
    ],
)
def test_slow_programs_are_recognised(text: str, expected: bool) -> None:
    assert slow(parse("s2fuzz 1\n" + text)) == expected


def test_bytes_are_mutated_too(bare: Fuzzing, monkeypatch: pytest.MonkeyPatch) -> None:
    for share in ("FRESH", "JOINED"):
        monkeypatch.setattr(atheris_records, share, 0)
    monkeypatch.setattr(atheris_records, "BYTES", 100)
    bare.beginning = 0
    data = encode(Generator(1).next())
    assert bare.mutate(data, LONGEST, 1) == data[::-1]
    assert bare.mutate(data, 2 * RECORD_SIZE, 1) == data[::-1][: 2 * RECORD_SIZE]


def test_an_error_in_a_mutation_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: object) -> None:
        raise ZeroDivisionError("of ours")

    told: list[object] = []
    unit_run = UnitRun(Unit("atheris", "original", "rfc-v1", 1), told.append)
    made = Fuzzing(SimpleNamespace(), unit_run)
    for share in ("FRESH", "BYTES", "JOINED"):
        monkeypatch.setattr(atheris_records, share, 0)
    monkeypatch.setattr(atheris_records, "mutate", fail)
    made.beginning = 0
    data = encode(Generator(1).next())
    assert made.mutate(data, LONGEST, 1) == data
    assert any("ZeroDivisionError" in str(message) for message in told)


@pytest.mark.parametrize(
    ("module", "is_one"),
    [
        ("candidate.rfc_v1", True),
        ("candidate.bugs.exec_clean", True),
        ("reference.pgtable", True),
        ("reference.pgtables", False),
        ("candidate.tree.runtime.replay", False),
        ("candidate.registry", False),
        ("reference.kernel", False),
    ],
)
def test_only_kernel_code_is_instrumented(module: str, is_one: bool) -> None:
    assert is_kernel_code(module) == is_one
