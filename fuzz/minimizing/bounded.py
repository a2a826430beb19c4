# SPDX-License-Identifier: GPL-2.0-only
"""A finding's program made smaller within a bound that no clock decides: the same everywhere."""

from dataclasses import replace
from typing import Final

import candidate

from ..findings.found import CRASH
from ..findings.record import FindingRecord
from ..findings.replay import Replayer
from ..judging.silence import is_silent
from ..language.text import print_program
from .minimize import NotShownError, minimized
from .watched import WatchedJudge

# Programs judged for a finding; few need more to the end.
RUNS: Final = 100


def smaller(
    record: FindingRecord,
    reference: str,
    patched: str,
    replayer: Replayer,
    runs: int = RUNS,
    seconds: float | None = None,
) -> FindingRecord:
    """Return the record with a smaller program, which a fresh process has shown to show the finding; else as it is.

    What takes its time is left as it is: kernel code that does not come back, processes that die.

    :param reference: name of the version that the candidate is compared with
    :param patched: name of the version under test
    :param replayer: replays the result
    :param runs: programs that are judged at most
    :param seconds: at most so long, to the end of the run of then; None: no limit
    :raises KeyboardInterrupt: Ctrl-C
    """
    if record.kind == CRASH or is_silent(record.signature):
        return record
    before = record.program
    with WatchedJudge(candidate.get(reference), candidate.get(patched)) as judge:
        try:
            result = minimized(before, record.finding.key, judge, seconds, runs)
        except NotShownError:
            return record
    if result.interrupted:
        raise KeyboardInterrupt
    text = print_program(result.program)
    if text == record.text:
        return record
    for each in replayer.shows(text, reference, patched):
        if each.key == record.finding.key:
            sizes = f"{len(before.operations)} operations to {len(result.program.operations)}"
            # In no file yet.
            return replace(record, finding=each, text=text, minimized=sizes, path=None)
    return record
