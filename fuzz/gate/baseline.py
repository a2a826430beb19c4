# SPDX-License-Identifier: GPL-2.0-only
"""The baseline of a gate: the findings of an earlier state of the code, in a JSON file that is kept with the code."""

import json
from typing import Any, Final

from ..judging.finding import Key
from ..language.program import MIB
from ..language.text import shown_name
from ..suggestions import near_file
from .outcome import CLASSES, Gate

_LAYOUT: Final = 1
_WANTED: Final = "a file that `s2fuzz gate --save-baseline` wrote"


class BaselineError(ValueError):
    """Raised when the file cannot be used; the message is one line: its name, the error, what is allowed."""


def baseline_text(gate: Gate) -> str:
    """Return the baseline for later gates: all findings that the candidate is responsible for, accepted or not."""
    findings = [
        {"class": kind, "signature": signature} for kind, signature in sorted(each.key for each in gate.findings)
    ]
    about = {
        "baseline": _LAYOUT,
        "reference": gate.summary.reference,
        "candidate": gate.summary.candidate,
        "seed": gate.summary.seed,
        "programs": gate.summary.programs,
        "findings": findings,
    }
    return json.dumps(about, indent=2) + "\n"


def load_baseline(path: str) -> list[Key]:
    """Read the findings of a baseline.

    :raises BaselineError: the file cannot be read, or is no baseline
    """
    name = shown_name(path)
    try:
        with open(path, "rb") as file:
            data = file.read(MIB + 1)
    except (OSError, ValueError) as error:
        wrong = getattr(error, "strerror", None) or str(error)
        hint = near_file(path) if isinstance(error, FileNotFoundError) else ""
        raise BaselineError(f"{name}: {wrong}{hint}; name {_WANTED}") from None
    try:
        content: Any = json.loads(data[: MIB + 1]) if len(data) <= MIB else None
        if content["baseline"] != _LAYOUT:
            raise ValueError
        found = [(str(each["class"]), str(each["signature"])) for each in content["findings"]]
    except (ValueError, TypeError, LookupError):
        raise BaselineError(f"{name}: no baseline; name {_WANTED}") from None
    for kind, signature in found:
        if kind not in CLASSES:
            raise BaselineError(f"{name}: class {kind[:40]!a} of {signature[:80]!a}; allowed: {', '.join(CLASSES)}")
    return found
