# SPDX-License-Identifier: GPL-2.0-only
"""``s2fuzz run``: programs that are there, judged."""

from argparse import Namespace
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from ...exit_codes import BAD_INPUT, FINE, NO_VERDICT, OUR_MISTAKE, WORSE
from ..command import CLASSES, EXIT_CODES, Command
from ..messages import BadInputError, complain, dump, say_form
from ..options import BINARY, add_known, add_versions
from ..parser import Parser

if TYPE_CHECKING:
    from ...findings.accepted import Accepted
    from ...language.program import Program
    from ...reports.runs import Run

_ABOUT: Final = """\
Run programs on the reference and on candidates, and say what that shows.
"""


def add_arguments(parser: Parser) -> None:
    parser.add_argument("program", nargs="+", metavar="PROGRAM", help=BINARY)
    add_versions(parser, "a candidate, or all of them (%(default)s)")
    parser.set_defaults(candidate="all")
    parser.add_argument("--trace", action="store_true", help="show both sides' events side by side, where they matter")
    add_known(parser)
    parser.add_argument("--cost", action="store_true", help="show what each side cost: flushes, bytes cleaned, ...")
    parser.add_argument("--qemu", action="store_true", help="ask QEMU too about the tables, at each quiet point")


def run(arguments: Namespace) -> int:
    """Judge programs.

    :raises BadInputError: a program or the known findings cannot be read; with ``--qemu``: it is missing, died or does
        not answer
    :raises candidate.UnknownCandidate: no version of this name
    :raises CandidateMistake: the Python of a version has a mistake
    """
    from ...hardware.qemu import QemuError

    try:
        return judge(arguments)
    except QemuError as error:
        raise BadInputError(str(error)) from None


def judge(arguments: Namespace) -> int:
    """As `run`; raises QemuError, too."""
    import candidate

    from ...hardware.programs import ask_about
    from ...hardware.qemu import find
    from ...reports import answers, report
    from ...reports.runs import chosen
    from ...reports.watched import run_all
    from ..changes import changes_answer, say_changes
    from ..inputs import known_findings, read_programs

    reference = candidate.get(arguments.reference)
    candidates = chosen(arguments.candidate, reference)
    runs: list[Run] = []
    programs = read_programs(arguments.program)
    accepted = known_findings(arguments)
    tested = [each.name for each in candidates]
    if arguments.qemu:
        # Refused before anything is judged.
        find()
    say_changes(reference.name, tested)
    say_form(arguments)
    judged: Iterable[Run] = run_all(programs, reference, candidates, arguments.trace)
    asked = None
    if arguments.qemu:
        judged = list(judged)
        asked = ask_about(askable(programs, judged), [reference, *candidates])
    for each in judged:
        runs.append(each)
        if not arguments.json:
            print(report.run_text(each, arguments.cost, accepted))
    code = code_of(runs, accepted, bool(asked and asked.differences.kinds))
    if arguments.json:
        about = {"exit_code": code, "changes": changes_answer(reference.name, tested)}
        dump({**answers.run_answer(runs, accepted), **about, **({"qemu": asked.answer()} if asked else {})})
    elif len(runs) > 1:
        print(report.run_summary(runs))
        if accepted.entries:
            print(report.accepted_text(accepted), end="")
    if asked and not arguments.json:
        print(asked.text(), end="")
    for each in runs:
        if each.trouble:
            complain(f"{each.file} on {each.candidate}: {each.trouble}")
    return code


def code_of(runs: "list[Run]", accepted: "Accepted", differs: bool) -> int:
    """The exit code of ``run``; *differs*: QEMU says something else."""
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
    """The candidates of which no program ran anything of that by which they differ from the reference."""
    from ...reports.runs import NOT_EXERCISED

    names = dict.fromkeys(each.candidate for each in runs)
    return [name for name in names if all(each.word == NOT_EXERCISED for each in runs if each.candidate == name)]


def askable(programs: "list[tuple[str, Program]]", runs: "list[Run]") -> "list[tuple[str, Program]]":
    """The programs on which every version comes back: QEMU is asked in this process. The others are told of."""
    from ...judging.silence import is_silent

    stuck = {run.file for run in runs if any(is_silent(each.signature) for each in run.findings())}
    for file in sorted(stuck):
        complain(f"{file}: QEMU is not asked about it, for kernel code does not come back")
    return [each for each in programs if each[0] not in stuck]


COMMAND: Final = Command(
    "run",
    "judge programs that you have",
    _ABOUT,
    add_arguments,
    run,
    ("s2fuzz run findings/rfc-v1/*.s2 --candidate rfc-v1 --trace",),
    CLASSES + EXIT_CODES,
)
