# SPDX-License-Identifier: GPL-2.0-only
"""The parameters of methods, and the calls that do not fit them."""

import inspect
from collections.abc import Callable
from typing import Any

from .methods import Method
from .sources import source_signature


def signature(method: Method) -> inspect.Signature | None:
    """Return the parameters of a method without *self*; None if they cannot be determined."""
    value: Any = method.value
    bound = isinstance(value, staticmethod)
    function: Callable[..., Any] = value.__func__ if isinstance(value, (staticmethod, classmethod)) else value
    try:
        found = inspect.signature(function)
    except (ValueError, TypeError):
        # mypyc provides no signature if a default is not a literal.
        found_in_source = source_signature(method.owner, method.name)
        if found_in_source is None:
            return None
        found = found_in_source
    parameters = list(found.parameters.values())
    first = parameters[0].kind if parameters else inspect.Parameter.KEYWORD_ONLY
    takes_self = first in (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return found.replace(parameters=parameters[1:] if takes_self and not bound else parameters)


def names_of(found: inspect.Signature) -> list[str]:
    """Return the names of the positional parameters."""
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return [name for name, each in found.parameters.items() if each.kind in kinds]


def counts(found: inspect.Signature) -> set[int]:
    """Return the minimum and maximum number of positional arguments of a call."""
    names = names_of(found)
    needed = [name for name in names if found.parameters[name].default is inspect.Parameter.empty]
    return {len(needed), len(names)}


def misfit_of_call(own: inspect.Signature, old: inspect.Signature, count: int, keywords: tuple[str, ...]) -> str:
    """Explain why a call with *count* positional arguments and these keywords does not fit; "" if it does."""
    try:
        own.bind(*range(count), **dict.fromkeys(keywords, 0))
    except TypeError as error:
        given = [*names_of(old)[:count], *(f"{name}=" for name in keywords)]
        return f"passes ({', '.join(given)}), it takes {parameters_text(own)}: {error}"
    return ""


def misfit_of_base(own: inspect.Signature, old: inspect.Signature) -> str:
    """Explain why a call that fits the base's method does not fit this one."""
    return f"it is called with {parameters_text(old)} and takes {parameters_text(own)}"


def exchanged(own: inspect.Signature, old: inspect.Signature) -> str:
    """Name a parameter that takes the position of another one; "" if none does."""
    mine, theirs = names_of(own), names_of(old)
    for at, (name, passed) in enumerate(zip(mine, theirs, strict=False)):
        if name != passed and name in theirs and passed in mine[at:]:
            return f"passes {passed} where it takes {name}"
    return ""


def parameters_text(found: inspect.Signature) -> str:
    """Return the names of the parameters for messages."""
    kind = inspect.Parameter
    stars: dict[object, str] = {kind.VAR_POSITIONAL: "*", kind.VAR_KEYWORD: "**"}
    return f"({', '.join(stars.get(each.kind, '') + name for name, each in found.parameters.items())})"
