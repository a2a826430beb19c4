# SPDX-License-Identifier: GPL-2.0-only
"""``s2fuzz cover``: the code that programs reach."""

import os
import sys
from argparse import Namespace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ...distribution import home_folder, how_to_install
from ...exit_codes import FINE, OUR_MISTAKE
from ..command import Command
from ..messages import BadInputError, complain, dump
from ..options import add_json, add_workers
from ..parser import Once, Parser
from ..values import folder

if TYPE_CHECKING:
    from ...corpus import BadFile
    from ...coverage.c_lines import ReachedLines
    from ...coverage.measuring import Measured
    from ...language.program import Program

# Maximum number of programs shown for a line.
_SHOWN: Final = 5
_ABOUT: Final = """\
Replay programs on plain Python and report which lines and branches of the kernel code
and of the machine they reach: a table on standard output, HTML pages with --html. Each
line of a page names programs that reach it; --line lists the programs of one line.
Needs coverage.py (pip install -e '.[cover]' in the checkout). For kernel trees it
reports lines of C (those of the candidate, if both versions are trees).
"""
_EXIT_CODES: Final = """\
exit codes:
    0  done
    2  bad usage or input, or coverage.py is not installed
    3  a mistake of s2fuzz itself; S2FUZZ_DEBUG=1 shows the traceback
  129, 130, 143  interrupted by SIGHUP, Ctrl-C, SIGTERM
"""


def add_arguments(parser: Parser) -> None:
    """Add the arguments of ``s2fuzz cover``."""
    what = "a corpus, a folder of programs, or a program (the seeds and regressions of the checkout)"
    parser.add_argument("program", nargs="*", metavar="DIR|PROGRAM", help=what)
    reference = "the version that the candidate is compared with (%(default)s)"
    parser.add_argument("--reference", action=Once, default="original", metavar="NAME", help=reference)
    about = "also replay on this version, and report on its modules"
    parser.add_argument("--candidate", action=Once, metavar="NAME", help=about)
    parser.add_argument("--line", metavar="FILE:LINE", help="only list the programs that reach this line")
    parser.add_argument("--html", type=folder, action=Once, metavar="DIR", help="also write HTML pages")
    add_workers(parser)
    add_json(parser)


def cover(arguments: Namespace) -> int:
    """Replay programs and report what they reach.

    :raises BadInputError: coverage.py is missing, a program or a line is invalid, or pages cannot be written
    :raises candidate.UnknownCandidateError: no version with this name
    """
    import candidate

    versions = [candidate.get(arguments.reference).name]
    if arguments.candidate and arguments.candidate != versions[0]:
        versions.append(candidate.get(arguments.candidate).name)
    trees = [name for name in versions if candidate.get(name).is_tree]
    if trees:
        return cover_tree(trees[-1], [name for name in versions if name != trees[-1]], arguments)
    if find_spec("coverage") is None:
        raise BadInputError(f"coverage.py is not installed; {how_to_install('cover')}")
    # These modules need coverage.py.
    from ...coverage.measuring import line_of, measured, replayed_files
    from ...coverage.named_lines import LineError
    from ...coverage.shares import MeasuringError

    try:
        # Refuse everything that can be refused before spending minutes.
        if arguments.line:
            line_of(arguments.line, replayed_files([candidate.get(name) for name in versions]))
        if arguments.html:
            check_pages(arguments.html)
        programs = chosen(arguments.program)
        with measured(programs, versions, arguments.workers) as found:
            complain_of(found.troubled)
            if arguments.html:
                write_pages(found, arguments.html)
            if arguments.line:
                tell_line(found, arguments)
            else:
                tell_lines(found, arguments, versions, len(programs))
            return OUR_MISTAKE if found.troubled else FINE
    except LineError as error:
        raise BadInputError(f"--line {error}") from None
    except MeasuringError as error:
        complain(str(error))
        return OUR_MISTAKE


def complain_of(troubled: dict[str, str]) -> None:
    """Complain about programs on which our own code failed: program -> how."""
    for program, trouble in sorted(troubled.items()):
        complain(f"{program}: a mistake of s2fuzz: {trouble}")


def tell_lines(found: "Measured", arguments: Namespace, versions: list[str], programs: int) -> None:
    """Print which lines are reached.

    :param programs: number of programs that were replayed
    """
    from ...reports import answers

    if arguments.json:
        dump({**answers.head(), "versions": versions, "programs": programs, **found.json()})
        return
    count = "1 program" if programs == 1 else f"{programs} programs"
    print(f"{count} on {' and '.join(versions)}:")
    found.text(sys.stdout)
    if arguments.html:
        print(f"pages: {arguments.html}/index.html")


