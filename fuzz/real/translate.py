# SPDX-License-Identifier: GPL-2.0-only
"""A program as user space can play it: the part that a real kernel runs, and the lines that /init plays.

User space cannot cause cache contents, speculation, eviction, injected failures, ageing, or direct calls of pgtable.c.
They are left out on the kernel and on the model, and reported.
"""

from dataclasses import dataclass, replace

from ..language.operations import Operation
from ..language.program import Program, has_blocks, sequential, show_bytes
from ..language.text import headings
from .errors import UnplayableError
from .left_out import CPU, EmulatedCpu, cached, emulated, reason_for_leaving_out, without_failure
from .lines import PlayedLines, machine_lines


@dataclass(frozen=True)
class Played:
    """The part of a program that a real kernel plays.

    :param program: the part for the model
    :param lines: for /init: the machine and its slots, then one line per operation
    :param left_out: operations and settings of the original that are not played, each with the reason
    :param places: for each operation that is played, its index in the original
    """

    program: Program
    lines: tuple[str, ...]
    left_out: tuple[str, ...]
    places: tuple[int, ...]


def played(program: Program, page_size: int, synchronous: bool = False, cpu: EmulatedCpu = CPU) -> Played:
    """Return the part of a program that user space can play.

    :param page_size: page size of the kernel in bytes
    :param synchronous: let the machine wait after each operation so that its tables can be examined
    :param cpu: CPU of the machine
    :raises UnplayableError: nothing can be played, or the program needs what the emulated machine does not have
    """
    if program.vm.granule != page_size:
        sizes = f"pages of {show_bytes(program.vm.granule)}, and the kernel has pages of {show_bytes(page_size)}"
        raise UnplayableError(f"the program has {sizes}")
    left_out: list[str] = []
    if has_blocks(program):
        left_out.append(
            "par blocks: their operations are played one by one, since user space cannot control the interleaving"
        )
        program = sequential(program)
    names = headings(program)
    kept: list[Operation] = []
    places: list[int] = []
    for at, op in enumerate(program.operations):
        reason = reason_for_leaving_out(op)
        if reason:
            left_out.append(f"{names[at + 1]}: {reason}")
            continue
        plain = without_failure(op)
        if plain != op:
            left_out.append(f"{names[at + 1]}: played without fail=, since user space cannot make allocations fail")
        kept.append(cached(plain))
        places.append(at)
    if not kept:
        raise UnplayableError("it has no operation that user space can cause")
    vm, changes = emulated(program.vm, cpu)
    left_out += changes
    plain_program = replace(program, vm=vm, operations=tuple(kept))
    lines = (*machine_lines(plain_program, synchronous), *map(PlayedLines(plain_program).line, kept))
    return Played(plain_program, lines, tuple(left_out), tuple(places))
