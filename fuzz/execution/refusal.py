# SPDX-License-Identifier: GPL-2.0-only
"""The reason why a program has no verdict, in words: it needs what nobody models."""

from typing import Final

# Of a symbol that a kernel tree calls.
_HINT: Final = "`s2fuzz tree check TREE` says why, docs/how-to/symbol.md how to model it"


class UnmodelledError(Exception):
    """A run came to what is not modelled, and says nothing; one line without the program's name.

    :param reason: as `fuzz.execution.executor.Executor.refused`
    :param place: where in the run, if that is known
    """

    def __init__(self, reason: str, place: str = "") -> None:
        super().__init__(f"{place}{': ' if place else ''}no verdict: {unmodelled(reason)}")


def unmodelled(reason: str) -> str:
    """Say what a program needs.

    :param reason: as `fuzz.execution.executor.Executor.refused`: the name of a symbol, or several words
    """
    needed = f"the program needs what is not modelled: {reason}"
    return f"{needed}; {_HINT}" if reason.isidentifier() else needed
