# SPDX-License-Identifier: GPL-2.0-only
"""``s2fuzz export``: a program, or a run of it, in a form for other tools."""

from argparse import Namespace
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from ...exit_codes import FINE
from ..command import DONE, Command
from ..messages import BadInputError, NoVerdictError, complain
from ..options import BINARY
from ..parser import Once, Parser
from ..values import operation

if TYPE_CHECKING:
    from candidate import Candidate

    from ...language.program import Program

_ABOUT: Final = """\
Write a program in a form for use without s2fuzz.

--selftest: one C file, which plays the program on a VM of any arm64 machine. Its
exit status there is 0 if all outcomes are as expected, 1 if not, and 4 if the
machine lacks something that the program needs.
--casemate: what a version does, in the trace format of casemate 3.0.2, a
checker of break-before-make. With --stock, unmodified casemate accepts the traces of
correct code; s2fuzz prints what casemate then cannot see.
--events: what a version does, each event as a JSON object.
--qemu: a folder with the tables that a version has built after an operation
(--after), and a script that asks QEMU how they translate.

The comments of a finding's file name its candidate, which is the version that is
run. --selftest ignores them, because the candidate does not define what is correct.
"""
MODEL: Final = "v5.14"
# Rules that the unmodified checker cannot apply to a trace.
_LOST: Final = (
    "--stock: casemate does not see whether tables are stored with release, nor changes of address, memory type and "
    "rights of an entry that stays valid, nor a table that a flush by address alone covers"
)


def add_arguments(parser: Parser) -> None:
    """Add the arguments of ``s2fuzz export``."""
    parser.add_argument("program", metavar="PROGRAM", help=BINARY)
    form = parser.add_mutually_exclusive_group(required=True)
    form.add_argument("--selftest", action="store_true", help="one C file in the style of the kernel's selftests")
    form.add_argument("--casemate", action="store_true", help="a trace for casemate")
    form.add_argument("--events", action="store_true", help="events, outcomes and violations, one JSON object per line")
    tables = "a folder with the tables for QEMU, which -o names"
    form.add_argument("--qemu", action="store_true", help=tables)
    after = "number of the operation, from 1; 0: the creation of the VMs (with --qemu; the last one)"
    parser.add_argument("--after", action=Once, type=operation, metavar="N", help=after)
    stock = "omit events that the unmodified casemate rejects although the code is correct (with --casemate)"
    parser.add_argument("--stock", action="store_true", help=stock)
    model = f"the version that is run (the candidate of PROGRAM's comments, or {MODEL}); with --selftest, the version"
    model += f" that defines the correct outcomes ({MODEL}, regardless of the comments)"
    parser.add_argument("--model", action=Once, metavar="NAME", help=model)
    where = "output file (%(default)s: standard output)"
    parser.add_argument("-o", "--output", action=Once, default="-", metavar="OUT", help=where)


def _selftest(version: "Candidate", program: "Program", file: str) -> str:
    from ...real.errors import UnplayableError
    from ...real.selftest import selftest

    try:
        return selftest(program, version, file)
    except UnplayableError as error:
        raise NoVerdictError(f"{file}: {error}; user space cannot play it") from None


def _casemate(version: "Candidate", program: "Program", file: str, stock: bool) -> str:
    from ...exports.casemate import UnsuitableError, casemate

    try:
        lines = casemate(version, program, stock)
    except UnsuitableError as error:
        raise NoVerdictError(f"{file}: {error}; no trace was written") from None
    if stock:
        complain(_LOST)
    return "".join(f"{line}\n" for line in lines)


def _events(version: "Candidate", program: "Program", file: str) -> str:
    from ...exports.event_lines import event_lines

    return "".join(f"{line}\n" for line in event_lines(version, program))


def _write_tables(version: "Candidate", program: "Program", file: str, arguments: Namespace) -> None:
    from ...hardware.folder import NoTablesError, tables_folder
    from ...hardware.folder_texts import SCRIPT
    from ..inputs import write_folder

    last = len(program.operations)
    after = last if arguments.after is None else arguments.after
    if after > last:
        raise BadInputError(f"--after {after}: {file} has {last} operations; name one of them")
    try:
        files = tables_folder(version, program, file, after)
    except NoTablesError as error:
        raise NoVerdictError(f"{file}: {error}; nothing was written") from None
    write_folder(arguments.output, files, {SCRIPT})


def export(arguments: Namespace) -> int:
    """Export a program.

    :raises fuzz.command_line.messages.BadInputError: the program cannot be read, *output* cannot be written, or options
      exclude each other
    :raises NoVerdictError: the program cannot be written in this form
    :raises candidate.UnknownCandidateError: no version with this name
    """
    import candidate

    from ...execution.refusal import UnmodelledError
    from ...language.inputs import STANDARD
    from ..inputs import read_given, write_output

    if arguments.stock and not arguments.casemate:
        raise BadInputError("--stock: allowed with --casemate")
    if arguments.after is not None and not arguments.qemu:
        raise BadInputError("--after: allowed with --qemu")
    if arguments.qemu and arguments.output == STANDARD:
        raise BadInputError("--qemu writes a folder; name it with -o FOLDER")
    given = read_given(arguments.program)
    file, program = given.file, given.program
    if arguments.selftest:
        # The candidate of a finding may be the wrong one, so it cannot define the right outcomes.
        version = candidate.get(arguments.model or MODEL)
    else:
        version = given.open("candidate", arguments.model, MODEL, "--model")
    try:
        if arguments.qemu:
            _write_tables(version, program, file, arguments)
            return FINE
        if arguments.casemate:
            text = _casemate(version, program, file, arguments.stock)
        else:
            form: Callable[[Candidate, Program, str], str] = _selftest if arguments.selftest else _events
            text = form(version, program, file)
    except UnmodelledError as error:
        raise NoVerdictError(f"{file}: {error}") from None
    write_output(arguments.output, text.encode())
    return FINE


COMMAND: Final = Command(
    "export",
    "a program as a C file for any arm64 machine, a run as a trace or tables for other tools",
    _ABOUT,
    add_arguments,
    export,
    (
        "s2fuzz export --selftest corpus/regressions/livelock-two-levels.s2 -o livelock.c",
        "s2fuzz export --casemate --stock corpus/seeds/thp-blocks.s2 --model tree:../linux -o trace.log",
        "s2fuzz export --qemu --after 3 corpus/seeds/thp-blocks.s2 -o tables",
    ),
    keys="",
    epilog=DONE,
)
