# SPDX-License-Identifier: GPL-2.0-only
"""The message on a compiler run that failed: the place of the first error, and whose it is."""

import os
import re
from pathlib import Path
from typing import Final

from .compiler import CompileFailedError
from .plan import GENERATED, NATIVE, TREE
from .source import TreeSource

_BELOW: Final = f"{TREE}/"
_OURS: Final = "native/"
_CONDITION: Final = re.compile(r"\s*#\s*(if|ifdef|ifndef|elif|else|endif)\b(.*)")
_PROBE: Final = re.compile(r"\bHAVE_\w+")


def said(source: TreeSource, failed: CompileFailedError, declared: list[str]) -> str:
    """One line for people.

    :param declared: names of the probes that the tree has
    """
    file = os.path.normpath(failed.file) if failed.file else ""
    text = failed.text.replace(_BELOW, "")
    if file.startswith(_BELOW):
        return f"{source.name} does not compile: {file.removeprefix(_BELOW)}:{failed.line}: {text}"
    if file.startswith((_OURS, f"{GENERATED}/")):
        probe = _probe_around(file, failed.line)
        answer = "the tree has it" if probe in declared else "the tree does not have it"
        about = f" (where {probe} decides: {answer})" if probe else ""
        return f"{source.name} does not fit s2fuzz's own headers: {file}:{failed.line}: {text}{about}"
    return f"{source.name}: {failed.job.name} cannot be made: {text}"


def _probe_around(file: str, line: int) -> str:
    """The innermost probe that decides whether a line of native/ is compiled; "" if none does."""
    try:
        lines = (NATIVE / Path(file).relative_to(_OURS)).read_text().splitlines()
    except (OSError, ValueError):
        return ""
    open_conditions: list[str] = []
    for each in lines[:line]:
        condition = _CONDITION.match(each)
        if condition is None:
            continue
        if condition[1].startswith("if"):
            open_conditions.append(condition[2])
        elif condition[1] == "endif" and open_conditions:
            open_conditions.pop()
    for text in reversed(open_conditions):
        probe = _PROBE.search(text)
        if probe:
            return probe[0]
    return ""
