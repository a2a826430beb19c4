# SPDX-License-Identifier: GPL-2.0-only
"""The outcome of a gate for ``--json``: one object. Its keys are stable; more may be added.

``s2fuzz`` and ``form`` as in other answers, ``exit_code``; ``reference``, ``candidate``, ``seed``, ``programs``,
``operations``; ``verdict`` (one line), ``failed``; ``findings``: those that the candidate is responsible for, each with
``class``, ``signature``, ``state`` (``new``, ``in the baseline`` or ``accepted``), ``reason``, ``severity``,
``operation``, ``function``, ``file`` and ``line`` (or null), ``program`` (its text); ``gone``: findings of the baseline
that no longer appear, each with ``class`` and ``signature``; ``stale``: entries of accepted findings that match
nothing, each with ``number`` and ``pattern``; ``others`` (class -> number of findings that do not count); ``refused``
(reason for no verdict -> number of programs); ``troubles`` (reasons why the outcome is incomplete).
"""

from typing import Any

from ..reports.answers import session_head
from .outcome import Gate, GateFinding
from .summary import verdict


def answer(gate: Gate) -> dict[str, Any]:
    """Return the outcome of a gate as an object for JSON."""
    summary = gate.summary
    return {
        **session_head(summary),
        "verdict": verdict(gate),
        "failed": gate.failed,
        "findings": [found_answer(each) for each in gate.findings],
        "gone": [{"class": kind, "signature": signature} for kind, signature in gate.gone],
        "stale": [{"number": each.number, "pattern": each.pattern} for each in gate.stale],
        "others": dict(gate.others),
        "refused": summary.refused,
        "troubles": gate.troubles,
    }


def found_answer(found: GateFinding) -> dict[str, Any]:
    """Return a finding as an object for JSON."""
    record, place = found.record, found.place()
    return {
        "class": record.kind,
        "signature": record.signature,
        "state": found.state,
        "reason": record.reason,
        "severity": found.severity,
        "operation": record.where(),
        "function": place.function or None,
        "file": place.file or None,
        "line": place.line or None,
        "program": record.text,
    }
