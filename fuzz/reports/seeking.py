# SPDX-License-Identifier: GPL-2.0-only
"""The trail to a finding, computed in a process that may die or hang."""

import json
import subprocess
from dataclasses import astuple
from typing import Final

from ..findings.found import CRASH
from ..judging.finding import Finding
from ..judging.silence import is_silent
from ..language.program import Program
from ..language.text import print_program
from ..processes.child import Child
from .calls import calls_at
from .trail import Trail, function_of

# Seconds to wait for the process.
SEEK_TIMEOUT: Final = 180.0


def seek(program: Program, reference: str, candidate: str, finding: Finding, seconds: float = SEEK_TIMEOUT) -> Trail:
    """Return the trail to a finding, or why it is not known.

    :param program: a valid one
    :param reference: name of the version that the candidate is compared with
    :param candidate: name of the version under test
    :param finding: as the program shows it
    :param seconds: limit for the whole process
    :raises NoProcessError: the process cannot be started
    """
    if finding.kind == CRASH:
        return Trail(unknown="it is a mistake of s2fuzz")
    if is_silent(finding.signature):
        return Trail(calls_at(finding.reason), unknown="the kernel code does not return")
    request = {
        "program": print_program(program),
        "reference": reference,
        "candidate": candidate,
        "finding": astuple(finding),
    }
    with Child(
        "the process that looks at a finding",
        "fuzz.reports.trail_process",
        environment={"S2FUZZ_PURE": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as child:
        child.send(json.dumps(request).encode(), last=True)
        answer = child.line(seconds)
    found = json.loads(answer) if answer else {"failed": "the process that looks at it gave no answer"}
    if "failed" in found:
        return Trail(calls_at(finding.reason, function_of(finding.signature)), unknown=found["failed"])
    return Trail.from_wire(found)
