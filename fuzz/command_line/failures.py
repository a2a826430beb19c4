# SPDX-License-Identifier: GPL-2.0-only
"""Failures that end a command before it has an answer: their exit codes and messages."""

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

# Errors that the system returns at a limit of memory, files or processes.
_LIMITS: Final = (errno.EAGAIN, errno.ENOMEM, errno.EMFILE, errno.ENFILE)
_WRITING: Final = ("fuzz.command_line", "fuzz.reports", "coverage")


def report_failure(arguments: Namespace, code: int, kind: str, error: Exception) -> int:
    """Report why there is no answer: a line on stderr, with ``--json`` also an object.

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
    """Return the exit code and the message for an unhandled error of the system.

    An error with a file name is about a file that is read or written. In a module that prints answers, it is a failure
    to write the answer. Otherwise the function that raised it decides.
    """
    why = f"{error.strerror or error}{remedy(error)}"
    if error.filename is not None:
        return BAD_INPUT, f"{error.filename}: {why}"
    *_, (frame, _) = walk_tb(error.__traceback__)
    module = str(frame.f_globals.get("__name__", ""))
    limited = error.errno in _LIMITS and not hasattr(error, "characters_written")
    if module == "tempfile":
        return NO_VERDICT, f"cannot create a temporary file: {why}"
    if limited or module in ("subprocess", "threading"):
        return NO_VERDICT, f"{module}.{frame.f_code.co_name}() failed, so the command ended: {why}"
    if module.startswith(_WRITING):
        return BAD_INPUT, f"cannot write the answer: {why}"
    return BAD_INPUT, f"{module}.{frame.f_code.co_name}() failed: {why}"
