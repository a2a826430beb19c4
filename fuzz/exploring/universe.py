# SPDX-License-Identifier: GPL-2.0-only
"""All programs of a small universe, each with all schedules of its block.

A result for all of them holds whenever two vCPUs meet on few pages. The universe has one slot of one block of level 2,
of which two pages are used. The last operation of a program is a par block. In the block, two vCPUs make an access
each, or one does while another actor takes the page away, protects or ages it. The operations before it map, unmap,
protect, age, and make the block a huge page or small pages again.
"""

from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import combinations_with_replacement, product
from typing import Final

from candidate import Candidate

from ..language.operations import Operation
from ..language.program import Program, ProgramError
from ..language.text import parse
from ..language.validate import validate
from .exploring import ExplorationResult, Explorer

_SETTING: Final = "s2fuzz 1\nvm\nslot a size=2M backing=thp\n"
# Possible operations before the block.
_BEFORE: Final = (
    "cpu0 read a+0",
    "cpu0 write a+0",
    "cpu0 read a+4K",
    "log a on",
    "log a get",
    "log a off",
    "host age a+0 4K",
    "host discard a+0 4K",
    "host split a+0",
    "host collapse a+0",
)
# Possible operations of other actors beside a vCPU. Those that blocks do not run are skipped.
_BESIDE: Final = (
    "host0 discard a+0 4K",
    "host0 split a+0",
    "host0 collapse a+0",
    "host0 age a+0 4K",
    "user0 log a get",
)
# Possible accesses of a vCPU in the block.
_ACCESSES: Final = ("read a+0", "write a+0", "fetch a+0", "read a+4K", "write a+4K", "fetch a+4K")
MOST: Final = 4


def programs(length: int) -> Iterator[Program]:
    """Yield the legal programs of this number of operations.

    :param length: 1 to `MOST`; the block counts as one
    """
    vm = parse(_SETTING)
    before = [_operation(line) for line in _BEFORE]
    blocks = list(_blocks())
    for first in product(before, repeat=length - 1):
        for block in blocks:
            program = Program(vm.vm, vm.slots, (*first, block))
            if _legal(program):
                yield program


def _blocks() -> Iterator[Operation]:
    """Yield the possible blocks, without those whose operations blocks do not run."""
    for one, other in combinations_with_replacement(_ACCESSES, 2):
        yield _operation(f"par\ncpu0 {one}\ncpu1 {other}\nend")
    for one, other in product(_ACCESSES, _BESIDE):
        with suppress(ProgramError):
            yield _operation(f"par\ncpu0 {one}\n{other}\nend")


def _operation(line: str) -> Operation:
    """Return the operation of one line, or of several. It may need a log before it."""
    text = _SETTING + ("log a on\n" if "log a get" in line else "") + line + "\n"
    return parse(text).operations[-1]


def _legal(program: Program) -> bool:
    try:
        validate(program)
    except ProgramError:
        return False
    return True


def explore_all(
    reference: Candidate,
    candidate: Candidate,
    length: int,
    preemptions: int,
    out_of_time: Callable[[], bool],
    reduction: bool,
) -> ExplorationResult:
    """Judge all schedules of all programs. Parameters as in `programs` and `Explorer`.

    The first program without a verdict ends the exploration: `ExplorationResult.refused` gives the reason.
    """
    found = ExplorationResult([0] * (preemptions + 1), programs=0)
    for program in programs(length):
        if out_of_time():
            found.whole = False
            break
        found.add(Explorer(reference, candidate, program, preemptions, out_of_time, reduction).run())
        if found.refused or not found.whole:
            break
    return found
