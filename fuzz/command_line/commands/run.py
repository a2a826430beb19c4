# SPDX-License-Identifier: GPL-2.0-only
"""``s2fuzz run``: judge given programs."""

from argparse import Namespace
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from ...exit_codes import BAD_INPUT, FINE, NO_VERDICT, OUR_MISTAKE, WORSE
from ..command import CLASSES, EXIT_CODES, Command
from ..messages import BadInputError, complain, dump, say_form
from ..options import BINARY, add_known, add_versions
from ..parser import Parser

if TYPE_CHECKING:
    from candidate import Candidate

    from ...findings.accepted import Accepted
    from ...hardware.report import Report
    from ...judging.finding import Key
    from ...language.program import Program
    from ...reports.runs import Run
    from ..inputs import Given

_ABOUT: Final = """\
Run programs on the reference and on candidates, and report the verdicts.

The comments of a finding's file name its versions; --trace then covers that finding.
A program may be part of a mail, quoted or not. `s2fuzz report` explains a finding.
"""


def add_arguments(parser: Parser) -> None:
    """Add the arguments of ``s2fuzz run``."""
    parser.add_argument("program", nargs="+", metavar="PROGRAM", help=BINARY)
    add_versions(parser, "a candidate, or all of them (from the program's comments, else all)", comments=True)
    parser.add_argument("--trace", action="store_true", help="show both sides' events side by side, where they matter")
    add_known(parser)
    parser.add_argument("--cost", action="store_true", help="show what each side cost: flushes, bytes cleaned, ...")
    parser.add_argument("--qemu", action="store_true", help="also compare the tables with QEMU's, at each quiet point")


def run(arguments: Namespace) -> int:
    """Judge programs.

    :raises BadInputError: a program or the accepted findings cannot be read; with ``--qemu``: QEMU is missing, died or
      does not answer
    :raises candidate.UnknownCandidateError: no version with this name
    :raises CandidateMistakeError: the Python of a version has a mistake
    """
    from ...hardware.qemu import QemuError

    try:
        return judge(arguments)
    except QemuError as error:
        raise BadInputError(str(error)) from None


def judge(arguments: Namespace) -> int:
    """Do the work of `run`.

    :raises fuzz.hardware.qemu.QemuError: QEMU is missing, or fails
    """
    from ...hardware.programs import ask_about
    from ...hardware.qemu import find
    from ...reports import report
    from ...reports.watched import run_all
    from ..changes import say_changes
    from ..inputs import known_findings, read_all

    given = read_all(arguments.program)
    batches = batches_of(given, arguments)
    accepted = known_findings(arguments)
    if arguments.qemu:
        # Refuse it before anything is judged.
        find()
    for batch in batches:
        say_changes(batch.reference.name, batch.tested)
    say_form(arguments)
    runs: list[Run] = []
    for batch in batches:
        for each in run_all(batch.programs, batch.reference, batch.candidates, arguments.trace, batch.aims):
            runs.append(each)
            if not (arguments.json or arguments.qemu):
                print(report.run_text(each, arguments.cost, accepted))
    asked = None
    if arguments.qemu:
        programs = [program for batch in batches for program in batch.programs]
        versions = {each.name: each for batch in batches for each in (batch.reference, *batch.candidates)}
        asked = ask_about(askable(programs, runs), list(versions.values()))
        for each in () if arguments.json else runs:
            print(report.run_text(each, arguments.cost, accepted))
    code = exit_code_of(runs, accepted, bool(asked and asked.differences.kinds))
    if arguments.json:
        print_answer(batches, runs, accepted, asked, code)
    else:
        if len(runs) > 1:
            print(report.run_summary(runs))
            if accepted.entries:
                print(report.accepted_text(accepted), end="")
        if asked:
            print(asked.text(), end="")
    for each in runs:
        if each.trouble:
            complain(f"{each.file} on {each.candidate}: {each.trouble}")
    return code


