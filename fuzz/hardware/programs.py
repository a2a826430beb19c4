# SPDX-License-Identifier: GPL-2.0-only
"""Queries to QEMU about the tables that programs build."""

import time
from collections.abc import Iterable, Sequence

import candidate
from candidate import Candidate

from ..distribution import home_folder
from ..language.program import Program
from ..language.text import headings, load
from .differences import Differences
from .live import follow
from .qemu import Qemu, version
from .report import Report
from .session import QemuSession


def ask_programs(
    session: QemuSession,
    programs: Sequence[tuple[str, Program]],
    versions: Iterable[Candidate],
    differences: Differences,
) -> None:
    """Run each program on each version; ask at each quiet point about each VM whose tables changed.

    :param programs: names and valid programs
    :param differences: collects the differences
    :raises QemuError: QEMU died or does not answer
    """
    for name, program in programs:
        places = headings(program)
        for each in versions:
            for at, difference in follow(session, each, program):
                differences.add(difference, f"{name} on {each.name}, {places[at + 1]}")


def ask_about(programs: Sequence[tuple[str, Program]], versions: Sequence[Candidate]) -> Report:
    """Do as `ask_programs` with a new QEMU; use each version once.

    :raises QemuError: QEMU is missing, died or does not answer
    """
    start = time.monotonic()
    differences = Differences()
    with Qemu() as qemu:
        session = QemuSession(qemu)
        ask_programs(session, programs, {each.name: each for each in versions}.values(), differences)
        return Report(version(qemu.program), session, differences, time.monotonic() - start)


def corpus() -> list[tuple[str, Program]]:
    """Return the programs of corpus/; none if the installation has no corpus."""
    home = home_folder()
    files = sorted((home / "corpus").glob("*/*.s2"))
    return [(str(file.relative_to(home)), load(str(file))) for file in files]


def original() -> Candidate:
    """Return the version that the programs of the corpus run on."""
    return candidate.get(candidate.names()[0])
