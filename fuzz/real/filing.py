# SPDX-License-Identifier: GPL-2.0-only
"""The stamp of a finding in its file, as a further comment on what the program shows."""

from pathlib import Path

from ..checkers.registry import rules
from ..files import write_atomically
from ..findings.found import comments_of
from ..findings.witness import with_stamp
from .answers import CREATION
from .run import RealRun
from .stamp import Stamp, stamp_of_absent


def text_of(file: str) -> str:
    """Return the text of a file; "" for the binary form, which has no comments, and for a FIFO, readable only once.

    :raises OSError: it cannot be read
    """
    path = Path(file)
    try:
        return path.read_text(encoding="utf-8") if path.is_file() else ""
    except UnicodeDecodeError:
        return ""


def signature_of(file: str) -> str:
    """Return the signature of the finding in a file; "" if it is not a finding.

    :raises OSError: it cannot be read
    """
    return comments_of(text_of(file)).get("signature", "")


def file_stamp(done: RealRun, absent: Stamp | None) -> str:
    """Write the stamp of a finding into its file, if the program is a finding; return the comment, or "".

    :param absent: the stamp of a finding that the model does not have; None: use the outcomes
    :raises OSError: the file cannot be read or written
    """
    stamp = stamp_for(done, signature_of(done.file), absent)
    if stamp is None:
        return ""
    comment = f"{stamp.word} on Linux {done.release}{': ' + stamp.why if stamp.why else ''}"
    write_atomically(Path(done.file), with_stamp(text_of(done.file), comment))
    return comment


def stamp_for(done: RealRun, signature: str, absent: Stamp | None) -> Stamp | None:
    """Return the stamp of a finding; None if the signature belongs to no rule (such as a divergence), or none is known.

    A finding of another version need not be a finding of the model. A machine that could not play the program gives no
    stamp, which would replace an earlier one.

    :param absent: as in `file_stamp`
    """
    if CREATION in done.answers.outcomes:
        return None
    for violation, stamp in done.stamps:
        if violation.signature == signature:
            return stamp
    if absent is not None:
        return absent
    checker = signature.partition(":")[0]
    if checker not in {rule.name for rule in rules()} or done.differences or done.answers.status:
        return None
    return stamp_of_absent(checker, done.model)
