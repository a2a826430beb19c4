# SPDX-License-Identifier: GPL-2.0-only
"""The exit code of a session of fuzzing."""

from typing import TYPE_CHECKING

from ..exit_codes import BAD_INPUT, FINE, INTERRUPTED, NO_VERDICT, OUR_MISTAKE, WORSE

if TYPE_CHECKING:
    from ..engines.summary import Summary


def session_code(summary: "Summary", failed: bool) -> int:
    """Return the exit code of a session.

    :param failed: whether the candidate has findings that count against it
    """
    from ..findings.found import CRASH
    from ..findings.replay import NO_ANSWER, NOT_JUDGED

    if summary.interrupted:
        return INTERRUPTED
    if summary.crashes or any(found.kind == CRASH for found in summary.unreplayed):
        return OUR_MISTAKE
    if any(f"{NOT_JUDGED}{signature}" in found.reason for found in summary.unreplayed for signature in NO_ANSWER):
        return NO_VERDICT
    if summary.trouble:
        return BAD_INPUT
    if not summary.programs:
        return NO_VERDICT
    if failed:
        return WORSE
    if summary.unknown:
        return NO_VERDICT
    return BAD_INPUT if summary.idle else FINE
