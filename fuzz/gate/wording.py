# SPDX-License-Identifier: GPL-2.0-only
"""Descriptions of the findings of a gate, in plain text."""

import textwrap

from ..checkers.registry import rule_of
from ..language.text import print_program
from ..reports.account_text import folded
from .outcome import ACCEPTED, GateFinding


def finding_text(found: GateFinding) -> str:
    """Return a finding with all details: what is wrong, why it matters, the way to it, the program."""
    record, rule = found.record, rule_of(found.record.signature)
    lines = [f"{record.kind}: {record.signature}", f"  {record.reason}", f"  at {record.where()}"]
    if note := record.note():
        lines.append(f"  ({note})")
    if rule is not None:
        lines += [f"  rule: {rule.broken(record.signature)}", f"  why: {rule.reason(record.signature)}"]
    lines.append(f"  in {place_text(found)}")
    calls = " > ".join(call.function for call in folded(found.trail.calls))
    lines += [f"  by {calls}"] if calls else []
    return "\n".join([*lines, "", textwrap.indent(print_program(record.program), "    ").rstrip("\n")])


def place_text(found: GateFinding) -> str:
    """Return the place to look at: ``file:line, function``."""
    place = found.place()
    return f"{place.place}, {place.function}" if place.place else place.function or "an unknown place"


def known_line(found: GateFinding) -> str:
    """Return one line on a finding that does not fail the gate, and why it does not."""
    why = f"{found.state}: {found.entry.text}" if found.state == ACCEPTED and found.entry else found.state
    return f"{found.record.finding.title} ({why})"