def print_answer(
    batches: "list[RunBatch]", runs: "list[Run]", accepted: "Accepted", asked: "Report | None", code: int
) -> None:
    """Print the outcome of all runs as JSON.

    :param asked: what QEMU answered; None: it was not asked
    :param code: the exit code
    """
    from ...reports import answers
    from ..changes import changes_answer

    changes = [each for batch in batches for each in changes_answer(batch.reference.name, batch.tested)]
    about = {"exit_code": code, "changes": [each for at, each in enumerate(changes) if each not in changes[:at]]}
    why = next((f"{each.file} on {each.candidate}: {each.trouble}" for each in runs if each.trouble), "")
    failed = answers.no_verdict_answer(why) if code == NO_VERDICT else {}
    qemu = {"qemu": asked.answer()} if asked else {}
    dump({**answers.run_answer(runs, accepted), **about, **failed, **qemu})


@dataclass
class RunBatch:
    """Programs that are judged on the same versions.

    *aims*: for each program the finding that its comments name; None: they name none
    """

    reference: "Candidate"
    candidates: "list[Candidate]"
    programs: "list[tuple[str, Program]]" = field(default_factory=list)
    aims: "list[Key | None]" = field(default_factory=list)

    @property
    def tested(self) -> list[str]:
        """The names of the candidates."""
        return [each.name for each in self.candidates]


def batches_of(programs: "list[Given]", arguments: Namespace) -> list[RunBatch]:
    """Return the programs, in order, with the versions that options or comments name.

    :raises BadInputError: a program from standard input names code outside of s2fuzz
    :raises candidate.UnknownCandidateError: no version with this name
    """
    import candidate

    from ...reports.runs import ALL, chosen

    found: list[RunBatch] = []
    for given in programs:
        reference = given.open("reference", arguments.reference, candidate.names()[0])
        named = arguments.candidate or given.version("candidate") or ALL
        candidates = chosen(ALL, reference) if named == ALL else [given.open("candidate", arguments.candidate, "")]
        if not found or (found[-1].reference, found[-1].candidates) != (reference, candidates):
            found.append(RunBatch(reference, candidates))
        found[-1].programs.append((given.file, given.program))
        key = given.comments.get("kind", ""), given.comments.get("signature", "")
        found[-1].aims.append(key if all(key) else None)
    return found


def exit_code_of(runs: "list[Run]", accepted: "Accepted", differs: bool) -> int:
    """Return the exit code of ``run``; *differs*: QEMU disagrees with our machine."""
    if any(each.error and not each.killed for each in runs):
        return OUR_MISTAKE
    if any(each.killed for each in runs):
        return NO_VERDICT
    if differs or any(each.worse(accepted) for each in runs):
        return WORSE
    if any(each.refused for each in runs):
        return NO_VERDICT
    return BAD_INPUT if idle(runs) else FINE


def idle(runs: "list[Run]") -> list[str]:
    """Return the candidates for which no program reached code in which they differ from the reference."""
    names = dict.fromkeys(each.candidate for each in runs)
    return [name for name in names if all(each.idle for each in runs if each.candidate == name)]


def askable(programs: "list[tuple[str, Program]]", runs: "list[Run]") -> "list[tuple[str, Program]]":
    """Return the programs on which every version returns: QEMU is asked in this process. Complain about the others."""
    from ...judging.silence import is_silent

    stuck = {run.file for run in runs if any(is_silent(each.signature) for each in run.findings())}
    for file in sorted(stuck):
        complain(f"{file}: not compared with QEMU, because kernel code does not return")
    return [each for each in programs if each[0] not in stuck]


COMMAND: Final = Command(
    "run",
    "judge given programs",
    _ABOUT,
    add_arguments,
    run,
    ("s2fuzz run findings/rfc-v1/*.s2 --trace", "s2fuzz run - <mail", "s2fuzz run x.s2 --candidate rfc-v1"),
    CLASSES + EXIT_CODES,
)
