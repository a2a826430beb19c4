# SPDX-License-Identifier: GPL-2.0-only
"""The stamp of a finding in its file, as one more of the comments that say what the program shows."""

from pathlib import Path

from ..checkers.registry import rules
from ..files import write_atomically
from ..findings.found import comments_of
from ..findings.witness import with_stamp
from .run import RealRun
from .stamp import Stamp, stamp_of_absent


def file_stamp(done: RealRun) -> str:
    """Write the stamp of a finding into its file, if the program is one; the comment, or "".

    :raises OSError: the file cannot be read or written
    """
    path = Path(done.file)
    if not path.is_file():
        # Standard input, or a FIFO.
        return ""
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        # The binary form has no comments.
        return ""
    stamp = stamp_for(done, comments_of(text).get("signature", ""))
    if stamp is None:
        return ""
    comment = f"{stamp.word} on Linux {done.release}{': ' + stamp.why if stamp.why else ''}"
    write_atomically(path, with_stamp(text, comment))
    return comment


def stamp_for(done: RealRun, signature: str) -> Stamp | None:
    """The stamp of a finding of this signature; None: it is that of no rule, such as a divergence, or nobody can tell.

    A finding of another version need not be one of the model.
    """
    for violation, stamp in done.stamps:
        if violation.signature == signature:
            return stamp
    checker = signature.partition(":")[0]
    if checker not in {rule.name for rule in rules()} or done.differences or done.answers.status:
        return None
    return stamp_of_absent(checker, done.model)
