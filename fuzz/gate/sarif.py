# SPDX-License-Identifier: GPL-2.0-only
"""The outcome of a gate as SARIF 2.1.0: findings with file and line, for code scanning.

The place is the innermost line of the candidate on the way to the finding, or else the line of the kernel function. The
signature is the fingerprint, so a finding keeps its identity when lines move.
"""

import json
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from ..checkers.registry import rules
from ..checkers.rule import Rule
from ..checkers.severity import Severity
from ..distribution import VERSION
from ..judging.finding import REGRESSION
from .outcome import ACCEPTED, BEFORE, NEW, Gate, GateFinding
from .wording import finding_text

SCHEMA: Final = "https://json.schemastore.org/sarif-2.1.0.json"
FINGERPRINT: Final = "s2fuzzSignature/v1"
# The name and the sentence for differences that no rule forbids.
DIFFERENCE: Final = "difference"
_DIFFERENCE: Final = "The two versions give the same results and the same tables."
_DIFFERENCE_WHY: Final = "Guest or host can see the difference, so somebody must confirm that it is intended."
_STATES: Final = {NEW: "new", BEFORE: "unchanged", ACCEPTED: "unchanged"}


def sarif(gate: Gate) -> str:
    """Return the outcome as the text of a file."""
    declared = [*(rule_object(rule) for rule in rules()), difference_object()]
    numbers = {rule["id"]: number for number, rule in enumerate(declared)}
    summary = gate.summary
    driver = {
        "name": "s2fuzz",
        "version": VERSION,
        "semanticVersion": VERSION,
        "rules": declared,
    }
    run = {
        "tool": {"driver": driver},
        "columnKind": "utf16CodeUnits",
        "automationDetails": {"id": f"s2fuzz/{summary.candidate} against {summary.reference}/"},
        "invocations": [invocation(gate)],
        "results": [result(each, numbers, gate.compared) for each in gate.findings],
        "properties": {"seed": summary.seed, "programs": summary.programs, "operations": summary.operations},
    }
    return json.dumps({"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}, indent=2) + "\n"


def rule_object(rule: Rule) -> dict[str, Any]:
    """Return the ``reportingDescriptor`` of a rule."""
    return {
        "id": rule.name,
        "shortDescription": {"text": sentence(rule.holds)},
        "fullDescription": {"text": f"{sentence(rule.holds)} {sentence(rule.why)}"},
        "defaultConfiguration": {"level": "error"},
        "properties": {"tags": [rule.severity.name.lower()]},
    }


def difference_object() -> dict[str, Any]:
    """Return the ``reportingDescriptor`` for differences that no rule forbids."""
    return {
        "id": DIFFERENCE,
        "shortDescription": {"text": _DIFFERENCE},
        "fullDescription": {"text": f"{_DIFFERENCE} {_DIFFERENCE_WHY}"},
        "defaultConfiguration": {"level": "warning"},
        "properties": {"tags": [Severity.DIFFERENCE.name.lower()]},
    }


def invocation(gate: Gate) -> dict[str, Any]:
    """Return the ``invocation``; its notifications tell why the outcome may be incomplete."""
    notes = [{"level": "error", "message": {"text": each}} for each in gate.troubles]
    notes += [
        {
            "level": "warning",
            "message": {"text": f"entry {each.number} of accepted findings matches nothing: {each.pattern}"},
        }
        for each in gate.stale
    ]
    found: dict[str, Any] = {"executionSuccessful": not gate.troubles}
    return {**found, "toolExecutionNotifications": notes} if notes else found


def result(found: GateFinding, numbers: dict[str, int], compared: bool) -> dict[str, Any]:
    """Return the ``result`` of a finding.

    :param numbers: indices of the rules, by their ids
    :param compared: there is a baseline
    """
    record = found.record
    rule = found.rule if found.rule in numbers else DIFFERENCE
    told: dict[str, Any] = {
        "ruleId": rule,
        "ruleIndex": numbers[rule],
        "kind": "fail",
        "level": "error" if record.kind == REGRESSION else "warning",
        "message": {"text": finding_text(found)},
        "locations": [location(found)],
        "partialFingerprints": {FINGERPRINT: record.finding.title},
        "properties": {"class": record.kind, "severity": found.severity},
    }
    if compared:
        told["baselineState"] = _STATES[found.state]
    if found.entry is not None:
        told["suppressions"] = [{"kind": "external", "justification": found.entry.text}]
    return told


def location(found: GateFinding) -> dict[str, Any]:
    """Return the ``location`` of a finding: file and line if they are known, and the function."""
    place = found.place()
    told: dict[str, Any] = {}
    if place.file:
        told["physicalLocation"] = {"artifactLocation": {"uri": uri(place.file)}}
        if place.line:
            told["physicalLocation"]["region"] = {"startLine": place.line}
    if place.function:
        told["logicalLocations"] = [{"name": place.function, "kind": "function"}]
    return told


def uri(file: str) -> str:
    """Return a file as a URI; relative to the checkout if the file is in it."""
    path = Path(file)
    return path.as_uri() if path.is_absolute() else quote(path.as_posix())


def sentence(text: str) -> str:
    """Return a text of a rule as a sentence."""
    return f"{text[:1].upper()}{text[1:]}."
