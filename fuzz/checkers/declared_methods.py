# SPDX-License-Identifier: GPL-2.0-only
"""The methods of a checker class, compared with those that are called: a slip in one must not silence the checker."""

import inspect
from collections.abc import Iterable, Iterator
from functools import cache
from types import FunctionType
from typing import Any, Final

from reference.events import Observer

from .checker import Checker, GuestChecker

# A method of another name this long, one slip away from that of a called one, is a mistake. Shorter names are alike
# by chance.
_LONG: Final = 6
_CALLED_BY: Final = (Observer, Checker, GuestChecker)


class CheckerMethodError(TypeError):
    """A method of a checker class would never be called, or not with its parameters; one line: where, what, remedy."""


def check_methods(kind: type[Checker]) -> None:
    """Check that each method of a class that is meant to be called is called, with its parameters.

    Compiled methods have the parameters of their base already: the compiler refuses others.

    :raises CheckerMethodError: a method is misspelt, or takes other parameters than the base's
    """
    for each in kind.__mro__:
        if each in _CALLED_BY or not issubclass(each, Checker):
            continue
        inherited = {name for base in each.__mro__[1:] for name in vars(base)}
        for name, value in vars(each).items():
            if name.startswith("_"):
                continue
            place = f"{each.__module__}.{each.__qualname__}.{name}"
            if name in _called():
                if isinstance(value, FunctionType) and (wrong := _misfit(value, _called()[name])):
                    raise CheckerMethodError(f"{place}: {wrong}; give it the parameters of the base")
                if not callable(value):
                    raise CheckerMethodError(f"{place}: not a method, but an event has this name; rename it")
            elif callable(value) and name not in inherited and (near := _near(name)):
                raise CheckerMethodError(
                    f"{place}: never called (did you mean {near!r}?); correct the name or change it"
                )


@cache
def _called() -> dict[str, Any]:
    """Return the methods of the base classes that are called, by name."""
    return {
        name: value
        for base in _CALLED_BY
        for name, value in vars(base).items()
        if not name.startswith("_") and callable(value)
    }


def _misfit(own: FunctionType, base: Any) -> str:
    """Explain why a call with the parameters of the base does not fit a method; "" if it does."""
    try:
        theirs = list(inspect.signature(base).parameters)
    except (TypeError, ValueError):
        # Some compiled functions have no signature.
        return ""
    found = inspect.signature(own)
    mine = list(found.parameters)
    try:
        found.bind(*theirs)
    except TypeError:
        return f"it is called with ({', '.join(theirs[1:])}) and takes ({', '.join(mine[1:])})"
    for at, (name, passed) in enumerate(zip(mine, theirs, strict=False)):
        if name != passed and name in theirs and passed in mine[at:]:
            return f"it gets {passed} where it takes {name}"
    return ""


def _near(name: str) -> str:
    """Return the called method that a name is a slip away from; "" if there is none."""
    same = [each for each in _called() if _plain(each) == _plain(name)]
    if same or len(name) < _LONG:
        return same[0] if same else ""
    slips = _by_slip()
    return next((slips[each] for each in _slips(_plain(name)) if each in slips), "")


@cache
def _by_slip() -> dict[str, str]:
    """Return the called methods, keyed by their names with up to one letter left out."""
    return {slip: name for name in _called() if len(name) >= _LONG for slip in _slips(_plain(name))}


def _slips(name: str) -> Iterator[str]:
    """Yield a name, and the name without each of its letters: two names that share one differ by one slip."""
    yield name
    yield from (name[:at] + name[at + 1 :] for at in range(len(name)))


def _plain(name: str) -> str:
    return name.replace("_", "").lower()


def check_all(kinds: Iterable[type[Checker]]) -> None:
    """Check the methods of several classes, as `check_methods` does."""
    for kind in kinds:
        check_methods(kind)
