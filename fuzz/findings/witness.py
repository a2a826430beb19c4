# SPDX-License-Identifier: GPL-2.0-only
"""The stamp of a real kernel on a finding: a comment in its file, written by `fuzz.real` and shown in reports."""

import os
from pathlib import Path
from typing import Final

from .found import comments_of

KEY: Final = "real"
# Prefix of the stamp's line in a report.
STAMP_PREFIX: Final = "real kernel: "
_BEGINNING: Final = f"# {KEY}: "


def with_stamp(text: str, stamp: str) -> str:
    """Return a program with this stamp after its other comments; it replaces an earlier stamp.

    :param text: of the program's file
    """
    lines = text.splitlines()
    end = next((number for number, line in enumerate(lines) if not line.startswith("#")), len(lines))
    head = [line for line in lines[:end] if not line.startswith(_BEGINNING)]
    return "\n".join([*head, _BEGINNING + " ".join(stamp.split()), *lines[end:]]) + "\n"


def stamp_in(text: str, signature: str) -> str:
    """Return the stamp in the file of a finding; "" if there is none, or the file belongs to another finding.

    :param text: of the file
    :param signature: of the finding
    """
    comments = comments_of(text)
    return comments.get(KEY, "") if comments.get("signature") == signature else ""


def stamp_of(file: str | os.PathLike[str], signature: str) -> str:
    """Return the stamp in a file; "" if there is none, or the file is not a regular text file."""
    path = Path(file)
    try:
        # A FIFO or standard input can be read only once.
        return stamp_in(path.read_text(encoding="utf-8"), signature) if path.is_file() else ""
    except (OSError, ValueError):
        return ""
