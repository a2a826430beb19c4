# SPDX-License-Identifier: GPL-2.0-only
"""Programs from any source, which is only read: files of either form, folders of texts, corpora."""

from collections.abc import Callable, Iterator
from pathlib import Path

from ..language.either import read
from ..language.inputs import STANDARD, input_name, read_contents
from ..language.program import Program, ProgramError
from ..language.text import load, shown_name
from .folder import SUFFIX, BadFile, Corpus, CorpusError, is_corpus


def gather(name: str, report: Callable[[BadFile], None]) -> Iterator[tuple[str, Program]]:
    """Yield the programs of a source, each with its own name, sorted.

    :param name: a file with a program as text or binary, `STANDARD` for standard input, a corpus,
        or another folder, for the texts named ``*.s2`` in it and below
    :param report: called with each file that should be a program and is none
    :raises CorpusError: there is no such file or folder, or the corpus is of a newer version
    """
    path = Path(name)
    if name != STANDARD and "\0" not in name and path.is_dir():
        yield from of_corpus(path, report) if is_corpus(path) else of_folder(path, report)
    else:
        yield from of_file(name, report)


def of_file(file: str, report: Callable[[BadFile], None], engine: bool = False) -> Iterator[tuple[str, Program]]:
    """Yield the program of a file of either form; *engine*: a byte engine wrote it (`fuzz.language.either.read`)."""
    shown = input_name(file)
    try:
        program = read(read_contents(file), shown, engine)
    except ProgramError as error:
        report(bad_file(error, shown))
    else:
        yield shown, program


def of_corpus(folder: Path, report: Callable[[BadFile], None]) -> Iterator[tuple[str, Program]]:
    """Yield the programs of a corpus, which is not changed."""
    corpus = Corpus(folder, change=False)
    for digest, program in corpus.programs():
        yield str(corpus.path(digest)), program
    for each in corpus.aside:
        report(each)


def of_folder(folder: Path, report: Callable[[BadFile], None]) -> Iterator[tuple[str, Program]]:
    """Yield the texts in a folder and below."""
    for path in sorted(folder.rglob(f"*{SUFFIX}")):
        if not path.is_file():
            continue
        try:
            yield shown_name(path), load(path)
        except ProgramError as error:
            report(bad_file(error, shown_name(path)))


def binaries(folder: str, report: Callable[[BadFile], None]) -> Iterator[tuple[str, Program]]:
    """Yield the programs of a directory of libFuzzer: every file in it and below is one.

    :raises CorpusError: there is no such directory
    """
    path = Path(folder)
    if "\0" in folder or not path.is_dir():
        wanted = "one of libFuzzer's, with a program in each file"
        raise CorpusError(f"{shown_name(folder)}: not a directory; name {wanted}")
    for file in sorted(path.rglob("*")):
        if file.is_file():
            yield from of_file(str(file), report, engine=True)


def bad_file(error: ProgramError, shown: str) -> BadFile:
    """Describe a file that is refused."""
    line = f":{error.line}" if error.line else ""
    return BadFile(f"{shown}{line}", error.message)
