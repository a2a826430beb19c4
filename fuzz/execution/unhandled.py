# SPDX-License-Identifier: GPL-2.0-only
"""Operations that nobody runs."""


class UnhandledOperationError(Exception):
    """A kind of operation has no runner: our mistake, never a clean verdict."""


def unhandled(op: object) -> UnhandledOperationError:
    """The exception for an operation, to be raised."""
    return UnhandledOperationError(f"no runner handles {type(op).__name__}: {op!r}")