def cover_tree(name: str, others: list[str], arguments: Namespace) -> int:
    """Replay programs on a kernel tree and report which lines of C they reach.

    :param name: of the tree; the candidate's if both versions are trees
    :param others: versions that are not replayed
    :raises BadInputError: a program or a line is invalid, or pages cannot be written
    """
    import candidate

    from ...coverage.c_lines import reached
    from ...coverage.shares import MeasuringError
    from ...execution.refusal import unmodelled

    if arguments.html:
        check_pages(arguments.html)
    programs = chosen(arguments.program)
    try:
        found = reached(candidate.get(name), programs, arguments.workers)
    except MeasuringError as error:
        complain(str(error))
        return OUR_MISTAKE
    complain_of(found.troubled)
    for other in others:
        if other != candidate.names()[0]:
            complain(f"{other} is not replayed: lines of C are reported for one tree, here {name}")
    for program, why in found.refused.items():
        complain(f"{program}: not replayed to its end: {unmodelled(why)}")
    if arguments.html:
        try:
            found.html(arguments.html)
        except OSError as error:
            raise BadInputError(f"--html {arguments.html}: {error.strerror or error}") from None
    tell_tree(found, arguments, name, len(programs))
    return OUR_MISTAKE if found.troubled else FINE


def tell_tree(found: "ReachedLines", arguments: Namespace, name: str, programs: int) -> None:
    """Print which lines of a tree are reached, or which programs reach a line.

    :param name: of the tree
    :param programs: number of programs that were replayed
    :raises BadInputError: the line is invalid
    """
    from ...coverage.named_lines import LineError
    from ...reports import answers

    if arguments.line:
        try:
            file, line, names = found.reaching(arguments.line)
        except LineError as error:
            raise BadInputError(f"--line {error}") from None
        if arguments.json:
            dump({**answers.head(), "file": file, "line": line, "at_import": False, "programs": names})
        else:
            reach = "program reaches" if programs == 1 else "programs reach"
            print(f"{file}:{line}: {len(names)} of {programs} {reach} it")
            print("".join(f"s2fuzz run --candidate {name} {each}\n" for each in names[:_SHOWN]), end="")
    elif arguments.json:
        dump({**answers.head(), "versions": [name], "programs": programs, "files": found.json()})
    else:
        print(f"{programs} programs on {name}:", *found.text(), sep="\n")
        if arguments.html:
            print(f"pages: {arguments.html}/index.html")


def chosen(names: list[str]) -> "list[tuple[str, Program]]":
    """Return the programs to replay; complain about files that are not programs.

    :raises BadInputError: there is no program
    """
    from ...corpus import CorpusError
    from ...corpus.gathering import gather

    programs: list[tuple[str, Program]] = []
    refused: list[str] = []

    def tell(bad: "BadFile") -> None:
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
        raise BadInputError("there is no program to replay; name corpora, folders with programs, or programs")
    return programs


def seeds() -> str:
    """Return the corpus of the checkout, by a short name if possible."""
    folder = home_folder() / "corpus"
    return os.path.relpath(folder) if Path.cwd().is_relative_to(home_folder()) else str(folder)


def check_pages(folder: str) -> None:
    """Check that pages can be written.

    :raises BadInputError: they cannot be written
    """
    place = Path(folder)
    try:
        above = next(path for path in (place, *place.absolute().parents) if path.exists())
        if not above.is_dir():
            wrong = f"{above} is not a directory"
        else:
            wrong = "" if os.access(above, os.W_OK | os.X_OK) else f"{above} cannot be written"
    except (OSError, ValueError) as error:
        wrong = getattr(error, "strerror", None) or str(error)
    if not folder or wrong:
        raise BadInputError(f"--html {folder}: {wrong}; name a directory that can be created and written")


def write_pages(found: "Measured", folder: str) -> None:
    """Write the pages.

    :raises BadInputError: they cannot be written
    """
    from coverage.exceptions import CoverageException

    try:
        found.html(folder)
    except (OSError, ValueError, CoverageException) as error:
        wrong = getattr(error, "strerror", None) or str(error)
        raise BadInputError(f"--html {folder}: {wrong}; name a directory that can be created and written") from None


def tell_line(found: "Measured", arguments: Namespace) -> None:
    """Print which programs reach a line."""
    import shlex

    import candidate

    from ...reports import answers

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


COMMAND: Final = Command(
    "cover",
    "report which lines programs reach, and which programs reach a line",
    _ABOUT,
    add_arguments,
    cover,
    ("s2fuzz cover --candidate rfc-v1 --line candidate/rfc_v1.py:62",),
    _EXIT_CODES,
    keys="",
)
