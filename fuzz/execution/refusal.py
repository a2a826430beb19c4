# SPDX-License-Identifier: GPL-2.0-only
"""The reason why a program has no verdict, as text: it needs something that is not modelled."""

from typing import Final

from candidate.tree.runtime.errors import NOT_STARTED

# Hint for a symbol that a kernel tree calls.
_HINT: Final = "`s2fuzz tree check TREE` says why, docs/how-to/symbol.md how to model it"


class UnmodelledError(Exception):
    """A run needs something that is not modelled, so it has no verdict. One line without the program's name.

    :param reason: as `fuzz.execution.executor.Executor.refused`
    :param place: the place in the run, if it is known
    """

    def __init__(self, reason: str, place: str = "") -> None:
        super().__init__(f"{place}{': ' if place else ''}no verdict: {unmodelled(reason)}")


def is_not_started(reason: str) -> bool:
    """Return whether no process could be started for a program; the next run of it may have a verdict."""
    return reason.startswith(NOT_STARTED)


def unmodelled(reason: str) -> str:
    """Describe what a program needs, or why no process could run it.

    :param reason: as `fuzz.execution.executor.Executor.refused`: the name of a symbol, or several words
    """
    if is_not_started(reason):
        return reason
    needed = f"the program needs something that is not modelled: {reason}"
    return f"{needed}; {_HINT}" if reason.isidentifier() else needed
