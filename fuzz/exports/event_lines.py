# SPDX-License-Identifier: GPL-2.0-only
"""The events of a run as JSON, one object per line, for other tools."""

import ast
import json
from functools import cache
from pathlib import Path
from typing import Any, Final

import reference
from candidate import Candidate
from reference.events import Observer
from reference.machine.instructions import text

from ..engines.repeated import EventStream
from ..execution.executor import Executor
from ..execution.refusal import UnmodelledError
from ..language.program import Program
from ..language.text import headings

# Compiled methods have no names of parameters, so these are read from the source.
SOURCE: Final = Path(str(reference.__file__)).parent / "events.py"


@cache
def parameters() -> dict[str, tuple[str, ...]]:
    """Return the names of the parameters of each event."""
    classes = (each for each in ast.parse(SOURCE.read_text()).body if isinstance(each, ast.ClassDef))
    found = next(each for each in classes if each.name == Observer.__name__)
    methods = (each for each in found.body if isinstance(each, ast.FunctionDef))
    return {each.name: tuple(argument.arg for argument in each.args.args[1:]) for each in methods}


def event_lines(version: Candidate, program: Program) -> list[str]:
    """Run a program on one side, and return its events, outcomes and violations, one JSON object per line.

    The events of an operation follow an object with its text and number; -1 is the creation of the VMs. Events have the
    names and parameters of `reference.events.Observer`; an instruction also has its ``text``.

    :raises UnmodelledError: the program needs a part of the version that is not modelled
    """
    executor = Executor(version, program)
    events = EventStream()
    executor.side.kernel.observe(events)
    lines: list[dict[str, Any]] = []
    last = len(program.operations)
    for at, heading in enumerate(headings(program), -1):
        if 0 <= at < last and executor.dead:
            continue
        outcome, violations = executor.perform(at)
        lines.append({"operation": at, "text": heading})
        for event in events.found:
            name = str(event[0])
            line: dict[str, Any] = {"event": name, **dict(zip(parameters()[name], event[1:], strict=True))}
            if name == "instruction":
                line["text"] = text(line["op"], line["operand"])
            lines.append(line)
        events.found.clear()
        if outcome is not None:
            lines.append({"outcome": outcome.status, "value": str(outcome.value_text())})
        lines += [{"violation": each.signature, "reason": each.reason} for each in violations]
    executor.dismantle()
    if executor.refused:
        # Incomplete events must not be taken for complete ones.
        raise UnmodelledError(executor.refused)
    return [json.dumps(each) for each in lines]
