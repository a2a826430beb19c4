# SPDX-License-Identifier: GPL-2.0-only
"""The comment lines of a regression test that state what each version shows on it.

``# expect NAME: CLASS SIGNATURE``, one line for each finding, or ``# expect NAME: nothing``; against the original,
or against the version of a line ``# reference: NAME``. ``tests/corpus/test_regressions.py`` checks the versions.
"""

from collections.abc import Iterable
from typing import Final

import candidate

from ..findings.found import CRASH, comments_of
from ..findings.replay import Replayer
from ..judging.silence import is_silent
from ..language.program import Program
from ..language.text import print_program

_START: Final = "# expect "


class PromotionError(ValueError):
    """The program cannot be a regression test; one line."""


def reference_of(text: str) -> str:
    """Return the name of the version that the program of a regression test is judged against.

    :param text: the text of the file
    """
    return comments_of(text).get("reference", candidate.names()[0])


def expectations(program: Program, replayer: Replayer, reference: str, names: Iterable[str]) -> list[str]:
    """Return an ``expect`` line for each finding of some versions against *reference*, each in a fresh process.

    :raises PromotionError: a version crashes on it, so there is no expectation
    """
    text = print_program(program)
    lines: list[str] = []
    for name in names:
        keys = replayer.keys(text, reference, name)
        if any(is_silent(signature) for _, signature in keys):
            # A single silent run is not conclusive.
            keys = replayer.keys(text, reference, name)
        shown = sorted(keys)
        for kind, signature in shown:
            if kind == CRASH:
                raise PromotionError(f"{name} has no verdict on it: {signature}; promote a program that has one")
            lines.append(f"{_START}{name}: {kind} {signature}")
        if not shown:
            lines.append(f"{_START}{name}: nothing")
    return lines


def with_expectations(text: str, name: str, expected: list[str]) -> str:
    """Return the text of a regression test with these lines for one version, in the order of the versions.

    :param expected: all lines of the version *name*
    """
    lines = text.splitlines()
    head = next((at for at, line in enumerate(lines) if not line.startswith("#")), len(lines))
    others = [line for line in lines[:head] if line.startswith(_START) and _name_in(line) != name]
    rest = [line for line in lines[:head] if not line.startswith(_START)]
    order = {each: at for at, each in enumerate(candidate.names())}
    ordered = sorted([*others, *expected], key=lambda line: order.get(_name_in(line), len(order)))
    return "\n".join([*rest, *ordered, *lines[head:]]) + "\n"


def _name_in(line: str) -> str:
    return line.removeprefix(_START).partition(":")[0]
