# SPDX-License-Identifier: GPL-2.0-only
"""Failures that end a command before it has an answer: which they are, and how they are told."""

import errno
import sys
from argparse import Namespace
from traceback import walk_tb
from typing import Final

from ..distribution import VERSION, form
from ..exit_codes import BAD_INPUT, NO_VERDICT
from ..processes.starting import remedy
from ..suggestions import suggestion
from .messages import complain, dump

# The errors by which the system refuses more memory, files or processes.
_LIMITS: Final = (errno.EAGAIN, errno.ENOMEM, errno.EMFILE, errno.ENFILE)
_WRITING: Final = ("fuzz.command_line", "fuzz.reports", "coverage")


def report_failure(arguments: Namespace, code: int, kind: str, error: Exception) -> int:
    """Tell why there is no answer: a line on stderr, with ``--json`` also an object.

    :param kind: ``candidate`` or ``no verdict``
    :returns: *code*
    """
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    if kind == "candidate" and isinstance(error.__cause__, Exception):
        text += suggestion(error.__cause__)
    message = " ".join(text.split())
    if getattr(arguments, "json", False):
        about = {"kind": kind, "message": message}
        dump({"s2fuzz": VERSION, "form": form(), "exit_code": code, "error": about})
        sys.stdout.flush()
    complain(message)
    return code


def failure(error: OSError) -> tuple[int, str]:
    """The exit code, and what failed, of an error of the system that nobody has handled.

    Files that are read or written are named; the answer is what commands print; the rest goes by the function.
    """
    why = f"{error.strerror or error}{remedy(error)}"
    if error.filename is not None:
        return BAD_INPUT, f"{error.filename}: {why}"
    *_, (frame, _) = walk_tb(error.__traceback__)
    module = str(frame.f_globals.get("__name__", ""))
    limited = error.errno in _LIMITS and not hasattr(error, "characters_written")
    if module == "tempfile":
        return NO_VERDICT, f"no temporary file can be made: {why}"
    if limited or module in ("subprocess", "threading"):
        return NO_VERDICT, f"{module}.{frame.f_code.co_name}() failed, and with it the command: {why}"
    if module.startswith(_WRITING):
        return BAD_INPUT, f"cannot write the answer: {why}"
    return BAD_INPUT, f"{module}.{frame.f_code.co_name}() failed: {why}"
