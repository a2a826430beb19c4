# SPDX-License-Identifier: GPL-2.0-only
"""The tables that a program leaves, as a folder with which QEMU can be queried without s2fuzz."""

from array import array

from candidate import Candidate
from reference.machine.walk import Walk

from ..execution.executor import Executor
from ..execution.refusal import UnmodelledError
from ..language.program import Program
from ..language.text import headings, print_program
from . import assemble, layout
from .deviations import expected_deviation
from .expectation import Expectation, in_words
from .folder_texts import KNOWN, QUESTIONS, SCRIPT, TABLES, readme, script
from .live import Copy, with_tables
from .tables import ASK_NAMES, NoRoomError, TableMemory, Tables, split
from .text import print_tables


class NoTablesError(Exception):
    """There are no tables to write; the message gives the reason."""


class TablesFolder:
    """Collects the tables of one side, and makes files of them.

    :param executor: the side, after the operation whose tables are wanted
    :param name: name of the program's file, for messages
    :param after: number of that operation, from 1; 0: after the creation of the VMs
    :raises NoTablesError: no VM has tables, or they do not fit into QEMU's memory
    """

    def __init__(self, executor: Executor, name: str, after: int) -> None:
        self.program = executor.program
        self.version = executor.side.version.name
        self.name = name
        self.after = after
        self.image = array("q", bytes(layout.TABLES_SIZE))
        memory = TableMemory(self.image)
        # Number of each VM with tables -> the tables, and our walks of the questions about them.
        self.guests: dict[int, tuple[Tables, list[Walk]]] = {}
        for number, guest in with_tables(executor.side.guests):
            try:
                tables = Copy(guest, memory).tables
            except NoRoomError:
                raise NoTablesError(f"VM {number} has more than {layout.TABLES_SIZE >> 20}M of tables") from None
            memory.load(tables.entries)
            self.guests[number] = tables, memory.walks(tables)
        self.used = memory.next
        self.asked = [asked for tables, _ in self.guests.values() for asked in tables.questions]
        if not self.guests:
            raise NoTablesError(f"no VM has tables after {self.place()}")
        if len(self.asked) > layout.MAX_QUESTIONS:
            raise NoTablesError(f"{len(self.asked)} questions arise, but QEMU takes at most {layout.MAX_QUESTIONS}")

    def place(self) -> str:
        """Return the operation after which the tables are captured."""
        return headings(self.program)[self.after]

    def files(self) -> dict[str, bytes]:
        """Return the files of the folder, by name."""
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
        """Return the words of the images that differ between programs."""
        jobs = [word for tables, _ in self.guests.values() for word in tables.job()]
        mailbox = [len(self.guests), layout.JOBS, layout.QUESTIONS, layout.ANSWERS]
        words = {"mailbox.bin": mailbox, "jobs.bin": jobs, "questions.bin": self.asked}
        return {TABLES: self.image[: self.used], **{name: array("Q", each) for name, each in words.items()}}

    def questions(self) -> str:
        """Return a line for each question: the answer that our walk expects, and both as text."""
        lines: list[str] = []
        for number, (tables, walks) in self.guests.items():
            answer = Expectation(tables.setting).answer
            for asked, walk in zip(tables.questions, walks, strict=True):
                ask, ipa = split(asked)
                expected = answer(walk, asked)
                text = f"{expected:016x} VM {number}, {ASK_NAMES[ask]} of {ipa:#x}: {in_words(asked, expected)}"
                odd = expected_deviation(tables, walk, asked)
                lines.append(f"{text} {KNOWN}{odd.name})" if odd else text)
        return "".join(f"{line}\n" for line in lines)


def tables_folder(version: Candidate, program: Program, name: str, after: int) -> dict[str, bytes]:
    """Run a program up to an operation; return the files of a folder with the tables at that point.

    :param name: name of the program's file, for messages
    :param after: number of the operation, from 1; 0: the creation of the VMs
    :raises NoTablesError: there are none, or the program does not reach the operation
    :raises UnmodelledError: the program needs a feature of the version that is not modelled
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
