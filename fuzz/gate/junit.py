# SPDX-License-Identifier: GPL-2.0-only
"""The outcome of a gate as JUnit XML: one test case for each rule, so that the list of cases stays the same.

It follows the schema that Jenkins uses. It has neither times nor host names, so the same outcome gives the same file.
"""

from typing import Final
from xml.etree import ElementTree

from ..checkers.registry import rules
from ..distribution import VERSION
from .outcome import NEW, Gate, GateFinding
from .wording import finding_text, known_line

SUITE: Final = "s2fuzz gate"
RULES: Final = "s2fuzz.rule"
DIFFERENCES: Final = "s2fuzz.difference"
OTHERS: Final = "s2fuzz.gate"
# Differences that the comparison of the two sides reports, without a rule.
_COMPARED: Final = ("map", "result", "VTCR_EL2")
_STALE: Final = "accepted findings match something"
_WHOLE: Final = "the outcome is complete"


def junit(gate: Gate) -> str:
    """Return the outcome as the text of a file."""
    summary = gate.summary
    name = f"{summary.candidate} against {summary.reference}"
    suite = ElementTree.Element("testsuite", name=clean(name))
    properties = ElementTree.SubElement(suite, "properties")
    about = {
        "s2fuzz": VERSION,
        "candidate": summary.candidate,
        "reference": summary.reference,
        "engine": summary.engine,
        "seed": str(summary.seed),
        "programs": str(summary.programs),
        "operations": str(summary.operations),
    }
    for key, value in about.items():
        ElementTree.SubElement(properties, "property", name=key, value=clean(value))
    named = [(RULES, rule.name) for rule in rules()] + [(DIFFERENCES, name) for name in _COMPARED]
    known = {name for _, name in named}
    # Findings without a rule, such as crashes of kernel code, get cases of their own.
    named += [(RULES, name) for name in sorted({each.rule for each in gate.findings} - known)]
    for group, rule in named:
        add_case(suite, group, rule, [each for each in gate.findings if each.rule == rule])
    if gate.strict:
        stale = [f"entry {entry.number} matches nothing: {entry.pattern}" for entry in gate.stale]
        fail(ElementTree.SubElement(suite, "testcase", classname=OTHERS, name=_STALE), "failure", "stale", stale)
    whole = ElementTree.SubElement(suite, "testcase", classname=OTHERS, name=_WHOLE)
    fail(whole, "error", "incomplete", gate.troubles)
    top = ElementTree.Element("testsuites", name=SUITE)
    for element in (top, suite):
        element.set("tests", str(len(suite.findall("testcase"))))
        for what, tag in (("failures", "failure"), ("errors", "error")):
            element.set(what, str(len(suite.findall(f"testcase/{tag}"))))
    top.append(suite)
    ElementTree.indent(top)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ElementTree.tostring(top, encoding="unicode") + "\n"


def add_case(suite: ElementTree.Element, group: str, rule: str, findings: list[GateFinding]) -> None:
    """Add the test case of a rule."""
    case = ElementTree.SubElement(suite, "testcase", classname=group, name=clean(rule))
    new = [each for each in findings if each.state == NEW]
    if new:
        kinds = sorted({each.record.kind for each in new})
        failure = ElementTree.SubElement(case, "failure", type=" ".join(kinds))
        failure.set("message", clean("; ".join(each.record.finding.title for each in new)))
        failure.text = clean("\n\n".join(finding_text(each) for each in new))
    known = [known_line(each) for each in findings if each.state != NEW]
    if known:
        ElementTree.SubElement(case, "system-out").text = clean("\n".join(known))


def fail(case: ElementTree.Element, tag: str, kind: str, lines: list[str]) -> None:
    """Add an element *tag* to a case, which makes it fail, if there are lines."""
    if lines:
        found = ElementTree.SubElement(case, tag, type=kind, message=clean(lines[0]))
        found.text = clean("\n".join(lines))


def clean(text: str) -> str:
    """Return a text in ASCII, without characters that XML forbids."""
    kept = "".join(each if each.isprintable() or each in "\n\t" else "?" for each in text)
    return kept.encode("ascii", "backslashreplace").decode()
