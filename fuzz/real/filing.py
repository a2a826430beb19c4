# SPDX-License-Identifier: GPL-2.0-only
"""The stamp of a finding in its file, as one more of the comments that say what the program shows."""

from pathlib import Path
from typing import Final

from ..files import write_atomically
from ..findings.found import comments_of
from .run import RealRun

KEY: Final = "real"
_BEGINNING: Final = f"# {KEY}: "


def file_stamp(done: RealRun) -> str:
    """Write the stamp of a finding into its file, if the program is one; the comment, or "".

    :raises OSError: the file cannot be read or written
    """
    path = Path(done.file)
    text = path.read_text()
    signature = comments_of(text).get("signature")
    for violation, stamp in done.stamps:
        if violation.signature == signature:
            comment = f"{stamp.word} on Linux {done.release}{': ' + stamp.why if stamp.why else ''}"
            write_atomically(path, with_comment(text, comment))
            return comment
    return ""


def with_comment(text: str, comment: str) -> str:
    """A program with this stamp behind its other comments, in place of one of an earlier run."""
    lines = text.splitlines()
    end = next((number for number, line in enumerate(lines) if not line.startswith("#")), len(lines))
    head = [line for line in lines[:end] if not line.startswith(_BEGINNING)]
    return "\n".join([*head, _BEGINNING + " ".join(comment.split()), *lines[end:]]) + "\n"
