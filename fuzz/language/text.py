# SPDX-License-Identifier: GPL-2.0-only
"""The written form of a program, version 1: one statement per line.

`FORMS` is the grammar: parser, printer and error messages all follow it. `#`
starts a comment that extends to the end of the line. Numbers of bytes are
decimal with an optional K, M or G, or hexadecimal after 0x.
"""

import os
import re
from collections.abc import Sequence
from typing import Any, Final

from ..suggestions import near_file
from .bounds import MAX_OPERATIONS, MAX_SLOTS, check_vm
from .forms import BEGIN, END
from .lock_rules import check_thread
from .looks import binary_hint
from .operations import THREADS, Operation, Par, Switch, Threaded
from .program import MIB, Program, ProgramError, Slot, Vm, next_ipa, refusal, show_bytes
from .statements import BLOCK, SLOT, SLOT_VERBS, SWITCH, VM, VM_VERBS, line_of, operation_of_thread, read_operation
from .validate import validate

VERSIONS: Final = ("1",)
_HEADER: Final = f"s2fuzz {VERSIONS[-1]}"
_ODD: Final = re.compile(r"[^\t -~]")
_MAX_WORDS: Final = 18  # more than any statement has
MAX_FILE_SIZE: Final = MIB


class _Parser:
    """The statements so far, and the line number of each."""

    def __init__(self) -> None:
        self.vm = Vm()
        self.slots: list[Slot] = []
        self.operations: list[Operation] = []
        self.lines: list[int] = []
        # The lines of finished blocks, keyed by the number of the statement.
        self.inner: dict[int, list[int]] = {}
        # The open block: operations, switches, and the line of each.
        self.block: tuple[list[Any], list[Switch], list[int]] | None = None

    def read(self, text: str) -> None:
        """Read *text*. A `ProgramError` has its line and no file."""
        number = 1
        try:
            for number, line in enumerate(text.split("\n"), 1):
                statement = line.partition("#")[0].rstrip("\r")
                if odd := _ODD.search(statement):
                    raise refusal(f"character {odd[0]!a}", "printable ASCII, tabs, comments")
                if words := statement.split(None, _MAX_WORDS):
                    if self.block is not None:
                        self._in_block(words, number)
                        continue
                    self._statement(words)
                    self.lines.append(number)
                if len(self.slots) > MAX_SLOTS or len(self.operations) > MAX_OPERATIONS:
                    return
            if self.block is not None:
                raise refusal(f"the text ends inside a {BEGIN} block", END)
            if len(self.lines) < 2:
                number = max(self.lines, default=1)
                if self.lines:
                    raise refusal(f"no vm line after {_HEADER}", VM.usage)
                raise refusal("there is no program", f"a text that begins with {_HEADER}")
        except ProgramError as error:
            raise ProgramError("", number, error.message) from None

    def _statement(self, words: Sequence[str]) -> None:
        head = words[0]
        if not self.lines:
            if head != "s2fuzz":
                raise refusal(f"the first line is {head[:40]!a}", _HEADER)
            if len(words) != 2 or words[1] not in VERSIONS:
                version = " ".join(words[1:])
                raise refusal(f"unknown version {version[:40]!a}", ", ".join(VERSIONS))
        elif len(self.lines) == 1:
            if head != "vm":
                raise refusal(f"{head[:40]!a} instead of vm", VM.usage)
            self.vm = Vm(*VM.read(words))
            check_vm(self.vm)
        elif head == "s2fuzz" or (head == "vm" and words[1:2] not in VM_VERBS):
            raise refusal(f"second {head}", "exactly one")
        elif head == BEGIN:
            if len(words) > 1:
                raise refusal(f"unknown {words[1][:40]!a}", BLOCK)
            self.block = [], [], []
        elif head == END:
            raise refusal(f"{END} without {BEGIN}", BLOCK)
        elif head != "slot" or words[2:3] in SLOT_VERBS:
            self.operations.append(read_operation(words))
        elif self.operations:
            raise refusal("slot after an operation", "slots right after vm")
        else:
            name, ipa, *rest = SLOT.read(words)
            self.slots.append(Slot(name, next_ipa(self.slots) if ipa is None else ipa, *rest))

    def _in_block(self, words: Sequence[str], number: int) -> None:
        """Read a line of the open block."""
        assert self.block is not None
        operations, switches, lines = self.block
        if words[0] == END:
            if len(words) > 1:
                raise refusal(f"unknown {words[1][:40]!a}", BLOCK)
            self.operations.append(Par(tuple(operations), tuple(switches)))
            self.inner[len(self.lines) - 1] = lines
            self.block = None
            return
        if words[0] == BEGIN:
            raise refusal(f"{BEGIN} in a {BEGIN} block", BLOCK)
        if words[0] == "switch":
            if words[2:3] != ["to"]:
                raise refusal(f"{' '.join(words)[:40]!a}", SWITCH.usage)
            switches.append(Switch(*SWITCH.read(words)))
        elif switches:
            raise refusal("operation after a switch", f"operations first, then switches, then {END}")
        elif words[0] in THREADS:
            operation = operation_of_thread(words)
            check_thread(operation)
            operations.append(Threaded(THREADS[words[0]], operation))
        else:
            operations.append(read_operation(words))
        lines.append(number)


