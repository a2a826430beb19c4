# SPDX-License-Identifier: GPL-2.0-only
"""The messages about a tree that does not build: the place of the first error, and whether it is the tree's or ours."""

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from .compiler import CompileFailedError
from .plan import BELOW, GENERATED, NATIVE, PROBES
from .probes import members
from .source import ARM, TreeSource

_OURS: Final = "native/"
_CONDITION: Final = re.compile(r"\s*#\s*(if|ifdef|ifndef|elif|else|endif)\b(.*)")
_PROBE: Final = re.compile(r"\bHAVE_\w+")
# gcc's message about a member that a structure or union lacks.
_NO_MEMBER: Final = re.compile(r"'(?P<type>[^']+)' has no member named '(?P<member>\w+)'")
_MISSING: Final = re.compile(r"(?:fatal error: )?(\S+\.h): No such file or directory")


def compile_message(source: TreeSource, failed: CompileFailedError, declared: list[str]) -> str:
    """Return a one-line message about a job that failed.

    :param declared: names of the probes that match the tree
    """
    file = os.path.normpath(failed.file) if failed.file else ""
    text = failed.text.replace(BELOW, "")
    if file.startswith(BELOW):
        return f"{source.name} does not compile: {file.removeprefix(BELOW)}:{failed.line}: {text}"
    missing = _MISSING.match(text)
    if missing and file.startswith(_OURS):
        return f"{source.name} lacks the header {missing[1]}, which {file}:{failed.line} needs; use a complete tree"
    if file.startswith((_OURS, f"{GENERATED}/")) or file == PROBES:
        probe = _probe_around(file, failed.line)
        answer = "the tree has it" if probe in declared else "the tree does not have it"
        place, said = f"{file}:{failed.line}", text + (f" (depends on {probe}: {answer})" if probe else "")
        if lacking := _NO_MEMBER.search(text):
            return _member_message(source, place, said, lacking)
        return (
            f"{source.name} and s2fuzz's own files do not compile together: {place}: {said}; fix whichever has changed"
        )
    return f"{source.name}: {failed.job.name} cannot be built: {text}"


def _member_message(source: TreeSource, place: str, said: str, lacking: re.Match[str]) -> str:
    """Return a one-line message about a member of a structure that a file of native/ needs.

    :param place: file and line
    :param said: the error of the compiler
    :param lacking: match of `_NO_MEMBER`
    """
    file, member = place.partition(":")[0], lacking["member"]
    remedy = f"use its name in candidate/tree/{file}"
    macro = next((name for name, each in members(source).items() if each == member), "")
    if file == PROBES and macro:
        # The line of the header only defines the macro.
        place, remedy = _place(macro), f"mend the pattern of {macro} in candidate/tree/building/probes.py"
    what = f"the member {member} of {lacking['type']}, which s2fuzz needs ({place}: {said})"
    return f"{source.name} lacks {what}; if the tree has renamed it, {remedy}"


def missing_message(source: TreeSource, names: Sequence[str], failed: Mapping[str, str]) -> str:
    """Return a one-line message about functions that a tree lacks.

    :param names: the names of the functions
    :param failed: files that a Makefile lists -> why they cannot be compiled
    """
    elsewhere = _file_with(source, names[0])
    calls = ", ".join(f"{name}()" for name in names)
    why = f"{elsewhere} defines {names[0]}(), but is not compiled here" if elsewhere else f"{_place(names[0])} calls it"
    if elsewhere in failed:
        return failed[elsewhere]
    return f"{source.name}: no compiled file defines {calls}, which s2fuzz calls: {why}"


def _file_with(source: TreeSource, name: str) -> str:
    """Return the path, below the tree, of the first file of KVM that defines a function; "" if none does."""
    head = re.compile(rf"^\w[^;{{=\n]*\b{name}\(", re.MULTILINE)
    for folder in (f"{ARM}/kvm", "virt/kvm"):
        for file in sorted((source.root / folder).rglob("*.c")):
            if head.search(file.read_text(encoding="utf-8", errors="replace")):
                return file.relative_to(source.root).as_posix()
    return ""


def _place(name: str) -> str:
    """Return the first place in native/ that has a name."""
    word = re.compile(rf"\b{name}\b")
    for file in sorted(NATIVE.glob("*.[ch]")):
        for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), 1):
            if word.search(line):
                return f"{_OURS}{file.name}:{number}"
    raise LookupError(name)


def _probe_around(file: str, line: int) -> str:
    """Return the innermost probe that decides whether a line of native/ is compiled; "" if none does."""
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
