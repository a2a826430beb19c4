# SPDX-License-Identifier: GPL-2.0-only
"""Operations without a runner: mypy refuses a runner that lacks a branch for one."""

from typing import Never


class UnhandledOperationError(Exception):
    """A kind of operation has no runner: our mistake, never a clean verdict."""


def unhandled(op: Never) -> UnhandledOperationError:
    """Return the exception to raise for an operation that no branch handled.

    :param op: the operation; to mypy no value is left for it once each class of the union has its branch
    """
    return UnhandledOperationError(f"no runner handles {type(op).__name__}: {op!r}")
