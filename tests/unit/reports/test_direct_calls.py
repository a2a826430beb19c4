# SPDX-License-Identifier: GPL-2.0-only
"""A finding at a direct call of pgtable.c says that no caller in KVM is involved."""

from typing import Final

import pytest

from fuzz.findings.record import record_of
from fuzz.gate.outcome import NEW, GateFinding
from fuzz.gate.summary import detail
from fuzz.gate.wording import finding_text
from fuzz.judging.finding import REGRESSION, Finding
from fuzz.judging.verdict import Verdict
from fuzz.language.direct_calls import direct_call
from fuzz.language.program import Program
from fuzz.language.text import parse
from fuzz.reports.account import Account
from fuzz.reports.account_text import text
from fuzz.reports.report import run_text
from fuzz.reports.runs import Run

PROGRAM: Final = parse(
    "s2fuzz 1\nvm\nslot a size=8K backing=anon\ncpu0 read a+0\ntable isyoung a+0\ntable relax a+0 r\n"
    "table unmap a+0 4K\n"
)
UNMAP: Final = "this operation calls kvm_pgtable_stage2_unmap() directly: no caller in KVM is involved"


def texts(at: int) -> list[str]:
    """Return the texts on a finding at an operation, in one line each."""
    finding = Finding(REGRESSION, "tlb: stage2_unmap_walker: leaf not flushed L3", "reason", at)
    found = GateFinding("original", record_of(finding, PROGRAM, 1), NEW)
    run = Run("x.s2", PROGRAM, "original", "original", Verdict([finding]))
    account = Account("x.s2", PROGRAM, "original", "original", finding, {})
    told = run_text(run, False, None), text(account), finding_text(found), "\n".join(detail(1, found))
    return [" ".join(each.replace("\\", "").split()).replace("This operation", "this operation") for each in told]


def test_texts_say_so() -> None:
    assert all(UNMAP in each for each in texts(3))


@pytest.mark.parametrize("at", [-1, 0, len(PROGRAM.operations)])
def test_texts_on_other_operations_do_not(at: int) -> None:
    assert not any("caller in KVM" in each for each in texts(at))


@pytest.mark.parametrize(("at", "function"), [(1, "is_young"), (2, "relax_perms"), (3, "unmap")])
def test_the_function_is_named(at: int, function: str) -> None:
    assert direct_call(PROGRAM, at) == UNMAP.replace("stage2_unmap", f"stage2_{function}")


def test_an_empty_program_has_no_direct_call() -> None:
    assert direct_call(Program(PROGRAM.vm, PROGRAM.slots, ()), 0) == ""
