# SPDX-License-Identifier: GPL-2.0-only
"""``s2fuzz hardware check``: the comparison of our walk with QEMU's."""

import sys
import time
from argparse import Namespace
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from ...exit_codes import BAD_INPUT, FINE, INTERRUPTED, WORSE
from ..command import Command
from ..messages import BadInputError, complain, dump, say_form
from ..options import add_differences, add_json
from ..parser import Parser, add_action
from ..values import seconds, translations

if TYPE_CHECKING:
    from ...hardware.differences import Differences
    from ...hardware.session import QemuSession
    from ...hardware.text import TablesFile

DEFAULT_TRANSLATIONS: Final = 1_000_000
_ABOUT: Final = """\
Compare our stage-2 walk with QEMU's independent one, on random and adversarial
tables and on the tables that the programs of corpus/ make: each read, write and
fetch must have the same result. A difference is shown with the path through the
tables, and saved as a file that repeats the comparison. Needs qemu-system-aarch64
(Debian: qemu-system-arm); S2FUZZ_QEMU names another executable.
"""
_EXIT_CODES: Final = """\
exit codes:
    0  no difference
    1  at least one difference
    2  bad usage or input, or QEMU is missing, dies or does not answer
    3  a mistake of s2fuzz itself; S2FUZZ_DEBUG=1 shows the traceback
  129, 130, 143  interrupted by SIGHUP, Ctrl-C, SIGTERM; the differences so far are printed
"""


def add_arguments(parser: Parser) -> None:
    """Add the arguments of ``s2fuzz hardware``."""
    parts = parser.add_subparsers(dest="action", required=True, metavar="check")
    check = add_action(parts, "check", "compare our stage-2 walk with QEMU's", COMMAND.text(), _EXIT_CODES)
    check.add_argument("file", nargs="*", metavar="FILE", help="repeat only these comparisons, as saved in DIR")
    limit = check.add_mutually_exclusive_group()
    limit.add_argument("--seconds", type=seconds, metavar="N", help="time for random tables, in seconds")
    limit.add_argument(
        "--translations", type=translations, metavar="N", help="number of translations of random tables (a million)"
    )
    add_differences(check, "tables", "hardware")
    add_json(check, "fuzz/hardware/report.py")


def check(arguments: Namespace) -> int:
    """Compare our walk with QEMU's.

    :raises BadInputError: QEMU is missing, died or does not answer; a file is refused; the output directory cannot be
      used; both files and a limit are given
    """
    from ...hardware.qemu import QemuError
    from ...hardware.text import TablesError

    try:
        return ask(arguments)
    except (QemuError, TablesError) as error:
        raise BadInputError(str(error)) from None


def ask(arguments: Namespace) -> int:
    """Do the work of `check`; may also raise QemuError and TablesError."""
    from ...hardware.differences import Differences
    from ...hardware.programs import ask_programs, corpus, original
    from ...hardware.qemu import Qemu, version
    from ...hardware.report import Report
    from ...hardware.session import QemuSession
    from ...hardware.text import load
    from ...reports import answers
    from ..inputs import make_out

    if arguments.file and (arguments.seconds is not None or arguments.translations is not None):
        raise BadInputError("hardware check: FILE and a limit given; give FILE, or --seconds or --translations")
    files = [load(name) for name in arguments.file]
    start = time.monotonic()
    interrupted = False
    with Qemu() as qemu:
        said = version(qemu.program)
        differences = Differences(None if files else make_out(arguments.out, "hardware"))
        say_form(arguments)
        session = QemuSession(qemu)
        try:
            if files:
                replay(session, files, differences)
            else:
                ask_programs(session, corpus(), [original()], differences)
                ask_random(session, arguments, differences)
                differences.save(session)
        except KeyboardInterrupt:
            interrupted = True
    report = Report(said, session, differences, time.monotonic() - start)
    if arguments.json:
        dump({**answers.head(), **report.answer()})
    else:
        print(report.text(), end="")
    if differences.trouble:
        complain(f"{differences.trouble}; not all differences could be written")
        return BAD_INPUT
    if interrupted:
        print("s2fuzz: interrupted", file=sys.stderr)
        return INTERRUPTED
    return WORSE if differences.kinds else FINE


def replay(session: "QemuSession", files: "list[TablesFile]", differences: "Differences") -> None:
    """Ask QEMU the questions of files.

    :raises QemuError: QEMU died or does not answer
    """
    for file in files:
        session.memory.load(file.tables.entries)
        for difference in session.ask([file.tables]):
            differences.add(difference, file.name)
        session.memory.clear([file.tables])


def ask_random(session: "QemuSession", arguments: Namespace, differences: "Differences") -> None:
    """Ask QEMU about random tables, up to the limit of the arguments.

    :raises QemuError: QEMU died or does not answer
    """
    from ...hardware.generator import TablesGenerator

    more = limit(session, arguments)
    for found in session.rounds(TablesGenerator(arguments.seed), more):
        for difference in found:
            differences.add(difference, f"random tables of seed {arguments.seed}")


def limit(session: "QemuSession", arguments: Namespace) -> Callable[[], bool]:
    """Return the function that tells whether to continue: by seconds, or by translations of random tables."""
    if arguments.seconds is not None:
        end = time.monotonic() + float(arguments.seconds)
        return lambda: time.monotonic() < end
    most = session.asked + int(arguments.translations or DEFAULT_TRANSLATIONS)
    return lambda: session.asked < most


COMMAND: Final = Command(
    "hardware",
    "check the machine that programs run on",
    _ABOUT,
    add_arguments,
    check,
    ("s2fuzz hardware check --seconds 60 --seed 2", "s2fuzz hardware check findings/hardware/*.tables"),
    _EXIT_CODES,
    keys="",
)
