# SPDX-License-Identifier: GPL-2.0-only
"""Output of commands: answers on stdout; on stderr one line per message, whatever names the message contains."""

import json
import sys
from argparse import Namespace
from typing import Any

from ..distribution import form, remark


class BadInputError(Exception):
    """Refused usage or input, with one line per argument."""


class NoVerdictError(Exception):
    """There is no verdict; the message is one line on why, and what to do."""


def one_line(text: str) -> str:
    """Replace unprintable characters, including line ends, by escape sequences."""
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in text)


def complain(message: str) -> None:
    """Print one line on stderr."""
    print(f"s2fuzz: {one_line(message)}", file=sys.stderr)


def say_form(arguments: Namespace) -> None:
    """Report the form in which this runs, for people and long commands; always report why it is not compiled."""
    if arguments.command != "run" and not arguments.json:
        complain(form())
    if remark():
        complain(remark())


def dump(answer: dict[str, Any]) -> None:
    """Print an answer as JSON."""
    print(json.dumps(answer, indent=2))
