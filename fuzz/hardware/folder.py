# SPDX-License-Identifier: GPL-2.0-only
"""The tables that a program leaves, as a folder with which QEMU can be asked about them without s2fuzz."""

from array import array

from candidate import Candidate
from reference.machine.walk import Walk

from ..execution.executor import Executor
from ..execution.refusal import UnmodelledError
from ..language.program import Program
from ..language.text import headings, print_program
from . import assemble, layout
from .deviations import foreseen
from .expectation import Expectation, in_words
from .folder_texts import KNOWN, QUESTIONS, SCRIPT, TABLES, readme, script
from .live import Copy
from .tables import ASK_NAMES, Full, TableMemory, Tables, split
from .text import print_tables


class NoTablesError(Exception):
    """There are no tables to write; the text says why."""


class TablesFolder:
    """Collects the tables of one side, and makes files of them.

    :param executor: the side, at the operation after which the tables are wanted
    :param name: of the file of the program, for people
    :param after: number of that operation, from 1; 0: the VMs have been created
    :raises NoTablesError: no VM has tables, or there are more than QEMU gets
    """

    def __init__(self, executor: Executor, name: str, after: int) -> None:
        self.program = executor.program
        self.version = executor.side.version.name
        self.name = name
        self.after = after
        self.image = array("q", bytes(layout.TABLES_SIZE))
        memory = TableMemory(self.image)
        # Number of each VM that has tables -> these, and our walks of the questions about them.
        self.guests: dict[int, tuple[Tables, list[Walk]]] = {}
        for number, guest in enumerate(executor.side.guests):
            if guest.regime.root < 0 or guest.kvm.pgt is None:
                continue
            try:
                tables = Copy(guest, memory).tables
            except Full:
                raise NoTablesError(f"VM {number} has more than {layout.TABLES_SIZE >> 20}M of tables") from None
            memory.load(tables.entries)
            self.guests[number] = tables, memory.walks(tables)
        self.used = memory.next
        self.asked = [asked for tables, _ in self.guests.values() for asked in tables.questions]
        if not self.guests:
            raise NoTablesError(f"no VM has tables after {self.place()}")
        if len(self.asked) > layout.MAX_QUESTIONS:
            raise NoTablesError(f"{len(self.asked)} questions arise, and QEMU takes {layout.MAX_QUESTIONS}")

    def place(self) -> str:
        """The operation after which the tables are as they are."""
        return headings(self.program)[self.after]

    def files(self) -> dict[str, bytes]:
        """The files of the folder, by name."""
        found = {each: image.tobytes() for each, image in self.images().items()}
        found["code.bin"] = assemble.stored()
        texts = {
            SCRIPT: script(len(self.asked)),
            QUESTIONS: self.questions(),
            "program.s2": print_program(self.program),
        }
        vms = {number: tables for number, (tables, _) in self.guests.items()}
        texts["README.txt"] = readme(self.name, self.version, self.place(), vms)
        for number, (tables, _) in self.guests.items():
            comments = [f"VM {number} of {self.name} on {self.version}, after {self.place()}"]
            texts[f"vm{number}.tables"] = print_tables(tables, tables.questions, comments)
        return {**found, **{name: text.encode() for name, text in texts.items()}}

    def images(self) -> "dict[str, array[int]]":
        """The words of the images that differ from program to program."""
        jobs = [word for tables, _ in self.guests.values() for word in tables.job()]
        mailbox = [len(self.guests), layout.JOBS, layout.QUESTIONS, layout.ANSWERS]
        words = {"mailbox.bin": mailbox, "jobs.bin": jobs, "questions.bin": self.asked}
        return {TABLES: self.image[: self.used], **{name: array("Q", each) for name, each in words.items()}}

    def questions(self) -> str:
        """A line for each question: the answer that our walk expects, and both in words."""
        lines: list[str] = []
        for number, (tables, walks) in self.guests.items():
            answer = Expectation(tables.setting).answer
            for asked, walk in zip(tables.questions, walks, strict=True):
                ask, ipa = split(asked)
                expected = answer(walk, asked)
                text = f"{expected:016x} VM {number}, {ASK_NAMES[ask]} of {ipa:#x}: {in_words(asked, expected)}"
                odd = foreseen(tables, walk, asked)
                lines.append(f"{text} {KNOWN}{odd.name})" if odd else text)
        return "".join(f"{line}\n" for line in lines)


def tables_folder(version: Candidate, program: Program, name: str, after: int) -> dict[str, bytes]:
    """Run a program up to an operation; return the files of a folder with the tables that are there then.

    :param name: of the file of the program, for people
    :param after: number of the operation, from 1; 0: the creation of the VMs
    :raises NoTablesError: there are none, or the program does not come so far
    :raises UnmodelledError: the program needs something that is not modelled for the version
    """
    executor = Executor(version, program)
    try:
        executor.create()
        done = 0
        while done < after and not executor.dead:
            executor.step(done)
            done += 1
        if executor.refused:
            raise UnmodelledError(executor.refused)
        if done < after:
            raise NoTablesError(f"{version.name} ends at {headings(program)[done]}")
        files = TablesFolder(executor, name, after).files()
        executor.destroy()
        return files
    finally:
        executor.dismantle()
