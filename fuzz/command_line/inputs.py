# SPDX-License-Identifier: GPL-2.0-only
"""Files that commands read and write, checked before anything runs. Imported by actions only."""

import sys
from argparse import Namespace
from dataclasses import dataclass
from pathlib import Path

import candidate
from candidate import Candidate
from candidate.tree import PREFIX, TreeError

from ..files import OutputFile, write_atomically
from ..findings.accepted import Accepted, AcceptedError, load_accepted
from ..findings.found import comments_of
from ..language.inputs import STANDARD, STDIN, input_name, read_contents
from ..language.looks import binary_hint
from ..language.mail import message_text, program_part
from ..language.program import Program, ProgramError
from ..language.text import parse, shown_name
from ..processes.starting import remedy
from .messages import BadInputError


@dataclass(frozen=True, slots=True)
class Given:
    """A program that a command was given.

    :param file: its name; `STDIN` for standard input
    :param comments: the comments above it: see `fuzz.findings.found.comments_of`
    """

    file: str
    program: Program
    comments: dict[str, str]

    def version(self, what: str, flag: str = "") -> str:
        """Return the version that its comments name; "" for none.

        A mail piped to standard input comes from somebody else, so it may name registered versions only.

        :param what: ``reference`` or ``candidate``
        :param flag: the option that names another version; "": ``--`` and *what*
        :raises BadInputError: the version is a file or a kernel tree, and the program comes from standard input
        """
        name = self.comments.get(what, "")
        if self.file == STDIN and (candidate.is_file(name) or name.startswith(PREFIX)):
            wrong = f"its comments name {name[:200]!a} as {what}, which is code outside of s2fuzz"
            raise BadInputError(f"{self.file}: {wrong}; name it yourself, with {flag or f'--{what}'}")
        return name

    def open(self, what: str, option: str | None, default: str, flag: str = "") -> Candidate:
        """Return the version that an option names, else the comments of the program, else the default.

        An error about a name from the comments tells where the name stands.

        :param what: as in `version`; likewise *flag*
        :raises BadInputError: as in `version`
        :raises candidate.UnknownCandidateError, candidate.RefusedCandidateError: as in `candidate.get`
        :raises candidate.tree.TreeError: likewise
        """
        name = option or self.version(what, flag)
        if option or not name:
            return candidate.get(option or default)
        try:
            return candidate.get(name)
        except (candidate.UnknownCandidateError, candidate.RefusedCandidateError, TreeError) as error:
            told = f"{self.file}: its comment `# {what}: {name}`: {error}"
            raise type(error)(f"{told}; or name another version with {flag or f'--{what}'}") from error.__cause__

    def versions(self, reference: str | None, candidate_name: str | None) -> tuple[Candidate, Candidate]:
        """Return the reference and the candidate, from options or the comments of the program.

        :param reference: value of the option; likewise *candidate_name*
        :raises BadInputError: neither names a candidate; else as `open`
        """
        if not (candidate_name or self.version("candidate")):
            raise BadInputError(f"{self.file}: no comment names its candidate; name it with --candidate NAME")
        return self.open("reference", reference, candidate.names()[0]), self.open("candidate", candidate_name, "")


def read_given(name: str) -> Given:
    """Read a program with its comments, from a file or standard input (``-``); it may be embedded in a mail.

    :raises BadInputError: it cannot be read, or is no valid program
    """
    try:
        return _given(read_contents(name), input_name(name))
    except ProgramError as error:
        raise BadInputError(str(error)) from None


def _given(data: bytes, file: str) -> Given:
    """Parse the program in *data*.

    :raises ProgramError: there is no valid program
    """
    try:
        text = message_text(data).decode()
        text = program_part(text)
    except UnicodeDecodeError:
        # A program is UTF-8; parsing reports the invalid place.
        return Given(file, parse(data, file), {})
    except ProgramError as error:
        raise ProgramError(file, error.line, error.message) from None
    try:
        program = parse(text, file)
    except ProgramError as error:
        raise ProgramError(error.file, error.line, error.message + binary_hint(data)) from None
    return Given(file, program, comments_of(text))


def read_all(files: list[str]) -> list[Given]:
    """Read all programs, before any of them runs.

    :raises BadInputError: with a line for each invalid program
    """
    found: list[Given] = []
    wrong: list[str] = []
    for file in files:
        try:
            found.append(read_given(file))
        except BadInputError as error:
            wrong += error.args
    if wrong:
        raise BadInputError(*wrong)
    return found


def read_programs(files: list[str]) -> list[tuple[str, Program]]:
    """Read all programs as `read_all` does, without their comments."""
    return [(given.file, given.program) for given in read_all(files)]


def known_findings(arguments: Namespace) -> Accepted:
    """Read the accepted findings that ``--known`` names, or those of the current directory.

    :raises BadInputError: the file cannot be used
    """
    try:
        return load_accepted(arguments.known)
    except AcceptedError as error:
        raise BadInputError(str(error)) from None


def make_out(name: str, folder: str) -> Path:
    """Create the output directory, and check now, not after an hour of work, that files can be written.

    :param folder: name of the subdirectory for this candidate
    :raises BadInputError: files cannot be written
    """
    out = Path(name) / folder
    try:
        out.mkdir(parents=True, exist_ok=True)
        OutputFile(out / "finding.s2").probe()
    except (OSError, ValueError) as error:
        wrong = getattr(error, "strerror", None) or str(error)
        raise BadInputError(f"--out {name}: {wrong}; name a directory that can be created and written") from None
    return out


def refused_output(name: str, error: OSError) -> BadInputError:
    """Return the error for an unwritable file that ``-o`` names."""
    return refused_file("-o", name, error)


def refused_file(option: str, name: str, error: OSError) -> BadInputError:
    """Return the error for an unwritable file that an option names."""
    wanted = remedy(error) or "; name a file that can be written, a device, or a FIFO that has a reader"
    return BadInputError(f"{option} {shown_name(name)}: {error.strerror or error}{wanted}")


def probe_output(option: str, name: str) -> None:
    """Check that the file that an option names can be written: now, not after an hour of work.

    :raises BadInputError: it cannot be written
    """
    try:
        with OutputFile(name) as output:
            output.probe()
    except OSError as error:
        raise refused_file(option, name, error) from None


def write_output(name: str, data: bytes) -> None:
    """Write the output of a command to the file that ``-o`` names, or to standard output (``-``).

    :raises BadInputError: the file cannot be written
    """
    if name == STANDARD:
        sys.stdout.buffer.write(data)
        return
    try:
        write_atomically(name, data)
    except OSError as error:
        raise refused_output(name, error) from None


def write_folder(name: str, files: dict[str, bytes], executable: set[str]) -> None:
    """Write files into the new or empty folder that ``-o`` names.

    :param executable: names of the files to make executable
    :raises BadInputError: the folder has files, or cannot be created or written
    """
    folder = Path(name)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()):
            raise BadInputError(f"-o {shown_name(name)}: has files; name a new folder")
        for file, data in files.items():
            write_atomically(folder / file, data)
            if file in executable:
                (folder / file).chmod(0o755)
    except (OSError, ValueError) as error:
        wrong = getattr(error, "strerror", None) or str(error)
        help_known = remedy(error) if isinstance(error, OSError) else ""
        wanted = help_known or "; name a folder that can be created and written"
        raise BadInputError(f"-o {shown_name(name)}: {wrong}{wanted}") from None
