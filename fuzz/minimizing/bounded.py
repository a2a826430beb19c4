# SPDX-License-Identifier: GPL-2.0-only
"""Reduction of a finding's program within a bound that does not depend on time: the same result everywhere."""

from dataclasses import replace
from typing import Final

import candidate

from ..findings.found import CRASH
from ..findings.record import FindingRecord
from ..findings.replay import Replayer
from ..judging.silence import hangs
from ..language.text import print_program
from .minimize import NotShownError, minimized
from .watched import WatchedJudge

# Upper bound of programs judged for a finding. Few findings need more to finish.
RUNS: Final = 100


def smaller(
    record: FindingRecord,
    reference: str,
    candidate_name: str,
    replayer: Replayer,
    runs: int = RUNS,
    seconds: float | None = None,
) -> FindingRecord:
    """Return the record with a smaller program, which a fresh process has confirmed; else the record unchanged.

    Slow cases are returned unchanged: kernel code that does not return, processes that die.

    :param reference: name of the version that the candidate is compared with
    :param candidate_name: name of the version under test
    :param replayer: replays the result
    :param runs: maximum number of programs that are judged
    :param seconds: time limit, after which the current run still finishes; None: no limit
    :raises KeyboardInterrupt: Ctrl-C
    """
    if record.kind == CRASH or hangs(record.signature):
        return record
    before = record.program
    with WatchedJudge(candidate.get(reference), candidate.get(candidate_name)) as judge:
        try:
            result = minimized(before, record.finding.key, judge, seconds, runs)
        except NotShownError:
            return record
    if result.interrupted:
        raise KeyboardInterrupt
    text = print_program(result.program)
    if text == record.text:
        return record
    for each in replayer.shows(text, reference, candidate_name):
        if each.key == record.finding.key:
            sizes = f"{len(before.operations)} operations to {len(result.program.operations)}"
            # The record is in no file yet.
            return replace(record, finding=each, text=text, minimized=sizes, path=None)
    return record
