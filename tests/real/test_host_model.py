# SPDX-License-Identifier: GPL-2.0-only
"""A program for each rule of the host model: the tables equal those of the real kernel after each operation."""

import sys
from collections.abc import Callable
from importlib.machinery import EXTENSION_SUFFIXES
from typing import Final

import pytest

import candidate
from fuzz.language.text import parse
from fuzz.real.kernels import RealKernel
from fuzz.real.model import model_for
from fuzz.real.run import RealRun, run
from fuzz.real.session import RealSession
from reference.machine.host import Host
from reference.machine.host_pages import HostPages

# A huge page: the guest has written page 0, and the host has discarded page 1. Small entries map the rest.
PART: Final = ("cpu0 write a+0", "host discard a+4K 4K")
# Backing and program, keyed by rule.
SHOWN: Final[dict[str, tuple[str, tuple[str, ...]]]] = {
    "page of zeroes": ("anon", ("host discard a+0 8K", "cpu0 read a+0", "cpu0 write a+0", "cpu0 read a+4K")),
    "huge page of zeroes": (
        "thp",
        ("host discard a+0 2M", "cpu0 read a+0", "cpu0 write a+4K", "cpu0 read a+0", "host write a+8K 4K"),
    ),
    "huge page of zeroes, to the host": ("thp", ("host discard a+0 2M", "cpu0 read a+0", "host migrate a+0 2M")),
    "discard of all small entries": ("thp", ("host share a+0 12K", "host discard a+0 2M", "cpu0 write a+8K")),
    "large folio, shared in part, moved and split": (
        "thp",
        ("host share a+1M 8K", "cpu0 read a+0", "host migrate a+0 4K", "cpu0 read a+4K", "host split a+0"),
    ),
    "large folio of two areas": (
        "thp",
        (
            "cpu0 write a+0",
            "host protect a+0 1M on",
            "cpu0 write a+1028K",
            "host migrate a+0 4K",
            "host discard a+1M 1M",
            "cpu0 read a+4K",
            "cpu0 write a+1028K",
            "host split a+4K",
            "cpu0 write a+1032K",
        ),
    ),
    "collapse in a read-only area": (
        "anon",
        ("host protect a+0 2M on", "cpu0 read a+8K", "host collapse a+0", "cpu0 read a+8K", "host protect a+0 2M off"),
    ),
    "private hugetlb page": ("hugetlb2m", ("host discard a+0 2M", "cpu0 read a+0", "cpu0 write a+0")),
    "boundary, of a fork": ("anon", ("cpu0 write a+0", "cpu0 write a+64K", "host share a+4K 4K", "cpu0 read a+4K")),
    "boundary, of munmap": ("anon", ("cpu0 write a+0", "cpu0 write a+64K", "host unmap a+4K 4K", "cpu0 write a+0")),
    "discard past a hole": ("thp", ("host unmap a+0 4K", "cpu0 write a+4K", "host discard a+0 2M", "cpu0 read a+4K")),
    "second boundary": (
        "anon",
        ("host unmap a+4K 4K", "cpu0 write a+0", "cpu0 write a+64K", "host unmap a+12K 4K", "host share a+20K 8K"),
    ),
    "discard of a part": ("thp", (*PART, "cpu0 write a+0", "host discard a+12K 4K", "cpu0 read a+12K")),
    "collapse": (
        "thp",
        (*PART, "host share a+8K 4K", "cpu0 read a+4K", "host collapse a+0", "cpu0 write a+8K"),
    ),
    "collapse of what nobody may write": ("thp", ("host share a+0 2M", "host discard a+0 4K", "host collapse a+0")),
    "no advice": ("anon", ("host collapse a+0", "host discard a+0 2M", "cpu0 write a+0", "cpu0 read a+4K")),
    "large folio that moves": ("thp", (*PART, "cpu0 write a+0", "cpu0 write a+1M", "host migrate a+0 4K")),
    "large folio that is split": ("thp", (*PART, "cpu0 write a+0", "cpu0 write a+1M", "host split a+0")),
    "pages that a child has too": ("anon", ("host share a+0 8K", "cpu0 read a+0", "host migrate a+0 4K")),
    "poison of a page of zeroes": (
        "anon",
        (
            "host discard a+0 4K",
            "cpu0 read a+0",
            "host poison a+0",
            "cpu0 write a+0",
            "host poison a+0",
            "cpu0 read a+0",
        ),
    ),
    "poison of what is not there": ("anon", ("host discard a+0 4K", "host poison a+0", "cpu0 read a+0")),
    "split of pages of nothing but zeroes": (
        "thp",
        (
            "host discard a+0 2M",
            "cpu0 write a+0",
            "host split a+0",
            "cpu0 write a+0",
            "cpu0 read a+4K",
            "cpu0 write a+8K",
        ),
    ),
}
# Number of runs for a race that one in ten programs lost on 6.1.
FIRST_PROGRAMS: Final = 25
# Rules for which later kernels differ from the port. Its change_pte(), which v6.10 removed, maps the new page.
OF_TREES: Final = ("huge page of zeroes", "split of pages of nothing but zeroes")


def result(kernel: RealKernel, session: RealSession, backing: str, lines: tuple[str, ...]) -> RealRun:
    """Run a program, and compare it and its tables with the model of the kernel."""
    text = "\n".join(["s2fuzz 1", "vm cpus=1", f"slot a size=2M backing={backing}", *lines, ""])
    return run(session, candidate.get(model_for(kernel.name)), "x", parse(text), tables=True)


@pytest.mark.parametrize("rule", SHOWN)
def test_the_tables_equal_those_of_the_kernel(kernel: RealKernel, machine: RealSession, rule: str) -> None:
    if rule in OF_TREES and not model_for(kernel.name).startswith("tree:"):
        pytest.skip("the port's KVM does otherwise than this kernel's (S2FUZZ_TREES names a folder of trees)")
    found = result(kernel, machine, *SHOWN[rule])
    assert ([each.text() for each in found.tables], found.differences) == ([], [])


def test_khugepaged_does_not_collapse_split_pages(kernel: RealKernel, machine: RealSession) -> None:
    """A machine's first program wakes khugepaged, which has already scanned by then."""
    for _ in range(FIRST_PROGRAMS):
        machine.start()
        assert result(kernel, machine, "thp", ("host split a+0", "cpu0 write a+0", "cpu0 read a+4K")).tables == []


def populated(self: HostPages, hva: int, write: bool, real: Callable[..., None] = HostPages.populate) -> None:
    """Populate memory like a host without a zero page."""
    real(self, hva, True)


@pytest.mark.parametrize(
    ("rule", "where", "other"),
    [
        ("page of zeroes", HostPages, ("populate", populated)),
        ("private hugetlb page", HostPages, ("populate", populated)),
        ("boundary, of munmap", Host, ("split_areas", Host.split_at_edges)),
        ("large folio that moves", Host, ("move_folio", lambda self, block: self.move_page(block, self.page_size))),
    ],
)
def test_a_wrong_host_model_differs(
    kernel: RealKernel,
    machine: RealSession,
    monkeypatch: pytest.MonkeyPatch,
    rule: str,
    where: type[HostPages],
    other: tuple[str, Callable[..., None]],
) -> None:
    """The comparison detects a wrong host model."""
    if str(sys.modules[where.__module__].__file__).endswith(tuple(EXTENSION_SUFFIXES)):
        pytest.skip("compiled code calls its methods past what is set here (S2FUZZ_PURE=1 runs the plain form)")
    monkeypatch.setattr(where, *other)
    assert result(kernel, machine, *SHOWN[rule]).tables != []
