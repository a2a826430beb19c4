# SPDX-License-Identifier: GPL-2.0-only
"""Judging a pair of ports once, where both behave identically, gives the same verdicts as judging both."""

import ast

import pytest

import candidate
from candidate import Candidate
from candidate.inspection.sources import parsed, source_file
from fuzz.execution.executor import Executor
from fuzz.generation.generator import Generator
from fuzz.judging.differential import Differential
from fuzz.judging.digest import word
from fuzz.judging.port_once import OUTWEIGH, PATIENCE, ports_alike
from fuzz.judging.stream import Stream
from fuzz.judging.verdict import Verdict
from fuzz.language.text import parse
from reference.events import EVENT_NAMES, Observer
from reference.kvm import kvm_vcpu
from reference.mmu import Mmu
from reference.pgtable import Pgtable

PROGRAMS = 60
ORIGINAL = candidate.get("original")
RELAXES = parse("s2fuzz 1\nvm\nslot a size=64K backing=anon\ntable relax a+0 rw\n")


class PgtableSame(Pgtable):
    """A different class with the same behaviour."""


class PgtableBarrier(Pgtable):
    """Executes one unneeded barrier in some calls."""

    def kvm_pgtable_stage2_mkyoung(self, pgt: object, addr: int) -> int:
        self.k.dsb("ishst")
        return super().kvm_pgtable_stage2_mkyoung(pgt, addr)  # type: ignore[arg-type]


class MmuAnswers(Mmu):
    """Makes user space read an exit reason where there is none; all events are those of the original."""

    def kvm_handle_guest_abort(self, vcpu: kvm_vcpu) -> int:
        return min(super().kvm_handle_guest_abort(vcpu), 0)


class PgtableEndless(Pgtable):
    """Loops forever, stopped only by the budget of steps."""

    def kvm_pgtable_stage2_mkyoung(self, pgt: object, addr: int) -> int:
        while True:
            self.k.cond_resched_lock()


def version(pgtable: type[Pgtable]) -> Candidate:
    return Candidate(pgtable.__name__, pgtable, Mmu, "a test")


def told(verdict: Verdict) -> tuple[object, ...]:
    """Return everything that a verdict contains."""
    findings = [(each.kind, each.signature, each.reason, each.at, each.known) for each in verdict.findings]
    consequences = [(side, each.signature, each.at, each.known) for side, each in verdict.consequences]
    return findings, consequences, verdict.costs, verdict.features, verdict.refused, verdict.notes


def compared(other: Candidate, programs: int = PROGRAMS, patience: int = PROGRAMS) -> tuple[int, int]:
    """Judge programs both ways; return the numbers of programs judged once, and of those judged again."""
    once, twice = (Differential(ORIGINAL, other, measure=True, features=True) for _ in range(2))
    twice.ports = None
    assert once.ports is not None
    once.ports.patience = patience
    generator = Generator(5)
    for _ in range(programs):
        program = generator.next()
        assert told(once.run(program)) == told(twice.run(program))
    return once.ports.once, once.ports.again


def test_a_version_with_the_same_behaviour() -> None:
    once, again = compared(version(PgtableSame))
    assert once > PROGRAMS // 2
    assert again == 0


@pytest.mark.parametrize("name", ["bug-anchor-put", "bug-one-page", "bug-unmap-clean"])
def test_a_planted_bug(name: str) -> None:
    bug = candidate.get(name)
    assert ports_alike(ORIGINAL, bug)
    once, again = compared(bug)
    assert once
    assert again


def test_one_event_is_a_difference() -> None:
    once, again = compared(version(PgtableBarrier))
    assert once
    assert again


@pytest.mark.parametrize("access", ["cpu0 read a+0\n", "par\n  cpu0 read a+0\n  cpu1 read a+4K\nend\n"])
def test_the_return_value_of_the_fault_handler_is_compared(access: str) -> None:
    version = Candidate("answers", Pgtable, MmuAnswers, "for a test")
    program = parse("s2fuzz 1\nvm\nslot a size=8K backing=anon\n" + access)
    found = Differential(candidate.get("original"), version).run(program).findings
    assert [each.title for each in found] == ["regression contract: kvm_handle_guest_abort: returns 0 after a fault"]


