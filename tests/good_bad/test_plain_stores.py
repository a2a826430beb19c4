# SPDX-License-Identifier: GPL-2.0-only
"""Stores without WRITE_ONCE() are judged like any other, and reported if the hardware may walk the entry."""

import pytest

from fuzz.execution.executor import Executor
from fuzz.generation.generator import Generator
from fuzz.judging.differential import REGRESSION, Differential
from fuzz.language.text import parse
from fuzz.reports.trace import Trace
from reference.pgtable import Pgtable

from .case import ORIGINAL, Case, broken, each, violations
from .practice_stores import (
    FillsPlainly,
    PlainAlias,
    PlainBit,
    PlainHyp,
    PlainNull,
    PlainRange,
    PlainStore,
)

UNMAP = "vm\nslot a size=2M backing=anon\ncpu0 write a+0\ncpu0 write a+4K\ntable unmap a+0 2M\ncpu0 read a+0\n"
WRITE_PROTECT = "vm cpus=1 fwb=on\nslot a size=4K backing=anon\ncpu0 write a+0\ntable wrprotect a+0 4K\n"
NOT_ONCE = ": live entry stored, not WRITE_ONCE "

CASES = (
    Case("a cleared entry", f"contract: stage2_unmap_walker{NOT_ONCE}L3", broken(PlainStore), UNMAP),
    Case("a cleared bit", f"contract: stage2_unmap_walker{NOT_ONCE}L3", broken(PlainBit), UNMAP),
    Case("by another name", f"contract: stage2_attr_walker{NOT_ONCE}L3", broken(PlainAlias), WRITE_PROTECT),
    Case("a range", f"contract: stage2_unmap_walker{NOT_ONCE}L3", broken(PlainRange), UNMAP),
    Case(
        "of the hypervisor",
        f"contract: hyp_map_walker{NOT_ONCE}L3",
        broken(PlainHyp),
        WRITE_PROTECT + "hyp map 0 0 4K rw\n",
    ),
)


@each(CASES)
def test_plain_stores_good(case: Case) -> None:
    assert case.all_good() == []


@each(CASES)
def test_plain_stores_bad(case: Case) -> None:
    found = violations(case.bad, case.text)
    assert {violation.signature[:-1] for violation in found} == {case.signature[:-1]}
    assert found[0].signature == case.signature
    assert not any(violation.taints for violation in found)


def test_the_case_from_practice_is_a_regression_and_not_a_bug_of_s2fuzz() -> None:
    verdict = Differential(ORIGINAL, broken(PlainStore)).run(parse("s2fuzz 1\n" + UNMAP))
    assert {finding.kind for finding in verdict.findings} == {REGRESSION}
    assert {finding.signature.rsplit(" ", 1)[0] for finding in verdict.findings} == {CASES[0].signature[:-3]}


def test_an_unlinked_table_may_be_filled_by_plain_stores() -> None:
    assert violations(broken(FillsPlainly), UNMAP) == violations(ORIGINAL, UNMAP) == []


def test_the_effect_of_a_plain_store_is_judged() -> None:
    """Ageing by plain stores shows the original's violations, besides the plain stores themselves."""
    text = "vm cpus=1 fwb=on\nslot a size=4K backing=anon\ncpu0 write a+0\ntable mkold a+0\nhost age a+0 4K\n"
    ours = [violation.signature for violation in violations(ORIGINAL, text)]
    theirs = [each.signature for each in violations(broken(PlainAlias), text) if NOT_ONCE not in each.signature]
    assert ours == theirs


def test_a_plain_store_through_null_is_a_crash() -> None:
    text = "vm cpus=1 fwb=on\nslot a size=4K backing=anon\ncpu0 read a+0\ntable mkyoung a+0\n"
    (found,) = violations(broken(PlainNull), text)
    assert found.signature.startswith("contract: kvm_pgtable_stage2_mkyoung: oops IndexError")


def test_the_trace_names_a_plain_store() -> None:
    executor = Executor(broken(PlainStore), parse("s2fuzz 1\n" + UNMAP))
    trace = Trace(executor)
    executor.create()
    for at in range(len(executor.program.operations)):
        executor.step(at)
    texts = [line.text for line in trace.lines]
    at = texts.index("L3 0x40000000=a+0: plain store")
    assert texts[at - 1].startswith("L3 0x40000000=a+0: page@")
    assert texts[at - 1].endswith("-> empty")
    assert texts[at + 1] == f"!! {CASES[0].signature}: " + texts[at + 1].partition("WRITE_ONCE L3: ")[2]


@pytest.mark.parametrize("pgtable", [PlainBit, PlainRange, FillsPlainly])
def test_plain_stores_cause_no_other_regression(pgtable: type[Pgtable]) -> None:
    """s2fuzz records plain stores in order: no full scan of the tables finds a store that it missed."""
    generator = Generator(61)
    for _ in range(40):
        program = generator.next()
        found = Differential(ORIGINAL, broken(pgtable)).run(program).titles()
        assert not [kind for kind in found if kind.startswith(REGRESSION) and NOT_ONCE not in kind]
