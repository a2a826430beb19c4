# SPDX-License-Identifier: GPL-2.0-only
"""Suggestions for mistyped names.

Standard library only, so that it also works where our packages cannot be imported.
"""

import builtins
import difflib
import os
import re
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Final

_MANGLED: Final = re.compile(r"_\w+?(__\w+)")
_FROM: Final = re.compile(r"cannot import name '(\w+)' from '([\w.]+)'")


def closest(name: str, names: Iterable[str]) -> str:
    """Return the one of *names* that is most like *name*, ignoring case; "" if none is like it."""
    by_case: dict[str, str] = {}
    for each in names:
        by_case.setdefault(each.lower(), each)
    wanted = name.lower()
    found = difflib.get_close_matches(wanted, list(by_case), 5)
    if not found:
        return ""
    # Prefer a name with the same letters in another order; otherwise the most similar one.
    return by_case[min(found, key=lambda each: sorted(each) != sorted(wanted))]


def did_you_mean(name: str, names: Iterable[str]) -> str:
    """Return `` (did you mean 'x'?)``; "" if *name* is like none of *names*."""
    near = closest(name, (each for each in names if each != name))
    return f" (did you mean {near!r}?)" if near else ""


def near_file(path: str | os.PathLike[str]) -> str:
    """Return the `did_you_mean` of a missing file: a file beside it, or the folder that was meant."""
    missing = Path(os.fspath(path))
    while not missing.parent.is_dir() and missing.parent != missing:
        missing = missing.parent
    try:
        names = os.listdir(missing.parent)
    except OSError:
        return ""
    # Skip dangling links.
    near = closest(missing.name, (each for each in names if (missing.parent / each).exists()))
    return f" (did you mean {str(missing.parent / near)!a}?)" if near else ""


def suggestion(error: BaseException) -> str:
    """Return the `did_you_mean` of the name that an exception is about; "" if there is none."""
    if isinstance(error, AttributeError):
        name = str(getattr(error, "name", None) or "")
        mangled = _MANGLED.fullmatch(name)
        asked = getattr(error, "obj", None)
        # dir(super()) does not list the attributes of the object.
        names = dir(getattr(asked, "__self__", asked) if isinstance(asked, super) else asked)
        return did_you_mean(mangled.group(1) if mangled else name, names)
    if isinstance(error, NameError):
        names = dir(builtins)
        trace = error.__traceback__
        while trace is not None:
            if trace.tb_next is None:
                names = [*trace.tb_frame.f_locals, *trace.tb_frame.f_globals, *names]
            trace = trace.tb_next
        return did_you_mean(str(getattr(error, "name", None) or ""), names)
    if isinstance(error, ImportError):
        found = _FROM.match(str(error))
        module = sys.modules.get(found.group(2)) if found else None
        return did_you_mean(found.group(1), dir(module)) if found and module else ""
    return ""
