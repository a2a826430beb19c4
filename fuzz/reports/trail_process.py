# SPDX-License-Identifier: GPL-2.0-only
"""A process that finds the trail to a finding: a `fuzz.processes.child.Child`, ``fuzz.reports.trail_process``.

It runs as plain Python, because only then a port's calls are on Python's stack. Request and answer are JSON lines.
"""

import json
import sys
from typing import Any

import candidate

from ..findings.found import crash_reason
from ..judging.finding import Finding
from ..language.text import parse
from ..processes.parent import parent_of
from .trail import trail_of


def answer(request: dict[str, Any]) -> dict[str, Any]:
    """Return the trail, or why there is none: ``failed``."""
    try:
        versions = candidate.get(request["reference"]), candidate.get(request["candidate"])
        return trail_of(parse(request["program"]), *versions, Finding(*request["finding"])).to_wire()
    except Exception as error:
        return {"failed": crash_reason(error)}


def main() -> None:
    """Answer one request."""
    parent, _ = parent_of(sys.argv[1:])
    parent.tell(json.dumps(answer(json.loads(sys.stdin.readline()))).encode())


if __name__ == "__main__":
    main()
