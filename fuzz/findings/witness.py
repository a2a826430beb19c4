# SPDX-License-Identifier: GPL-2.0-only
"""The stamp of a real kernel on a finding: one more comment of its file, which `fuzz.real` writes and reports show."""

import os
from pathlib import Path
from typing import Final

from .found import comments_of

KEY: Final = "real"
# Beginning of the line of a report that has it.
SAID: Final = "real kernel: "
_BEGINNING: Final = f"# {KEY}: "


def with_stamp(text: str, stamp: str) -> str:
    """A program with this stamp behind its other comments, in place of one of an earlier run.

    :param text: of its file
    """
    lines = text.splitlines()
    end = next((number for number, line in enumerate(lines) if not line.startswith("#")), len(lines))
    head = [line for line in lines[:end] if not line.startswith(_BEGINNING)]
    return "\n".join([*head, _BEGINNING + " ".join(stamp.split()), *lines[end:]]) + "\n"


def stamp_in(text: str, signature: str) -> str:
    """The stamp in the file of a finding; "": there is none, or the file is another finding's.

    :param text: of the file
    :param signature: of the finding
    """
    comments = comments_of(text)
    return comments.get(KEY, "") if comments.get("signature") == signature else ""


def stamp_of(file: str | os.PathLike[str], signature: str) -> str:
    """The stamp in a file; "" where there is none, or no file of text that can be read twice."""
    path = Path(file)
    try:
        # A FIFO, or standard input, gives its program once.
        return stamp_in(path.read_text(encoding="utf-8"), signature) if path.is_file() else ""
    except (OSError, ValueError):
        return ""
