# SPDX-License-Identifier: GPL-2.0-only
"""``s2fuzz cover``: what programs reach."""

import argparse
import os
import shlex
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Final

import candidate

from ..corpus import Bad, CorpusError
from ..corpus.gathering import gather
from ..distribution import home_folder
from ..exit_codes import FINE, OUR_MISTAKE
from ..language.program import Program
from ..reports import answers
from .commands import BadInputError, complain, dump

if TYPE_CHECKING:
    from ..coverage.measuring import Measured

# Programs that are shown for a line.
_SHOWN: Final = 5


def command(arguments: argparse.Namespace) -> int:
    """``s2fuzz cover``

    :raises BadInputError: coverage.py is not there, a program or a line is none, or pages cannot be written
    :raises candidate.UnknownCandidate: no version of this name
    """
    versions = [candidate.get(arguments.reference).name]
    if arguments.candidate and arguments.candidate != versions[0]:
        versions.append(candidate.get(arguments.candidate).name)
    if find_spec("coverage") is None:
        raise BadInputError("coverage.py is not there; allowed: after `pip install -e '.[cover]' in the checkout`")
    # Only where coverage.py is there.
    from ..coverage.measuring import LineError, line_of, measured, replayed_files
    from ..coverage.shares import MeasuringError

    try:
        # All that can be refused, before minutes are spent.
        if arguments.line:
            line_of(arguments.line, replayed_files([candidate.get(name) for name in versions]))
        if arguments.html:
            check_pages(arguments.html)
        programs = chosen(arguments.program)
        with measured(programs, versions, arguments.workers) as found:
            for name, trouble in sorted(found.troubled.items()):
                complain(f"{name}: a mistake of s2fuzz: {trouble}")
            if arguments.html:
                write_pages(found, arguments.html)
            if arguments.line:
                tell_line(found, arguments)
            elif arguments.json:
                dump({**answers.head(), "versions": versions, "programs": len(programs), **found.json()})
            else:
                count = "1 program" if len(programs) == 1 else f"{len(programs)} programs"
                print(f"{count} on {' and '.join(versions)}:")
                found.text(sys.stdout)
                if arguments.html:
                    print(f"pages: {arguments.html}/index.html")
            return OUR_MISTAKE if found.troubled else FINE
    except LineError as error:
        raise BadInputError(f"--line {error}") from None
    except MeasuringError as error:
        complain(str(error))
        return OUR_MISTAKE


def chosen(names: list[str]) -> list[tuple[str, Program]]:
    """The programs to replay.

    :raises BadInputError: there are none; files that are none are only told of where there are some
    """
    programs: list[tuple[str, Program]] = []
    refused: list[str] = []

    def tell(bad: Bad) -> None:
        refused.append(f"{bad.path}: {bad.reason}")

    try:
        for name in names or [seeds()]:
            programs += gather(name, tell)
    except CorpusError as error:
        raise BadInputError(str(error)) from None
    if refused and not programs:
        raise BadInputError(*refused)
    for line in refused:
        complain(line)
    if not programs:
        raise BadInputError("there is no program to replay; allowed: corpora, folders with programs, programs")
    return programs


def seeds() -> str:
    """The corpus of the checkout, by a short name where there is one."""
    folder = home_folder() / "corpus"
    return os.path.relpath(folder) if Path.cwd().is_relative_to(home_folder()) else str(folder)


def check_pages(folder: str) -> None:
    """See that pages can be written.

    :raises BadInputError: they cannot
    """
    place = Path(folder)
    try:
        above = next(path for path in (place, *place.absolute().parents) if path.exists())
        if not above.is_dir():
            wrong = f"{above} is no directory"
        else:
            wrong = "" if os.access(above, os.W_OK | os.X_OK) else f"{above} cannot be written"
    except (OSError, ValueError) as error:
        wrong = getattr(error, "strerror", None) or str(error)
    if not folder or wrong:
        raise BadInputError(f"--html {folder}: {wrong}; allowed: a directory that can be made and written")


def write_pages(found: "Measured", folder: str) -> None:
    """The pages.

    :raises BadInputError: they cannot be written
    """
    from coverage.exceptions import CoverageException

    try:
        found.html(folder)
    except (OSError, ValueError, CoverageException) as error:
        wrong = getattr(error, "strerror", None) or str(error)
        raise BadInputError(f"--html {folder}: {wrong}; allowed: a directory that can be made and written") from None


def tell_line(found: "Measured", arguments: argparse.Namespace) -> None:
    """Say which programs reach a line."""
    reached = found.reaching(arguments.line)
    if arguments.json:
        answer = {"file": reached.file, "line": reached.line, "at_import": reached.at_import}
        dump({**answers.head(), **answer, "programs": reached.programs})
        return
    place = f"{reached.file}:{reached.line}"
    if not reached.programs:
        why = "runs when its module is imported, whatever the program" if reached.at_import else "no program reaches it"
        print(f"{place}: {why}")
        return
    count = len(reached.programs)
    what = "1 program reaches" if count == 1 else f"{count} programs reach"
    print(f"{place}: {what} it" + (f"; the {_SHOWN} smallest:" if count > _SHOWN else ":"))
    options = ["--reference", arguments.reference] if arguments.reference != candidate.names()[0] else []
    options += ["--candidate", arguments.candidate] if arguments.candidate else []
    for name in reached.programs[:_SHOWN]:
        print(shlex.join(["s2fuzz", "run", *options, name]))
