# SPDX-License-Identifier: GPL-2.0-only
"""What to say of a compiler run that failed: where the first error is, and whose it is."""

import os
from typing import Final

from .compiler import FailedError
from .plan import GENERATED, TREE
from .source import Source

_OURS: Final = "native/"


def said(source: Source, failed: FailedError, declared: list[str]) -> str:
    """One line for people.

    :param declared: names of the probes that the tree has
    """
    job = failed.job.name
    file = os.path.normpath(failed.file) if failed.file else ""
    if file.startswith(f"{TREE}/"):
        place = f"{file.removeprefix(f'{TREE}/')}:{failed.line}"
        return f"{source.name} does not compile: {place}: {failed.text}"
    if file.startswith((_OURS, f"{GENERATED}/")):
        found = ", ".join(declared) or "none"
        return (
            f"{source.name} does not fit s2fuzz's own headers: {file}:{failed.line}: {failed.text}"
            f" (probes that the tree answers: {found})"
        )
    return f"{source.name}: {job} cannot be made: {failed.text}"
