# SPDX-License-Identifier: GPL-2.0-only
"""The store of findings: each is replayed first and written to files once, with a few programs that show it.

`fuzz.findings.finding_files` describes the files.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from ..closing import Closing
from ..judging.finding import Finding, Key
from ..judging.silence import is_silent
from ..language.program import Program, ProgramError
from ..language.text import load, print_program
from .finding_files import FindingFiles, structure
from .record import FindingRecord, in_order
from .replay import Replayer, not_judged

# Programs kept for a finding, including the smallest.
KEPT: Final = 3
# Failed replays of a finding after which further programs are only counted, because a hang takes long.
TRIES: Final = 3
# Size of the cache of the replayer's answers.
ANSWERS: Final = 256


class Store(Closing):
    """The findings of one candidate, in memory and in a folder.

    Its contents are valid for the code that its programs were replayed on. Other code needs another store, which
    replays the programs of the folder.

    A context manager: it ends the processes that replayed.

    :param folder: an existing directory; None: nothing is written
    :param reference: name of the version that the candidate is compared with
    :param candidate: name of the version under test
    :param replayer: by default one of its own
    """

    def __init__(self, folder: Path | None, reference: str, candidate: str, replayer: Replayer | None = None) -> None:
        self.files = FindingFiles(folder, reference, candidate)
        self.reference = reference
        self.candidate = candidate
        self.replayer = replayer or Replayer()
        # The kept programs of each finding, the smallest first; the first one carries the count.
        self.kept: dict[Key, list[FindingRecord]] = {}
        # Findings that did not replay, and the number of their programs tried.
        self.lost: dict[Key, FindingRecord] = {}
        self.tries: dict[Key, int] = {}
        # Answers of the replayer, keyed by the text of the program: many programs show several findings.
        self.answers: dict[str, list[Finding]] = {}

    def close(self) -> None:
        """End the process that replays; another offer starts a new one."""
        self.replayer.close()

    def findings(self) -> list[FindingRecord]:
        """Return each finding with its smallest program, sorted by class and severity; crashes come last."""
        return in_order(programs[0] for programs in self.kept.values())

    def unreplayed(self) -> list[FindingRecord]:
        """Return findings that no program showed again in a fresh process; `FindingRecord.reason` gives the cause."""
        return in_order(self.lost.values())

    def offer_all(self, groups: Sequence[Sequence[FindingRecord]], beside: int = 1) -> None:
        """Offer programs of kept findings; files are written once at the end, even after an exception.

        :param groups: for each finding its programs, the smallest first
        :param beside: number of concurrent replays
        """
        wanted = [each for programs in groups for each in self._foreseen(programs)]
        self.replayer.expect([print_program(each.program) for each in wanted], self.reference, self.candidate, beside)
        try:
            for programs in groups:
                for each in programs:
                    self.offer(each, settle=False)
        finally:
            self.files.settle([self.kept[programs[0].finding.key] for programs in groups])

    def offer(self, found: FindingRecord, settle: bool = True) -> FindingRecord | None:
        """Count a finding; keep its program if it is useful and shows the finding again.

        :param found: ownership passes to the store; `FindingRecord.count` is the number of programs it stands for
        :param settle: write the files now; otherwise the caller does so later
        :returns: the finding with its smallest program; None if no program has shown it again
        """
        key = found.finding.key
        programs = self.kept.get(key)
        if programs is None:
            programs = [] if key in self.lost else self._earlier(found)
            self.files.settle([programs])
        count = found.count + (programs[0].count if programs else 0)
        if key in self.lost:
            count += self.lost[key].count
            self.lost[key].count = count
            self.tries[key] += 1
        if self.tries.get(key, 0) <= TRIES and self._wanted(found, programs):
            shown = self._shown(found.program, key)
            if any(each.key == key for each in shown):
                programs = self._add(found, programs)
                if settle:
                    self.files.settle([programs])
            elif not programs:
                self._set_aside(found, shown, count)
        if not programs:
            return None
        for each in programs:
            each.count = 0
        programs[0].count = count
        self.kept[key] = programs
        return programs[0]

    def hold(self, found: FindingRecord) -> None:
        """Set aside a program that there is no time to replay, unless its finding has been replayed."""
        key = found.finding.key
        if key in self.kept or key in self.lost:
            return
        found.finding = noted(found.finding, "interrupted before a fresh process could show it")
        self.tries[key] = 0
        self.lost[key] = found
        self.files.set_aside(found)

    def replace(self, found: FindingRecord, comments: dict[str, str]) -> None:
        """Replace the smallest program of a finding by a smaller one that a fresh process has shown.

        :param found: with the path of the file
        :param comments: of the file; those about the program are updated
        """
        if not self.files.rewrite(found, comments):
            return
        programs = self.kept.get(found.finding.key)
        if programs:
            found.count = programs[0].count
            programs[0] = found

    def _wanted(self, found: FindingRecord, programs: list[FindingRecord]) -> bool:
        """Tell whether a program would be kept if it shows its finding again."""
        if programs and is_silent(found.signature):
            # Such a replay takes long, and another route to the same loop reveals nothing.
            return found.size() < programs[0].size()
        if len(programs) == KEPT and found.size() >= programs[-1].size():
            return False
        alike = structure(found.program)
        return all(found.size() < each.size() for each in programs if structure(each.program) == alike)

    def _shown(self, program: Program, key: Key) -> list[Finding]:
        """Replay a program in a fresh process, unless a cached answer already has this finding."""
        text = print_program(program)
        shown = self.answers.get(text, [])
        if all(each.key != key for each in shown):
            shown = self.answers[text] = self.replayer.shows(text, self.reference, self.candidate)
            if len(self.answers) > ANSWERS:
                del self.answers[next(iter(self.answers))]
        return shown

    def _add(self, found: FindingRecord, programs: list[FindingRecord]) -> list[FindingRecord]:
        """Return the programs to keep after adding one."""
        key = found.finding.key
        self.tries.pop(key, None)
        lost = self.lost.pop(key, None)
        if lost is not None and lost.path is not None:
            self.files.remove(lost.path)
        return with_one_more(found, programs)

    def _foreseen(self, offered: Sequence[FindingRecord]) -> list[FindingRecord]:
        """Return the offered programs that are replayed if each of them shows its finding again."""
        programs = self.kept[offered[0].finding.key]
        wanted: list[FindingRecord] = []
        for each in offered:
            if self._wanted(each, programs):
                programs = with_one_more(each, programs)
                wanted.append(each)
        return wanted

    def _earlier(self, found: FindingRecord) -> list[FindingRecord]:
        """Return the programs that an earlier session kept and that still show the finding."""
        programs: list[FindingRecord] = []
        for path in self.files.existing(found):
            try:
                program = load(path)
            except ProgramError:
                continue
            alike = structure(program)
            if any(structure(each.program) == alike for each in programs):
                continue
            for each in self._shown(program, found.finding.key):
                if each.key == found.finding.key:
                    programs.append(FindingRecord(each, print_program(program), 0, 0, 0, path))
                    break
        return sorted(programs, key=FindingRecord.size)[:KEPT]

    def _set_aside(self, found: FindingRecord, shown: list[Finding], count: int) -> None:
        """Set aside a program that does not replay, only the first of each finding."""
        key = found.finding.key
        if key in self.lost:
            return
        self.tries[key] = 1
        found.count = count
        found.finding = noted(found.finding, shown_text(shown))
        self.lost[key] = found
        self.files.set_aside(found)


def with_one_more(found: FindingRecord, programs: list[FindingRecord]) -> list[FindingRecord]:
    """Return the kept programs of a finding with one more: one of each structure."""
    alike = structure(found.program)
    rest = [each for each in programs if structure(each.program) != alike]
    return sorted([*rest, found], key=FindingRecord.size)[:KEPT]


def noted(finding: Finding, note: str) -> Finding:
    """Return a finding with a note appended to its reason."""
    return replace(finding, reason=f"{finding.reason} ({note})")


def shown_text(shown: list[Finding]) -> str:
    """Return a text on what a fresh process showed, or why none judged the program."""
    for each in shown:
        if why := not_judged(each):
            return why
    return f"a fresh process showed: {', '.join(f'{each.kind} {each.signature}' for each in shown) or 'nothing'}"
