# SPDX-License-Identifier: GPL-2.0-only
"""Operations that nobody runs: mypy refuses a runner without a branch for one."""

from typing import Never


class UnhandledOperationError(Exception):
    """A kind of operation has no runner: our mistake, never a clean verdict."""


def unhandled(op: Never) -> UnhandledOperationError:
    """The exception for an operation that no branch took, to be raised.

    :param op: to mypy, what is left once each class of the union has its branch: nothing
    """
    return UnhandledOperationError(f"no runner handles {type(op).__name__}: {op!r}")
