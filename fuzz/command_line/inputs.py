# SPDX-License-Identifier: GPL-2.0-only
"""Files that commands read and write, seen to be right before anything runs. Imported by actions only."""

import sys
from argparse import Namespace
from pathlib import Path
from typing import Final

from ..files import Place, write_atomically
from ..findings.accepted import Accepted, AcceptedError, load_accepted
from ..language.program import Program, ProgramError
from ..language.text import load, shown_name
from .messages import BadInputError

# The name of standard input, or output.
STANDARD: Final = "-"


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


def known_findings(arguments: Namespace) -> Accepted:
    """Read the known findings that ``--known`` names, or those of the current directory.

    :raises BadInputError: it cannot be used
    """
    try:
        return load_accepted(arguments.known)
    except AcceptedError as error:
        raise BadInputError(str(error)) from None


def make_out(name: str, folder: str) -> Path:
    """The output directory; it is seen now, not after an hour, that files can be written.

    :param folder: in it, for this candidate
    :raises BadInputError: they cannot
    """
    out = Path(name) / folder
    try:
        out.mkdir(parents=True, exist_ok=True)
        Place(out / "finding.s2").probe()
    except (OSError, ValueError) as error:
        wrong = getattr(error, "strerror", None) or str(error)
        raise BadInputError(f"--out {name}: {wrong}; name a directory that can be made and written") from None
    return out


def refused_output(name: str, error: OSError) -> BadInputError:
    """Return the error of a file that ``-o`` names and that cannot be written."""
    wanted = "a file that can be written, a device, or a FIFO that somebody reads"
    return BadInputError(f"-o {shown_name(name)}: {error.strerror or error}; name {wanted}")


def write_output(name: str, data: bytes) -> None:
    """Write what a command makes to the file that ``-o`` names, or to standard output (``-``).

    :raises BadInputError: the file cannot be written
    """
    if name == STANDARD:
        sys.stdout.buffer.write(data)
        return
    try:
        write_atomically(name, data)
    except OSError as error:
        raise refused_output(name, error) from None