def test_code_that_does_not_return() -> None:
    once, again = compared(version(PgtableEndless), 20)
    assert once
    assert again


def test_a_large_patch_is_given_up() -> None:
    """Check that the attempt costs only a few programs."""
    once, again = compared(candidate.get("rfc-v1"), patience=PATIENCE)
    assert again <= PATIENCE + 1 + once // OUTWEIGH
    assert once + again < PROGRAMS


def test_programs_that_query_checkers() -> None:
    differential = Differential(ORIGINAL, ORIGINAL)
    assert differential.ports is not None
    assert not differential.ports.pays(RELAXES)


def test_versions_with_different_requirements() -> None:
    assert not ports_alike(ORIGINAL, candidate.get("v6.12") if "v6.12" in candidate.names() else other_flags())


def other_flags() -> Candidate:
    class Flags(Pgtable):
        COUNTS_NON_ZERO = not Pgtable.COUNTS_NON_ZERO

    return version(Flags)


def test_every_event_counts() -> None:
    for name in EVENT_NAMES:
        assert getattr(Stream, name) is not getattr(Observer, name), name


@pytest.mark.parametrize("at", [0, 1, 2, 3])
def test_every_operand_counts(at: int) -> None:
    """Check each operand of a store, including the highest bit of an entry."""
    program = parse("s2fuzz 1\nvm\nslot a size=64K backing=anon\n")
    operands: list[int] = [5, 0, 3, 0]
    others = list(operands)
    others[at] = [6, -(1 << 63), 3 | -(1 << 63), 1][at]
    streams = []
    for each in (operands, operands, others):
        stream = Stream(Executor(ORIGINAL, program, judged=False).side.kernel)
        stream.store(each[0], each[1], each[2], bool(each[3]))
        streams.append(stream)
    assert streams[0].same_as(streams[1])
    assert not streams[0].same_as(streams[2])


def test_numbers_of_all_sizes_are_distinguished() -> None:
    """Check this because guest addresses and log bitmaps use 64 bits, while compiled code has 63 bits and a sign."""
    bits = (0, 1, 31, 40, 61, 62, 63, 64)
    numbers = {sign * ((1 << bit) - less) for bit in bits for less in (0, 1) for sign in (1, -1)}
    words = [word(number) for number in numbers]
    assert len(set(words)) == len(numbers)
    assert all(-(1 << 63) <= each < 1 << 63 for each in words)


@pytest.mark.parametrize("at", range(5))
def test_events_with_numbers_of_all_sizes_are_distinguished(at: int) -> None:
    """Check this in plain Python too, where hash() maps many numbers to one: -1 and -2, 0 and 2^61 - 1."""
    kernel = Executor(ORIGINAL, parse("s2fuzz 1\nvm\nslot a size=64K backing=anon\n"), judged=False).side.kernel
    bits = (0, 1, 31, 40, 60, 61, 62, 63)
    numbers = {sign * (1 << bit) - less for bit in bits for less in range(4) for sign in (1, -1)}
    digests = set[int]()
    for number in numbers:
        stream, operands = Stream(kernel), [5, 6, 7, 8, 9]
        operands[at] = number
        stream.note_more(1, *operands)
        digests.add(int(stream.digest))
    assert len(digests) == len(numbers)


def test_each_event_has_its_own_number() -> None:
    """Check this because two events with the same number could replace each other."""
    calls = [
        node
        for node in ast.walk(parsed(source_file(Stream)))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in ("note", "note_more")
    ]
    numbers = [each.args[0].value for each in calls if isinstance(each.args[0], ast.Constant)]
    assert len(numbers) > 70
    assert len(numbers) == len(set(numbers))
