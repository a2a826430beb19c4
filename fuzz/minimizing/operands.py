# SPDX-License-Identifier: GPL-2.0-only
"""Reduction of operands: the first CPU, slot and page, aligned, one page large, options left out."""

from collections.abc import Iterator
from dataclasses import fields, replace
from typing import Any, Final

from ..language.operations import ACCESS_KINDS, HYP_PROTS, PROTS, HypMap, Par
from ..language.program import GIB, Program
from .minimizer import Minimizer
from .settings import block_of

# The plainest value; None: the operand may be left out.
_PLAIN: Final[dict[str, Any]] = {
    "cpu": 0, "to": 0, "mmu": True, "flush": True, "fail": None, "log": False, "ro": False, "ipa": None
}  # fmt: skip


def operands(minimizer: Minimizer) -> None:
    """Simplify each operand of each operation, beginning with options of all operations at once."""
    drop_options(minimizer)
    count = len(minimizer.best.operations)
    for number in range(count):
        for name in names(minimizer.best, number):
            for value in plainer(minimizer.best, number, name):
                if minimizer.attempt(changed(minimizer.best, number, name, value)):
                    break
            if len(minimizer.best.operations) != count:
                # The indices have changed. Another round will follow.
                return


def drop_options(minimizer: Minimizer) -> None:
    """Leave options out of the whole program."""
    for name, value in _PLAIN.items():
        operations: list[Any] = list(minimizer.best.operations)
        for number, each in enumerate(operations):
            if name in names(minimizer.best, number) and not (name == "ipa" and value is None and not _optional(each)):
                operations[number] = replace(each, **{name: value})
        minimizer.attempt(replace(minimizer.best, operations=tuple(operations)))


def names(program: Program, number: int) -> list[str]:
    """Return the operands of an operation that may become plainer, in the order to try them."""
    operation = program.operations[number]
    # Blocks have a pass of their own (`fuzz.minimizing.blocks`).
    return [] if isinstance(operation, Par) else [field.name for field in fields(operation) if field.name != "on"]


def plainer(program: Program, number: int, name: str) -> Iterator[Any]:
    """Yield values for one operand, the plainest first. Some are no plainer than the current value."""
    operation: Any = program.operations[number]
    value = getattr(operation, name)
    if name == "kind":
        yield from ACCESS_KINDS
    elif name == "prot":
        yield from HYP_PROTS if isinstance(operation, HypMap) else PROTS
    elif name == "slot":
        yield from (slot.name for slot in program.slots)
    elif name in ("cpu", "to", "vm"):
        yield from range(value)
    elif name == "fail":
        yield None
        yield from range(1, value or 1)
    elif name == "ipa":
        if _optional(operation):
            yield None
        yield from lower(value or 0, program.vm.granule, 0)
    elif name in ("offset", "va", "pa"):
        yield from lower(value, program.vm.granule, 0)
    elif name == "size":
        yield from lower(value, program.vm.granule, program.vm.granule)
    else:
        yield _PLAIN[name]


def lower(value: int, page: int, least: int) -> Iterator[int]:
    """Yield numbers of bytes plainer than *value*: whole pages, round ones, the same place in the first block."""
    block = block_of(page)
    found = {least, -(-value // page) * page}
    for unit in GIB, block, page:
        found |= {value // unit * unit, value % unit // page * page}
    found |= {value // page >> shift << (page.bit_length() - 1) for shift in range(1, 20)}
    found |= {block, block - page, 64 * page}
    yield from sorted(each for each in found if each >= least and (each < value or value % page))
    # Try single bytes only after whole pages.
    if value % page:
        yield from (1, value % page)


def changed(program: Program, number: int, name: str, value: Any) -> Program:
    """Return the program with one operand of one operation changed."""
    operations = list(program.operations)
    operation: Any = operations[number]
    operations[number] = replace(operation, **{name: value})
    return replace(program, operations=tuple(operations))


def _optional(operation: Any) -> bool:
    """Tell whether the ipa of an operation may be left out."""
    return any(field.name == "ipa" and field.default is None for field in fields(operation))
