# SPDX-License-Identifier: GPL-2.0-only
"""The kernel calls in progress at an event: a port's from Python's stack, a tree's from its places."""

import re
import sys
from collections.abc import Callable
from typing import Final, NamedTuple

from candidate import Candidate
from candidate.registry.files import modules_of
from candidate.registry.source_paths import shown_module
from candidate.tree import path_of_file
from reference.kernel import Kernel

from ..checkers.places import CALL, SAME

# The format in which `candidate.tree.runtime.code_places` writes a place.
_PLACE: Final = re.compile(rf"(\w+) \(([\w.+-]+):(\d+)\), by ((?:{re.escape(SAME + CALL)})?\w[\w.> ]*)")
_AT: Final = re.compile(rf"; at {_PLACE.pattern}(?=;|$)")


class KernelCall(NamedTuple):
    """A kernel function that was running.

    :param function: its name in C
    :param file: the name for people; for a tree relative to its top folder; "" if not known
    :param line: the line being executed
    :param own: it is code of the candidate that the reference does not have
    """

    function: str
    file: str = ""
    line: int = 0
    own: bool = False

    @property
    def place(self) -> str:
        """``file:line``, as far as known."""
        return f"{self.file}:{self.line}" if self.line else self.file


def calls_at(place: str, meant: str = "") -> tuple[KernelCall, ...]:
    """Return the calls in the text of a place in a tree, outermost first; () if there are none.

    :param place: a place, or the reason of a finding that ends in one or more places
    :param meant: of several places, take the last one in this function; without one, the last place
    """
    found = places_in(place)
    if not found:
        return ()
    function, file, line, names = next((each for each in reversed(found) if meant in each[-1]), found[-1])
    calls = [KernelCall(name) for name in names]
    for at in range(len(names) - 1, -1, -1):
        if names[at] == function:
            calls[at] = KernelCall(function, path_of_file(file), int(line))
            break
    return tuple(calls)


def places_in(text: str) -> list[tuple[str, str, str, list[str]]]:
    """Return the places in a text: function, file, line, and the names of the calls, outermost first."""
    found: list[tuple[str, str, str, list[str]]] = []
    for function, file, line, chain in (match.groups() for match in _PLACE.finditer(text)):
        names = chain_of(chain)
        if names[0] == SAME:
            # The calls of the place before it, as `fuzz.checkers.places` omits them.
            before = found[-1][-1] if found else []
            names = [*before[: before.index(names[1]) if names[1] in before else 0], *names[1:]]
        found.append((function, file, line, names))
    return found


def chain_of(text: str) -> list[str]:
    """Return the names in a chain of calls."""
    return text.strip().split(CALL)


def without_place(reason: str) -> str:
    """Return the reason of a finding without its place in a tree."""
    return _AT.sub("", reason)


def watcher(version: Candidate, reference: Candidate, kernel: Kernel) -> Callable[[], tuple[KernelCall, ...]]:
    """Return a function that returns the calls of a version in progress.

    The frames of a port exist only in plain Python.

    :param reference: the version that the candidate is compared with
    :param kernel: of the version's side
    """
    if version.is_tree:
        return lambda: calls_at(kernel.place)
    theirs = kernel_modules(reference)
    modules = kernel_modules(version) | theirs

    def watch() -> tuple[KernelCall, ...]:
        found: list[KernelCall] = []
        frame = sys._getframe(1)
        while frame is not None:
            module = str(frame.f_globals.get("__name__", ""))
            name = frame.f_code.co_name
            if module in modules and is_kernel_name(name):
                own = module not in theirs
                found.append(KernelCall(c_name(name), shown_module(module), frame.f_lineno, own))
            above = frame.f_back
            if above is None:
                break
            frame = above
        return tuple(reversed(found))

    return watch


def kernel_modules(version: Candidate) -> set[str]:
    """Return the modules that hold kernel code of a version."""
    return {*modules_of(version), *(each.__module__ for each in version.main.__mro__)} - {"builtins", "typing"}


def is_kernel_name(name: str) -> bool:
    """Tell whether a method is a whole kernel function, not a part of one or a helper of ours."""
    return not name.startswith(("_", "<")) or (name.startswith("__") and not name.startswith("__init"))


def c_name(name: str) -> str:
    """Return the C name of a method: a name with two leading underscores has two trailing ones that C lacks."""
    return name.removesuffix("__") if name.startswith("__") else name
