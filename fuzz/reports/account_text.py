# SPDX-License-Identifier: GPL-2.0-only
"""The account of a finding as text: plain and 72 columns wide for a mail; as Markdown; in colour."""

import re
import shlex
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from candidate import is_file
from candidate.tree import PREFIX

from ..distribution import VERSION
from ..findings.found import CRASH, called, commented
from ..findings.witness import KEY
from ..judging.finding import COMMON, CURED, DIVERGENCE, REGRESSION
from ..language.text import headings
from .account import CODE, Account
from .calls import KernelCall, without_place
from .trail import function_of

WIDTH: Final = 72
_INDENT: Final = "  "
# `rich` styles for the headline, by class, and for headings.
COLOURS: Final = {REGRESSION: "bold red", DIVERGENCE: "bold yellow", COMMON: "bold", CURED: "bold green"}
HEADING: Final = "bold cyan"
_NO_RULE: Final = (
    "none: results of operations, dirty logs or the tables themselves are not the same on both sides. A patch that"
    " maps differently on purpose shows this, and nothing worse."
)
_NO_RULE_WHY: Final = "guest or host can see it, so somebody must confirm that it is intended."
_ABOUT: Final = (
    "s2fuzz runs programs of guest accesses and host operations on two versions of KVM/arm64's stage-2 page-table code,"
    " in user space on a model of the hardware, and checks each store, flush and page reference of both against rules."
)
_PORTS: Final = "Files in reference/ and candidate/ are ports of pgtable.c and mmu.c to Python, function by function."
_EVENTS: Final = (
    "L2 X: A -> B is a store to the level-2 entry of guest address X; X=a+4K is the same address as a place in slot a;"
    " put_page and get_page are followed by the resulting count."
)
_STORE: Final = re.compile(r"L\d ")
_AT_FUNCTION: Final = (
    "This rule is checked later: the calls are those at the last event in the function that the finding names."
)
_AT_PLACE: Final = "This rule is checked later: the calls are those at the place that the finding names."
_AT_DIFFERENCE: Final = "The calls are those at the first event that only this version has."
_READING: Final = (
    "Each line below `vm` is a slot of guest memory or an operation; a+4K is the place 4K into slot a, and operations"
    " are counted from 1."
)
# The comments of the file that a mail keeps above the program.
_KEPT: Final = ("kind", "signature", "reference", "candidate", CODE, KEY)


@dataclass(frozen=True, slots=True)
class Part:
    """A heading and the text below it.

    :param paragraphs: wrapped
    :param lines: separate lines, each wrapped if too long
    :param verbatim: lines that are not wrapped
    """

    heading: str
    paragraphs: list[str] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)
    verbatim: list[str] = field(default_factory=list)


def parts(account: Account) -> Iterator[Part]:
    """Yield the parts of the account."""
    finding, rule = account.finding, account.rule
    ours = finding.kind == CRASH
    yield Part("Finding", [f"{finding.kind}: {finding.signature}", *said("severity", account.severity)])
    yield Part("Versions that were compared", lines=[": ".join(each) for each in account.origins()])
    if not ours:
        yield Part("Rule", [f"{rule.name}: {rule.broken(finding.signature)}." if rule else _NO_RULE])
        yield Part("Why it matters", [f"{rule.reason(finding.signature)}." if rule else _NO_RULE_WHY])
    about = [sentence(without_place(finding.reason)), *([f"This is at {account.where}."] if account.where else [])]
    about += [sentence(account.note)] if account.note else []
    yield Part("What happened", about, [f"{entry}: {words}" for entry, words in account.entries()])
    if not ours:
        yield from trail_parts(account)
    known = [each for each in (account.known, account.accepted and f"accepted: {account.accepted.text}") if each]
    if known:
        yield Part("Known", [sentence(each) for each in known])
    if not ours:
        yield Part("Versions that show it", version_paragraphs(account))
        yield Part("Real kernel", [account.stamp or "not tested: `s2fuzz real run` plays the program on one."])
    yield Part("Program", [_READING], verbatim=program_lines(account))
    yield Part("See it again", *again(account))


def sentence(text: str) -> str:
    """Return a text with exactly one full stop at its end."""
    return text.rstrip(".") + "."


