# SPDX-License-Identifier: GPL-2.0-only
"""Output of commands: answers on stdout; on stderr one line for each message, whatever names it holds."""

import json
import sys
from argparse import Namespace
from typing import Any

from ..distribution import form, remark


class BadInputError(Exception):
    """Usage or input that is refused: a line for each argument."""


class NoVerdictError(Exception):
    """There is no verdict; one line that says why, and what to do."""


def one_line(text: str) -> str:
    """A text with each character that cannot be printed, line ends among them, as an escape sequence."""
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in text)


def complain(message: str) -> None:
    """Print one line on stderr."""
    print(f"s2fuzz: {one_line(message)}", file=sys.stderr)


def say_form(arguments: Namespace) -> None:
    """Tell people in which form this runs, where it takes its time, and anybody why it is not compiled."""
    if arguments.command != "run" and not arguments.json:
        complain(form())
    if remark():
        complain(remark())


def dump(answer: dict[str, Any]) -> None:
    """Print an answer as JSON."""
    print(json.dumps(answer, indent=2))
