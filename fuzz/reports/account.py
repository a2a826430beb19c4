# SPDX-License-Identifier: GPL-2.0-only
"""The account of a finding: everything a reader needs who has never seen s2fuzz."""

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
from ..language.direct_calls import direct_call
from ..language.program import Program
from ..language.text import headings
from .seeking import seek
from .trail import Trail
from .watched import run_all

# Key of the comment with the digests of the code.
CODE: Final = "code"
# An entry in the format of `reference.machine.descriptor.describe`.
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
    """All that is known about a finding.

    :param file: name of the program's file, for people
    :param reference: name of the version that the candidate is compared with
    :param candidate: name of the version under test
    :param finding: as the program shows it
    :param comments: of its file: see `fuzz.findings.found.comments_of`
    :param trail: the trail to the finding
    :param shows: version -> whether it shows the finding; None: the program has no verdict on it
    :param accepted: the entry of the user's file of accepted findings that matches; None: no entry does
    """

    file: str
    program: Program
    reference: str
    candidate: str
    finding: Finding
    comments: dict[str, str]
    trail: Trail = field(default_factory=Trail)
    shows: dict[str, bool | None] = field(default_factory=dict)
    accepted: Entry | None = None

    @property
    def rule(self) -> Rule | None:
        """The broken rule; None: the two sides differ, and no rule decides which one is wrong."""
        return rule_of(self.finding.signature)

    @property
    def headline(self) -> str:
        """One sentence on which version is wrong."""
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
        """The version whose events the account shows."""
        return self.reference if self.finding.kind == CURED else self.candidate

    @property
    def severity(self) -> str:
        """The effect on guest and host; "" for a mistake of ours."""
        if self.finding.kind == CRASH:
            return ""
        level = severity(self.finding.signature)
        return f"{level.name.lower()} ({MEANINGS[level]})"

    @property
    def where(self) -> str:
        """The operation at which the program shows the finding; "" for a mistake of ours."""
        return "" if self.finding.kind == CRASH else headings(self.program)[self.finding.at + 1]

    @property
    def note(self) -> str:
        """A note on that operation if it is a direct call of pgtable.c; "" otherwise."""
        return direct_call(self.program, self.finding.at)

    @property
    def known(self) -> str:
        """The relation of the reference's known bugs to the finding; "" if there is none."""
        return known_text(self.finding, self.reference)

    @property
    def stamp(self) -> str:
        """The stamp of a real kernel, as the file has it; "": none was asked."""
        return self.comments.get(KEY, "") if self.comments.get("signature") == self.finding.signature else ""

    @property
    def changed(self) -> list[str]:
        """The versions whose code has changed since the finding was filed."""
        return changed(self.comments.get(CODE, ""), self.reference, self.candidate)

    def origins(self) -> list[tuple[str, str, str]]:
        """Return for each version its part, its name, and its origin."""
        if self.candidate == self.reference:
            return [("both sides", self.candidate, candidate.origin(self.candidate))]
        both = ("candidate", self.candidate), ("reference", self.reference)
        return [(part, name, candidate.origin(name)) for part, name in both]

    def entries(self) -> list[tuple[str, str]]:
        """Return the leaves named in the reason and the events, each once: as written, and in words."""
        found: dict[str, str] = {}
        for text in (self.finding.reason, *self.trail.events):
            for match in _LEAF.finditer(text):
                found.setdefault(match[0], in_words(match))
        return list(found.items())


def in_words(match: re.Match[str]) -> str:
    """Return an entry in words."""
    kind, *rights, memory, old = match.groups()
    allowed = [word for word, letter in zip(_RIGHTS, rights, strict=True) if letter != "-"]
    size = f"a block of {kind[6:-1]}" if kind.startswith("block") else "a page"
    aged = ", access flag clear" if old else ""
    return f"{size}, {' and '.join(allowed) or 'no access'}, {_MEMORY.get(memory, memory)}{aged}"


def account_of(
    file: str,
    program: Program,
    reference: str,
    candidate_name: str,
    finding: Finding,
    comments: dict[str, str],
) -> Account:
    """Collect the account of a finding; this runs the program on both versions and on all registered ones.

    :param finding: as the program shows it
    :raises NoProcessError: no process can be started
    """
    # The comments may come from somebody else's mail: replace characters that could control a terminal.
    shown = {key: "".join(each if each.isprintable() else "?" for each in text) for key, text in comments.items()}
    account = Account(file, program, reference, candidate_name, finding, shown)
    account.trail = seek(program, reference, candidate_name, finding)
    account.shows = showing(program, reference, candidate_name, finding)
    return account


def showing(program: Program, reference: str, candidate_name: str, finding: Finding) -> dict[str, bool | None]:
    """Return which versions show a finding: the two that were compared, and the registered ones."""
    compared = {
        candidate_name: finding.kind in (REGRESSION, COMMON, DIVERGENCE),
        reference: finding.kind in (COMMON, CURED),
    }
    found: dict[str, bool | None] = dict(compared)
    against = reference
    if reference not in candidate.names() and finding.kind != DIVERGENCE:
        # A violation of a rule on one version does not depend on the version that it is compared with.
        against = candidate.names()[0]
    if against.startswith(PREFIX) or is_silent(finding.signature) or finding.kind not in CLASSES:
        # Results of a port are not comparable with those of a tree, and code that does not return takes long.
        return found
    rest = [candidate.get(name) for name in candidate.names() if name not in compared]
    for run in run_all([("", program)], candidate.get(against), rest):
        shown = {each.kind for each in run.findings() if each.signature == finding.signature}
        found[run.candidate] = None if run.trouble else bool(shown - {CURED})
    order = {name: at for at, name in enumerate(candidate.names())}
    return dict(sorted(found.items(), key=lambda pair: order.get(pair[0], -1)))