def said(what: str, text: str) -> list[str]:
    """Return a labelled text; nothing if the text is empty."""
    return [f"{what}: {text}"] if text else []


def trail_parts(account: Account) -> Iterator[Part]:
    """Yield the trail to the finding: calls, events, and what only one side did."""
    trail, name = account.trail, account.culprit
    unknown = [f"Incomplete: {trail.unknown}."] if trail.unknown else []
    if trail.calls:
        later = [] if trail.exact else [which_calls(account)]
        ports = [] if name.startswith(PREFIX) else [_PORTS]
        yield Part(
            f"Kernel calls that lead to it ({name})", [*later, *ports, *unknown], verbatim=call_lines(trail.calls)
        )
    elif unknown:
        yield Part(f"Kernel calls that lead to it ({name})", unknown)
    if trail.events:
        yield Part(
            f"The last events before it ({name})",
            [_EVENTS] if any(map(_STORE.match, trail.events)) else [],
            trail.events,
        )
    both = (account.reference, trail.reference, trail.more[0]), (account.candidate, trail.candidate, trail.more[1])
    for version, events, more in both:
        if events and account.finding.kind != COMMON:
            rest = [f"and {more} more"] if more else []
            when = "In this operation"
            if trail.apart != account.finding.at:
                when = f"Before, at {headings(account.program)[trail.apart + 1]},"
            yield Part(f"{when} only {called(version)} does", lines=[*events, *rest])


def call_lines(calls: tuple[KernelCall, ...]) -> list[str]:
    """Return one line per call, callees below their caller, with the place if known; mark code of the candidate."""
    told = folded(calls)
    column = max((len(call.function) for call in told if call.place), default=0)
    texts: list[str] = []
    for call in told:
        line = f"{'*' if call.own else ' '} {call.function:<{column}}  {call.place}".rstrip()
        if len(line) + len(_INDENT) > WIDTH:
            texts.append(line.removesuffix(call.place).rstrip())
            line = 3 * _INDENT + call.place
        texts.append(line)
    if any(call.own for call in told):
        texts.append("(*: code of the candidate)")
    return texts


def folded(calls: tuple[KernelCall, ...]) -> list[KernelCall]:
    """Remove recursion from a chain of calls: keep only the last call of each function."""
    found: list[KernelCall] = []
    for call in calls:
        at = next((at for at, each in enumerate(found) if each.function == call.function), len(found))
        found = [*found[:at], call]
    return found


def which_calls(account: Account) -> str:
    """Return a sentence on whose calls a trail has that are not those in which the rule was broken."""
    if account.finding.kind == DIVERGENCE:
        return _AT_DIFFERENCE
    function = function_of(account.finding.signature)
    return _AT_FUNCTION if any(call.function == function for call in account.trail.calls) else _AT_PLACE


def version_paragraphs(account: Account) -> list[str]:
    """Return paragraphs on which versions show the finding and which do not."""
    groups: dict[bool | None, list[str]] = {True: [], False: [], None: []}
    for name, shows in account.shows.items():
        groups[shows].append(name)
    found = [f"yes: {', '.join(groups[True])}.", f"no: {', '.join(groups[False]) or 'none'}."]
    if groups[None]:
        found.append(f"no verdict: {', '.join(groups[None])}.")
    if len(account.shows) > 2:
        found.append("`s2fuzz list` describes each of them.")
    for name in account.changed:
        # The digest of a tree also covers the compiler, and the files of native/.
        what = f"{name}, or what s2fuzz builds it with," if name.startswith(PREFIX) else name
        found.append(f"{what} has changed since this was filed; this report is about its current code.")
    return found


def program_lines(account: Account) -> list[str]:
    """Return the program below the comments that `s2fuzz run` uses, wrapped so that it can still read them."""
    finding = account.finding
    now = {
        "kind": finding.kind,
        "signature": finding.signature,
        "reference": account.reference,
        "candidate": account.candidate,
    }
    there = {**account.comments, **now}
    about: dict[str, str] = {key: there[key] for key in _KEPT if key in there}
    lines: list[str] = []
    for line in commented(about, account.program).splitlines():
        long = line.startswith("#") and len(line) > WIDTH - len(_INDENT)
        lines += wrapped(line, "", "#   ", WIDTH - len(_INDENT)) if long else [line]
    return lines


