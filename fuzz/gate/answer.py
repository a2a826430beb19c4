# SPDX-License-Identifier: GPL-2.0-only
"""The outcome of a gate for ``--json``: one object; keys stay, more may come.

``s2fuzz`` and ``form`` as in other answers, ``exit_code``; ``reference``, ``candidate``, ``seed``, ``programs``,
``operations``; ``verdict`` (one line), ``failed``; ``findings``, those that the candidate has to answer for: of each
``class``, ``signature``, ``state`` (``new``, ``in the baseline`` or ``accepted``), ``reason``, ``severity``,
``operation``, ``function``, ``file`` and ``line`` (or null), ``program`` (its text); ``gone``: of the baseline, of each
``class`` and ``signature``; ``stale``: entries of accepted findings that match nothing, of each ``number`` and
``pattern``; ``others`` (class -> findings that do not count); ``refused`` (why programs have no verdict -> how many);
``troubles`` (why the outcome is not the whole one).
"""

from typing import Any

from ..reports.answers import session_head
from .outcome import Gate, GateFinding
from .summary import verdict


def answer(gate: Gate) -> dict[str, Any]:
    """The outcome."""
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
    """A finding."""
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
