# SPDX-License-Identifier: GPL-2.0-only
"""``s2fuzz hardware check``: our walk against QEMU's."""

import argparse
import sys
import time
from collections.abc import Callable
from typing import Final

from ..exit_codes import BAD_INPUT, FINE, INTERRUPTED, WORSE
from ..hardware.differences import Collection
from ..hardware.generator import Generator
from ..hardware.programs import ask_programs, corpus, original
from ..hardware.qemu import Qemu, version
from ..hardware.report import Report
from ..hardware.session import Session
from ..hardware.text import TablesFile, load
from ..reports import answers
from .commands import BadInputError, complain, dump, say_form
from .fuzz import make_out

DEFAULT_TRANSLATIONS: Final = 1_000_000


def check(arguments: argparse.Namespace) -> int:
    """``s2fuzz hardware check``

    :raises QemuError: it is missing, died or does not answer
    :raises TablesError: a file is refused
    :raises BadInputError: the output directory cannot be used, or there are files and a limit
    """
    if arguments.file and (arguments.seconds is not None or arguments.translations is not None):
        raise BadInputError("hardware check: FILE and a limit given; allowed: FILE, or --seconds or --translations")
    files = [load(name) for name in arguments.file]
    start = time.monotonic()
    interrupted = False
    with Qemu() as qemu:
        said = version(qemu.program)
        differences = Collection(None if files else make_out(arguments.out, "hardware"))
        say_form(arguments)
        session = Session(qemu)
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


def replay(session: Session, files: list[TablesFile], differences: Collection) -> None:
    """Ask what files say.

    :raises QemuError: it died or does not answer
    """
    for file in files:
        session.memory.load(file.tables.entries)
        for difference in session.ask([file.tables]):
            differences.add(difference, file.name)
        session.memory.clear([file.tables])


def ask_random(session: Session, arguments: argparse.Namespace, differences: Collection) -> None:
    """Ask about random tables, for as long or as much as wanted.

    :raises QemuError: it died or does not answer
    """
    more = limit(session, arguments)
    for found in session.rounds(Generator(arguments.seed), more):
        for difference in found:
            differences.add(difference, f"random tables of seed {arguments.seed}")


def limit(session: Session, arguments: argparse.Namespace) -> Callable[[], bool]:
    """Whether to go on, by what was asked for: seconds or translations, of random tables alone."""
    if arguments.seconds is not None:
        end = time.monotonic() + float(arguments.seconds)
        return lambda: time.monotonic() < end
    most = session.asked + int(arguments.translations or DEFAULT_TRANSLATIONS)
    return lambda: session.asked < most
