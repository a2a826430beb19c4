# SPDX-License-Identifier: GPL-2.0-only
"""The subcommands: from parsed arguments to output and exit code (`fuzz.exit_codes`)."""

import argparse
import json
import sys
from collections.abc import Iterable
from typing import Any

import candidate

from ..distribution import form, remark
from ..exit_codes import FINE, NO_VERDICT, OUR_MISTAKE, WORSE
from ..findings.accepted import Accepted, AcceptedError, load_accepted
from ..hardware.programs import ask_about
from ..hardware.qemu import find
from ..judging.silence import is_silent
from ..language.program import Program, ProgramError
from ..language.text import load, shown_name
from ..reports import answers, report
from ..reports.runs import Run, chosen
from ..reports.watched import run_all
from .changes import changes_answer, say_changes
from .messages import one_line


class BadInputError(Exception):
    """Usage or input that is refused: a line for each argument."""


class NoVerdictError(Exception):
    """Nothing could be found out; one line that says why, and what to do."""


def complain(message: str) -> None:
    """One line on stderr."""
    print(f"s2fuzz: {one_line(message)}", file=sys.stderr)


def refused_output(name: str, error: OSError) -> BadInputError:
    """What to say of a file that ``-o`` names and that cannot be written."""
    allowed = "a file that can be written, a device, or a FIFO that somebody reads"
    return BadInputError(f"-o {shown_name(name)}: {error.strerror or error}; allowed: {allowed}")


def say_form(arguments: argparse.Namespace) -> None:
    """Tell people in which form this runs, where it takes its time, and anybody why it is not compiled."""
    if arguments.command != "run" and not arguments.json:
        complain(form())
    if remark():
        complain(remark())


def dump(answer: dict[str, Any]) -> None:
    print(json.dumps(answer, indent=2))


def list_versions(arguments: argparse.Namespace) -> int:
    """``s2fuzz list``"""
    if arguments.json:
        dump(answers.bugs_answer() if arguments.bugs else answers.list_answer())
    else:
        print(report.bugs_text() if arguments.bugs else report.list_text())
    return FINE


def run(arguments: argparse.Namespace) -> int:
    """``s2fuzz run``

    :raises BadInputError: a program or the known findings cannot be read
    :raises QemuError: with ``--qemu``: it is missing, died or does not answer
    :raises candidate.UnknownCandidate: no version of this name
    :raises CandidateMistake: the Python of a version has a mistake
    """
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


def code_of(runs: list[Run], accepted: Accepted, differs: bool) -> int:
    """The exit code of ``run``; *differs*: QEMU says something else."""
    if any(each.error and not each.killed for each in runs):
        return OUR_MISTAKE
    if any(each.killed for each in runs):
        return NO_VERDICT
    if differs or any(each.worse(accepted) for each in runs):
        return WORSE
    return NO_VERDICT if any(each.refused for each in runs) else FINE


def askable(programs: list[tuple[str, Program]], runs: list[Run]) -> list[tuple[str, Program]]:
    """The programs on which every version comes back: QEMU is asked in this process. The others are told of."""
    stuck = {run.file for run in runs if any(is_silent(each.signature) for each in run.findings())}
    for file in sorted(stuck):
        complain(f"{file}: QEMU is not asked about it, for kernel code does not come back")
    return [each for each in programs if each[0] not in stuck]


def known_findings(arguments: argparse.Namespace) -> Accepted:
    """What ``--known`` names, or the file of the current directory.

    :raises BadInputError: it cannot be used
    """
    try:
        return load_accepted(arguments.known)
    except AcceptedError as error:
        raise BadInputError(str(error)) from None


def read_programs(files: list[str]) -> list[tuple[str, Program]]:
    """All programs, before any of them runs.

    :raises BadInputError: with a line for each that is no valid program
    """
    programs: list[tuple[str, Program]] = []
    wrong: list[str] = []
    for file in files:
        try:
            programs.append((file, load(file)))
        except ProgramError as error:
            wrong.append(str(error))
    if wrong:
        raise BadInputError(*wrong)
    return programs