def again(account: Account) -> tuple[list[str], list[str], list[str]]:
    """Return how to see the finding again: paragraphs, lines, commands."""
    about = ["Save this mail, or the program with its comments, as x.s2."]
    both = dict.fromkeys((account.reference, account.candidate))
    outside = [name.removeprefix(PREFIX) for name in both if is_file(name) or name.startswith(PREFIX)]
    if outside:
        about.append(f"This code is not part of s2fuzz; put your own path in its place: {', '.join(outside)}")
    about.append(
        f"Programs are deterministic: in a checkout of s2fuzz {VERSION}, this shows the same, and the events of each"
        " side:"
    )
    return (
        about,
        [],
        ["make venv", *command_lines([".venv/bin/s2fuzz", "run", "--trace", *version_options(account), "x.s2"])],
    )


def version_options(account: Account) -> list[str]:
    """Return the versions as command-line options."""
    return ["--reference", account.reference, "--candidate", account.candidate]


def command_lines(words: list[str]) -> list[str]:
    """Return a shell command, split into several lines if it is long."""
    lines = [""]
    for word in map(shlex.quote, words):
        if lines[-1] and len(lines[-1]) + len(word) + 1 > WIDTH - 2 * len(_INDENT) - 2:
            lines[-1] += " \\"
            lines.append("   ")
        lines[-1] += f" {word}" if lines[-1] else word
    return lines


def wrapped(text: str, first: str, rest: str, width: int = WIDTH) -> list[str]:
    """Wrap a text; a word that is too long exceeds the width."""
    return textwrap.wrap(
        text,
        width,
        initial_indent=first,
        subsequent_indent=rest,
        break_long_words=False,
        break_on_hyphens=False,
    )


def styled(account: Account) -> Iterator[tuple[str, str]]:
    """Yield the lines of the account, each with its terminal style, or ""."""
    style = COLOURS.get(account.finding.kind, "bold magenta")
    for line in wrapped(f"{capital(account.headline)}.", "", ""):
        yield line, style
    yield "", ""
    for line in wrapped(_ABOUT, "", ""):
        yield line, ""
    for part in parts(account):
        yield "", ""
        yield part.heading, HEADING
        for paragraph in part.paragraphs:
            for line in wrapped(capital(paragraph), _INDENT, _INDENT):
                yield line, ""
        for text in part.lines:
            for line in wrapped(text, _INDENT, 3 * _INDENT):
                yield line, ""
        for line in part.verbatim:
            yield _INDENT + line, ""


def capital(text: str) -> str:
    """Capitalise a sentence, unless it begins with a name or with a word of ours and a colon."""
    first = text.partition(" ")[0]
    return text[0].upper() + text[1:] if first.isalpha() and first.islower() else text


def text(account: Account) -> str:
    """Return the account as plain text for a mail."""
    return "\n".join(line for line, _ in styled(account)) + "\n"


def markdown(account: Account) -> str:
    """Return the account as Markdown."""
    lines = [f"## {escaped(account.headline)}", "", _ABOUT]
    for part in parts(account):
        lines += ["", f"### {escaped(part.heading)}", ""]
        lines.append("\n\n".join(escaped(capital(paragraph)) for paragraph in part.paragraphs))
        if part.lines:
            lines += ["", *(f"* {escaped(line)}" for line in part.lines)]
        if part.verbatim:
            fence = "```"
            while any(fence in line for line in part.verbatim):
                fence += "`"
            lines += ["", f"{fence}text", *part.verbatim, fence]
    joined = "\n".join(lines) + "\n"
    while "\n\n\n" in joined:
        joined = joined.replace("\n\n\n", "\n\n")
    return joined


# Markup, wherever it stands; an underscore within a word is none (GitHub Flavored Markdown, 6.2).
_MARKUP: Final = re.compile(r"[\\*<\[\]|]|(?<!\w)_|_(?!\w)|^[>#]")


def escaped(text: str) -> str:
    """Escape the Markdown markup of a text, except code in backticks."""
    pieces = text.split("`")
    for at in range(0, len(pieces), 2):
        pieces[at] = _MARKUP.sub(lambda found: f"\\{found[0]}", pieces[at])
    return "`".join(pieces)
