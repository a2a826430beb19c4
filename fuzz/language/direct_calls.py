# SPDX-License-Identifier: GPL-2.0-only
"""The operations that call a function of pgtable.c themselves, without a caller in KVM."""

from typing import Final

from . import operations as ops
from .program import Program

# Functions whose name differs from that of their operation.
NAMES: Final[dict[type, str]] = {ops.TableIsYoung: "is_young", ops.TableRelax: "relax_perms"}
_PREFIX: Final = "Table"


def function_called(op: ops.TableRange | ops.TablePlace) -> str:
    """Return the function of pgtable.c that a direct call calls."""
    return f"kvm_pgtable_stage2_{NAMES.get(type(op), type(op).__name__.removeprefix(_PREFIX).lower())}"


def direct_call(program: Program, at: int) -> str:
    """Return a note on a finding at an operation that is a direct call; "" at any other operation.

    :param at: the index of the operation; -1: the creation of the VM
    """
    op = program.operations[at] if 0 <= at < len(program.operations) else None
    if not isinstance(op, (ops.TableRange, ops.TablePlace)):
        return ""
    return f"this operation calls {function_called(op)}() directly: no caller in KVM is involved"
