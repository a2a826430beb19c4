# SPDX-License-Identifier: GPL-2.0-only
"""The rules of the two formats, as far as our files use them: allowed and required parts of an element or object.

JUnit: the schema of Jenkins' xUnit plugin. SARIF: the schema of version 2.1.0, which allows other properties only below
``properties`` and ``partialFingerprints``.
"""

import json
import re
from collections.abc import Callable
from typing import Any, Final
from xml.etree import ElementTree

# For each element: its attributes (those with ! are required), its children in order, whether it has text.
JUNIT: Final[dict[str, tuple[tuple[str, ...], tuple[str, ...], bool]]] = {
    "testsuites": (("name", "tests", "failures", "errors"), ("testsuite",), False),
    "testsuite": (
        ("name!", "tests!", "failures", "errors"),
        ("properties", "testcase", "system-out", "system-err"),
        False,
    ),
    "properties": ((), ("property",), False),
    "property": (("name!", "value!"), (), False),
    "testcase": (("name!", "classname"), ("skipped", "error", "failure", "system-out", "system-err"), False),
    "failure": (("type", "message"), (), True),
    "error": (("type", "message"), (), True),
    "system-out": ((), (), True),
}
# Elements that may occur once.
ONCE: Final = ("properties", "skipped")


def check_junit(text: str) -> ElementTree.Element:
    """Check that a JUnit file is valid; return its root."""
    root = ElementTree.fromstring(text)
    assert root.tag == "testsuites"
    left = [root]
    while left:
        element = left.pop()
        attributes, children, has_text = JUNIT[element.tag]
        assert set(element.attrib) <= {name.rstrip("!") for name in attributes}, element.tag
        assert {name[:-1] for name in attributes if name.endswith("!")} <= set(element.attrib), element.tag
        tags = [child.tag for child in element]
        assert set(tags) <= set(children), element.tag
        assert tags == sorted(tags, key=children.index), element.tag
        assert all(tags.count(tag) <= 1 for tag in ONCE)
        assert has_text or not (element.text or "").strip(), element.tag
        left += list(element)
    for suite in (root, *root):
        cases = list(suite.iter("testcase"))
        assert suite.get("tests") == str(len(cases))
        assert suite.get("failures") == str(sum(case.find("failure") is not None for case in cases))
        assert suite.get("errors") == str(sum(case.find("error") is not None for case in cases))
    names = [(case.get("classname"), case.get("name")) for case in root.iter("testcase")]
    assert len(set(names)) == len(names)
    return root


def text(value: Any) -> None:
    assert isinstance(value, str)
    assert value


def number(value: Any) -> None:
    assert type(value) is int
    assert value >= 1


def index(value: Any) -> None:
    assert type(value) is int
    assert value >= 0


def flag(value: Any) -> None:
    assert type(value) is bool


def anything(value: Any) -> None:
    assert isinstance(value, dict)


def one_of(*allowed: str) -> Callable[[Any], None]:
    def check(value: Any) -> None:
        assert value in allowed

    return check


def uri(value: Any) -> None:
    """Check a URI reference (RFC 3986) that names a file."""
    assert re.fullmatch(r"(?:file://)?[A-Za-z0-9._~/%+@:=-]+", value), value


def texts(value: Any) -> None:
    assert isinstance(value, dict)
    assert all(isinstance(each, str) for each in (*value, *value.values()))


def many(check: Callable[[Any], None], least: int = 0) -> Callable[[Any], None]:
    def each(value: Any) -> None:
        assert isinstance(value, list)
        assert len(value) >= least
        for one in value:
            check(one)

    return each


def an_object(**fields: Callable[[Any], None]) -> Callable[[Any], None]:
    """Return a check for an object with only these properties; those whose names end in ``_`` are required."""
    known = {name.rstrip("_"): check for name, check in fields.items()}
    required = {name.rstrip("_") for name in fields if name.endswith("_")}

    def check(value: Any) -> None:
        assert isinstance(value, dict)
        assert set(value) <= set(known), set(value) - set(known)
        assert required <= set(value), required - set(value)
        for name, one in value.items():
            known[name](one)

    return check


MESSAGE: Final = an_object(text_=text)
LEVEL: Final = one_of("none", "note", "warning", "error")
RULE: Final = an_object(
    id_=text,
    shortDescription=MESSAGE,
    fullDescription=MESSAGE,
    defaultConfiguration=an_object(level=LEVEL),
    properties=anything,
)
LOCATION: Final = an_object(
    physicalLocation=an_object(artifactLocation=an_object(uri=uri), region=an_object(startLine=number)),
    logicalLocations=many(an_object(name=text, kind=text)),
)
RESULT: Final = an_object(
    ruleId=text,
    ruleIndex=index,
    kind=one_of("notApplicable", "pass", "fail", "review", "open", "informational"),
    level=LEVEL,
    message_=MESSAGE,
    locations=many(LOCATION),
    partialFingerprints=texts,
    baselineState=one_of("new", "unchanged", "updated", "absent"),
    suppressions=many(an_object(kind_=one_of("inSource", "external"), justification=text)),
    properties=anything,
)
NOTIFICATION: Final = an_object(level=LEVEL, message_=MESSAGE)
RUN: Final = an_object(
    tool_=an_object(driver_=an_object(name_=text, version=text, semanticVersion=text, rules=many(RULE))),
    columnKind=one_of("utf16CodeUnits", "unicodeCodePoints"),
    automationDetails=an_object(id=text),
    invocations=many(an_object(executionSuccessful_=flag, toolExecutionNotifications=many(NOTIFICATION))),
    results=many(RESULT),
    properties=anything,
)


def check_sarif(told: str) -> dict[str, Any]:
    """Check that a SARIF file is valid; return its run."""
    log = json.loads(told)
    assert set(log) == {"$schema", "version", "runs"}
    assert log["version"] == "2.1.0"
    assert log["$schema"].endswith("sarif-2.1.0.json")
    (run,) = log["runs"]
    RUN(run)
    rules = [rule["id"] for rule in run["tool"]["driver"]["rules"]]
    assert len(set(rules)) == len(rules)
    for result in run["results"]:
        assert rules[result["ruleIndex"]] == result["ruleId"]
        # Code scanning shows no result without a file.
        assert result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"]
    found: dict[str, Any] = run
    return found
