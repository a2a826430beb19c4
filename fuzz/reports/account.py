# SPDX-License-Identifier: GPL-2.0-only
"""The account of a finding: all that somebody must know who has never seen s2fuzz, collected."""

import re
from dataclasses import dataclass, field
from typing import Final

import candidate
from candidate.tree import PREFIX

from ..checkers.registry import rule_of
from ..checkers.rule import Rule
from ..checkers.severity import MEANINGS
from ..findings.accepted import Entry
from ..findings.digests import changed
from ..findings.found import CRASH, called, known_text
from ..findings.severity import severity
from ..findings.witness import KEY
from ..judging.finding import CLASSES, COMMON, CURED, DIVERGENCE, REGRESSION, WRONG, Finding
from ..judging.silence import is_silent
from ..language.program import Program
from ..language.text import headings
from .seeking import seek
from .watched import run_all
from .way import Way

# The comment of a file with the digests of the code.
CODE: Final = "code"
# An entry as `reference.machine.descriptor.describe` has it.
_LEAF: Final = re.compile(r"(page|block\(\w+\))@0x[0-9a-f]+ ([r-])([w-])([x-]) ([\w=-]+)( old)?")
_RIGHTS: Final = ("readable", "writable", "executable")
_MEMORY: Final = {
    "device-nGnRE": "device memory",
    "normal-nc": "normal memory, not cached",
    "normal-wb": "normal memory, cached",
    "normal-wb-forced": "normal memory, cached whatever the guest asks for",
}


@dataclass(slots=True)
class Account:
    """All that is known of a finding.

    :param file: of its program, for people
    :param reference: name of the version that the candidate is compared with
    :param candidate: name of the version under test
    :param finding: as the program shows it
    :param comments: of its file: see `fuzz.findings.found.comments_of`
    :param way: to it
    :param shows: registered versions -> whether they show it; None: the program says nothing about them
    :param accepted: the entry of the user's file of accepted findings that accepts it; None: none does
    """

    file: str
    program: Program
    reference: str
    candidate: str
    finding: Finding
    comments: dict[str, str]
    way: Way = field(default_factory=Way)
    shows: dict[str, bool | None] = field(default_factory=dict)
    accepted: Entry | None = None

    @property
    def rule(self) -> Rule | None:
        """The rule that is broken; None: the two sides differ, and no rule says who is wrong."""
        return rule_of(self.finding.signature)

    @property
    def headline(self) -> str:
        """One sentence on who is wrong."""
        original = called(self.reference)
        told = "a rule says" if WRONG in self.finding.reason else "no rule says"
        so_too = "" if self.candidate == self.reference else f", and so does {original}"
        return {
            REGRESSION: f"{self.candidate} breaks a rule that {original} keeps",
            DIVERGENCE: f"{self.candidate} and {original} differ, and {told} which of them is wrong",
            COMMON: f"{self.candidate} breaks a rule{so_too}",
            CURED: f"{original} breaks a rule that {self.candidate} keeps",
        }.get(self.finding.kind, "a mistake of s2fuzz, not of the kernel code")

    @property
    def culprit(self) -> str:
        """The version whose events are told."""
        return self.reference if self.finding.kind == CURED else self.candidate

    @property
    def severity(self) -> str:
        """Its effect on guest and host; "" for a mistake of ours."""
        if self.finding.kind == CRASH:
            return ""
        level = severity(self.finding.signature)
        return f"{level.name.lower()} ({MEANINGS[level]})"

    @property
    def where(self) -> str:
        """The operation of the program at which it shows; "" for a mistake of ours."""
        return "" if self.finding.kind == CRASH else headings(self.program)[self.finding.at + 1]

    @property
    def known(self) -> str:
        """The relation of known bugs of the reference to it; "" if none does."""
        return known_text(self.finding, self.reference)

    @property
    def stamp(self) -> str:
        """The word of a real kernel, as the file has it; "": nobody has asked one."""
        return self.comments.get(KEY, "") if self.comments.get("signature") == self.finding.signature else ""

    @property
    def changed(self) -> list[str]:
        """The versions that are other code now than when the finding was filed."""
        return changed(self.comments.get(CODE, ""), self.reference, self.candidate)

    def origins(self) -> list[tuple[str, str, str]]:
        """Return of each version its part, its name, what it is and where it comes from."""
        if self.candidate == self.reference:
            return [("both sides", self.candidate, candidate.origin(self.candidate))]
        both = ("candidate", self.candidate), ("reference", self.reference)
        return [(part, name, candidate.origin(name)) for part, name in both]

    def entries(self) -> list[tuple[str, str]]:
        """The leaves that reason and events name, each once: as they stand there, and in words."""
        found: dict[str, str] = {}
        for text in (self.finding.reason, *self.way.events):
            for match in _LEAF.finditer(text):
                found.setdefault(match[0], in_words(match))
        return list(found.items())


def in_words(match: re.Match[str]) -> str:
    """An entry in words."""
    kind, *rights, memory, old = match.groups()
    allowed = [word for word, letter in zip(_RIGHTS, rights, strict=True) if letter != "-"]
    size = f"a block of {kind[6:-1]}" if kind.startswith("block") else "a page"
    aged = ", access flag clear" if old else ""
    return f"{size}, {' and '.join(allowed) or 'no access'}, {_MEMORY.get(memory, memory)}{aged}"


def account_of(
    file: str,
    program: Program,
    reference: str,
    patched: str,
    finding: Finding,
    comments: dict[str, str],
) -> Account:
    """Collect the account of a finding; both versions, and all registered ones, run the program for it.

    :param finding: as the program shows it
    :raises NoProcessError: no process can be started
    """
    # A mail is somebody else's: its comments are shown, whatever a terminal would make of them.
    shown = {key: "".join(each if each.isprintable() else "?" for each in text) for key, text in comments.items()}
    account = Account(file, program, reference, patched, finding, shown)
    account.way = seek(program, reference, patched, finding)
    account.shows = showing(program, reference, patched, finding)
    return account


def showing(program: Program, reference: str, patched: str, finding: Finding) -> dict[str, bool | None]:
    """The versions that show a finding, and those that do not: the two that were compared, and the registered ones."""
    compared = {
        patched: finding.kind in (REGRESSION, COMMON, DIVERGENCE),
        reference: finding.kind in (COMMON, CURED),
    }
    found: dict[str, bool | None] = dict(compared)
    against = reference
    if reference not in candidate.names() and finding.kind != DIVERGENCE:
        # What a rule says of a version, it says against any other.
        against = candidate.names()[0]
    if against.startswith(PREFIX) or is_silent(finding.signature) or finding.kind not in CLASSES:
        # Results of a port say nothing beside those of a tree; and what does not come back takes its time.
        return found
    rest = [candidate.get(name) for name in candidate.names() if name not in compared]
    for run in run_all([("", program)], candidate.get(against), rest):
        shown = {each.kind for each in run.findings() if each.signature == finding.signature}
        found[run.candidate] = None if run.trouble else bool(shown - {CURED})
    order = {name: at for at, name in enumerate(candidate.names())}
    return dict(sorted(found.items(), key=lambda pair: order.get(pair[0], -1)))
