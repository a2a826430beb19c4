# SPDX-License-Identifier: GPL-2.0-only
"""Known deviations of the host's memory management: each is still so, and explains no more than it says."""

from typing import Final

import pytest

import candidate
from fuzz.language.text import parse
from fuzz.real import tables
from fuzz.real.deviations import BOUNDARY, CAUSES, HUGE_CAUSES, PRIVATE, ZERO, HostDeviation, cause_of
from fuzz.real.kernels import RealKernel
from fuzz.real.model import PORT
from fuzz.real.run import RealRun, run
from fuzz.real.session import RealSession

SHOWN: Final = [
    (ZERO, "thp", ("cpu0 write a+0", "host discard a+0 2M", "cpu0 read a+0")),
    (PRIVATE, "hugetlb2m", ("cpu0 write a+0", "host discard a+0 2M", "cpu0 read a+0")),
    (BOUNDARY, "anon", ("cpu0 write a+0", "cpu0 write a+64K", "host share a+4K 4K")),
]


def result(session: RealSession, backing: str, lines: tuple[str, ...]) -> RealRun:
    """A program beside the port, with its tables."""
    text = "\n".join(["s2fuzz 1", "vm cpus=1", f"slot a size=2M backing={backing}", *lines, ""])
    return run(session, candidate.get(PORT), "x", parse(text), tables=True)


@pytest.mark.parametrize(("cause", "backing", "lines"), SHOWN, ids=lambda each: getattr(each, "name", ""))
def test_each_is_still_so(
    kernel: RealKernel,
    machine: RealSession,
    monkeypatch: pytest.MonkeyPatch,
    cause: HostDeviation,
    backing: str,
    lines: tuple[str, ...],
) -> None:
    found = result(machine, backing, lines)
    assert (found.tables, found.differences) == ([], [])
    assert cause in found.explained
    assert cause.reason in found.text()
    # Without it there is a difference.
    monkeypatch.setattr(tables, "cause_of", lambda *of: each if (each := cause_of(*of)) is not cause else None)
    assert result(machine, backing, lines).tables != []


def test_all_are_shown() -> None:
    assert {cause for cause, _, _ in SHOWN} == {*CAUSES.values(), *HUGE_CAUSES.values()}


def test_poison_does_not_stick_to_the_page_of_zeroes(machine: RealSession) -> None:
    lines = ("cpu0 write a+0", "host discard a+0 4K", "cpu0 read a+0", "host poison a+0", "cpu0 write a+0")
    found = result(machine, "anon", lines)
    assert (found.differences, found.explained[-1]) == ([], ZERO)
    # A page of its own is poisoned.
    found = result(machine, "anon", (*lines[:2], "cpu0 write a+0", *lines[3:]))
    assert (found.differences, found.tables) == ([], [])
    assert found.expected.outcomes[-1].status == "sigbus"
