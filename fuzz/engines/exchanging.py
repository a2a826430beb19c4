# SPDX-License-Identifier: GPL-2.0-only
"""The operations of host and user space whose walks of a version do not exclude other walks.

A short program shows them, because patches move code from the mmu lock held for writing to the lock held for reading.
"""

from functools import cache
from typing import Final

from candidate import Candidate
from reference.events import Observer
from reference.kernel import Kernel

from ..execution.executor import Executor
from ..execution.mistakes import CandidateMistakeError
from ..generation.overtaken import WALKS
from ..language.text import parse

# Each operation of `WALKS` changes an entry. Where clearing is manual, reading the log changes none.
_PROGRAM: Final = """\
s2fuzz 1
vm manual={}
slot a size=256K backing=anon
cpu0 write a+0
log a on
cpu0 write a+0
host age a+0 4K
cpu0 write a+0
log a get
{}host discard a+0 64K
"""
PROGRAMS: Final = tuple(map(parse, (_PROGRAM.format("off", ""), _PROGRAM.format("on", "log a clear 0 256K\n"))))


class Exchanges(Observer):
    """An observer of entries that are exchanged while the mmu lock is not held for writing.

    *found*: an entry was exchanged so since the last `restart`
    """

    def __init__(self, kernel: Kernel) -> None:
        self.kernel = kernel
        self.found = False

    def restart(self) -> None:
        self.found = False

    def exchanged(self, ptep: int, old: int, new: int) -> None:
        if self.kernel.mmu_shared or "mmu" not in self.kernel.locks:
            self.found = True


@cache
def exchanging(version: Candidate) -> frozenset[type]:
    """Return the operations for which a version exchanges entries without excluding other walks.

    They are some of `fuzz.generation.overtaken.WALKS`. Nothing is judged. A run that fails ends early: the programs of
    the session meet the failure as well.

    :raises candidate.tree.TreeError: a kernel tree cannot be built
    """
    found: set[type] = set()
    # Earlier versions take the mmu lock for writing, or change entries by plain stores.
    if not version.pgtable.EXCHANGES_SHARED:
        return frozenset()
    for program in PROGRAMS:
        try:
            executor = Executor(version, program)
        except CandidateMistakeError:
            break
        exchanges = Exchanges(executor.side.kernel)
        executor.side.kernel.observe(exchanges)
        try:
            executor.create()
            for at, operation in enumerate(program.operations):
                if executor.dead:
                    break
                exchanges.restart()
                executor.step(at)
                if exchanges.found and type(operation) in WALKS:
                    found.add(type(operation))
        except CandidateMistakeError:
            break
        finally:
            executor.dismantle()
            if executor.tree is not None:
                # The lines that ran here do not count as run by the session.
                executor.tree.withdraw()
    return frozenset(found)