def parse(text: str | bytes, name: str = "<text>") -> Program:
    """Return the program that *text* (bytes: in UTF-8) encodes.

    :param name: the file name in errors
    :raises ProgramError: the first invalid line; nothing else is raised
    """
    hint = ""
    if isinstance(text, bytes):
        hint = binary_hint(text)
        try:
            text = text.decode()
        except UnicodeDecodeError as error:
            wrong = f"byte {text[error.start]:#04x} at offset {error.start} is not UTF-8"
            raise ProgramError(name, 0, f"{wrong}; allowed: UTF-8 text{hint}") from None
    parser = _Parser()
    failure = None
    try:
        parser.read(text)
    except ProgramError as error:
        failure = ProgramError(name, error.line, error.message + hint)
    program = Program(parser.vm, tuple(parser.slots), tuple(parser.operations))
    if failure is None or parser.slots:
        validate(program, name, parser.lines[1:], {at - 1: lines for at, lines in parser.inner.items()})
    if failure is not None:
        raise failure
    return program


def print_program(program: Program) -> str:
    """Return the canonical text of a valid program. `parse` returns the same program."""
    statements = (program.vm, *program.slots, *program.operations)
    return "\n".join([_HEADER, *map(line_of, statements)]) + "\n"


def shown_name(path: str | os.PathLike[str]) -> str:
    """Return a file's name as an error shows it: in printable form."""
    return os.fspath(path).encode(errors="backslashreplace").decode() or "''"


def contents(path: str | os.PathLike[str] | int, name: str) -> bytes:
    """Read a file of at most `MAX_FILE_SIZE` bytes.

    :param path: the file, or an open file descriptor, which stays open
    :param name: the file name in errors
    :raises ProgramError: the file is longer, or cannot be read
    """
    try:
        with open(path, "rb", closefd=not isinstance(path, int)) as file:
            data = file.read(MAX_FILE_SIZE + 1)
    except (OSError, ValueError) as error:
        wrong = getattr(error, "strerror", None) or str(error)
        hint = near_file(path) if isinstance(error, FileNotFoundError) and not isinstance(path, int) else ""
        raise ProgramError(name, 0, f"{wrong}{hint}; name a file that can be read") from None
    if len(data) > MAX_FILE_SIZE:
        allowed = f"at most {show_bytes(MAX_FILE_SIZE)}"
        raise ProgramError(name, 0, f"the file is too long; allowed: {allowed}")
    return data


def load(path: str | os.PathLike[str]) -> Program:
    """Return the program in a file of at most `MAX_FILE_SIZE` bytes.

    :raises ProgramError: the file cannot be read, or `parse` refuses it
    """
    name = shown_name(path)
    return parse(contents(path, name), name)


def title(operation: Operation) -> str:
    """Return one line that describes an operation. A block is described by its operations."""
    if isinstance(operation, Par):
        return f"{BEGIN}: {' | '.join(map(line_of, operation.operations))}"
    return line_of(operation)


def headings(program: Program) -> list[str]:
    """Return the headings of creation, of each operation (counted from 1), and of destruction."""
    operations = [f"operation {number}: {title(each)}" for number, each in enumerate(program.operations, 1)]
    return ["creation of the VM", *operations, "destruction of the VM"]
