# SPDX-License-Identifier: GPL-2.0-only
"""The written form of a program, version 1: one statement a line.

`FORMS` is the grammar: parser, printer and error messages all follow it. `#`
starts a comment that goes to the end of the line. Numbers of bytes are
decimal with an optional K, M or G, or hexadecimal after 0x.
"""

import os
import re
from collections.abc import Callable, Sequence
from dataclasses import MISSING, fields
from typing import Any, Final, NamedTuple

from ..suggestions import near_file
from .forms import BEGIN, END, FORMS, SCHEDULE
from .operations import THREADS, Operation, Par, Switch, Threaded, actor_name, is_host
from .program import GIB, KIB, MIB, Program, ProgramError, Slot, Vm, next_ipa, refusal, show_bytes
from .validate import MAX_OPERATIONS, MAX_SLOTS, MAX_VCPUS, check_vm, validate

VERSIONS: Final = ("1",)
_HEADER: Final = f"s2fuzz {VERSIONS[-1]}"
MAX_FILE_SIZE: Final = MIB
MAX_NUMBER: Final = 1 << 52

# The first words of operations; those whose second word is a slot have their verb behind it.
_CPUS: Final = tuple(f"cpu{n}" for n in range(MAX_VCPUS))
HEADS: Final = {f"cpu{n}": "cpuN" for n in range(MAX_VCPUS)} | {
    word: word for word in ("host", "log", "slot", "table", "hyp")
}
_VERB_LAST: Final = ("log", "slot")
_UNITS: Final = {"": 1, "K": KIB, "M": MIB, "G": GIB}
_BYTES: Final = re.compile(r"([0-9]+)([KMG]?)|0x([0-9a-fA-F]+)")
_COUNT: Final = re.compile(r"([0-9]+)()()")
_ODD: Final = re.compile(r"[^\t -~]")
_MAX_WORDS: Final = 18  # more than any statement has


class _Kind(NamedTuple):
    """The form of a word that stands for *width* values."""

    read: Callable[[str], tuple[Any, ...]]
    show: Callable[..., str]
    width: int = 1


def _number(pattern: re.Pattern[str], allowed: str) -> Callable[[str], tuple[int]]:
    def read(word: str) -> tuple[int]:
        match = pattern.fullmatch(word)
        if match is None:
            raise refusal(f"{word[:40]!a} is no number", allowed)
        decimal, unit, hexadecimal = match.groups()
        digits = (decimal or hexadecimal).lstrip("0") or "0"
        if len(digits) <= len(str(MAX_NUMBER)):
            value = int(digits, 16 if hexadecimal else 10) * _UNITS[unit or ""]
            if value <= MAX_NUMBER:
                return (value,)
        raise refusal(f"{word[:40]!a} is too large", f"at most {MAX_NUMBER:#x}")

    return read


def _choice(words: str) -> _Kind:
    flag = words == "on|off"
    values = {word: word == "on" if flag else word for word in words.split("|")}
    shown = {value: word for word, value in values.items()}

    def read(word: str) -> tuple[object]:
        if word not in values:
            raise refusal(f"{word[:40]!a}", ", ".join(values))
        return (values[word],)

    return _Kind(read, shown.__getitem__)


def _read_place(word: str) -> tuple[str, int]:
    slot, plus, offset = word.partition("+")
    if not plus:
        raise refusal(f"{word[:40]!a} is no place", "SLOT+OFF, for example a+4K")
    return slot, *_read_bytes(offset)


def _read_name(word: str) -> tuple[str]:
    if not word:
        raise refusal("'' is no name", "the name of a slot")
    return (word,)


def _read_cpu(word: str) -> tuple[int]:
    if word not in _CPUS:
        raise refusal(f"{word[:40]!a} is no vCPU", f"cpu0 to cpu{MAX_VCPUS - 1}")
    return (_CPUS.index(word),)


def _read_actor(word: str) -> tuple[int]:
    if word in THREADS:
        return (THREADS[word],)
    if word not in _CPUS:
        raise refusal(f"{word[:40]!a} is no actor", f"cpu0 to cpu{MAX_VCPUS - 1}, {', '.join(THREADS)}")
    return (_CPUS.index(word),)


_read_bytes = _number(_BYTES, "decimal with an optional K, M or G, or 0x and hexadecimal")
_SIZE: Final = _Kind(_read_bytes, show_bytes)
_NAME: Final = _Kind(_read_name, str)
_KINDS: Final = {
    "cpuN": _Kind(_read_cpu, "cpu{}".format),
    "ACTOR": _Kind(_read_actor, actor_name),
    "NAME": _NAME,
    "SLOT": _NAME,
    "SLOT+OFF": _Kind(_read_place, lambda slot, offset: f"{slot}+{show_bytes(offset)}", 2),
    **dict.fromkeys(("SIZE", "ADDRESS", "OFF", "VA", "PA"), _SIZE),
    "COUNT": _Kind(_number(_COUNT, "decimal"), "{:d}".format),
}


def _kind(word: str) -> _Kind:
    if word in _KINDS:
        return _KINDS[word]
    return _choice(word) if "|" in word else _Kind(lambda _: (), lambda: word, 0)


class _Form:
    """One kind of statement, between words and an object of class *make*."""

    def __init__(self, make: type[Any], usage: str) -> None:
        words = usage.split()
        self.make, self.usage = make, usage
        self.words = [_kind(word) for word in words if "=" not in word]
        pairs = [word.strip("[]").partition("=") for word in words if "=" in word]
        self.options = {key: _kind(value) for key, _, value in pairs}
        self.required = [key for key, _, _ in pairs if f"[{key}=" not in usage]
        self.fields = {field.name: field.default for field in fields(make)}
        defaults = ((key, self.fields[key]) for key in self.options)
        self.defaults = {key: None if value is MISSING else value for key, value in defaults}

    def read(self, words: Sequence[str]) -> list[Any]:
        """The values of the fields; None for an option without a default."""
        count = len(self.words)
        if len(words) < count:
            raise refusal(f"{' '.join(words)[:40]!a} is not complete", self.usage)
        values: list[Any] = []
        for kind, word in zip(self.words, words, strict=False):
            values += kind.read(word)
        given: dict[str, Any] = {}
        for word in words[count:]:
            key, equals, value = word.partition("=")
            if not equals or key not in self.options:
                raise refusal(f"unknown {word[:40]!a}", self.usage)
            if key in given:
                raise refusal(f"second {key}=", "every option once")
            try:
                (given[key],) = self.options[key].read(value)
            except ProgramError as error:
                raise ProgramError("", 0, f"{key}={error.message}") from None
        for key in self.required:
            if key not in given:
                raise refusal(f"{key}= is missing", self.usage)
        values += (self.defaults | given).values()
        return values

    def show(self, statement: object) -> str:
        """The canonical line of an object of the class: options that have their default are left out."""
        values = [getattr(statement, name) for name in self.fields]
        words = []
        for kind in self.words:
            words.append(kind.show(*values[: kind.width]))
            del values[: kind.width]
        for (key, kind), value in zip(self.options.items(), values, strict=True):
            if value != self.defaults[key]:
                words.append(f"{key}={kind.show(value)}")
        return " ".join(words)


_STATEMENTS: Final = {make: _Form(make, usage) for make, usage in (*FORMS, SCHEDULE)}
_VM: Final = _STATEMENTS[Vm]
_SLOT: Final = _STATEMENTS[Slot]
_SWITCH: Final = _STATEMENTS[Switch]
_BLOCK: Final = f"{BEGIN}, a line for each operation and switch, {END}"
# The operations by their first word and the one that tells them apart.
_OPERATIONS: Final = {
    (words[0], verb): form
    for form in list(_STATEMENTS.values())[2:-1]
    for words in [form.usage.split()]
    for verb in words[2 if words[0] in _VERB_LAST else 1].split("|")
}
# The verbs that make an operation of a line that begins like a slot statement.
_SLOT_VERBS: Final = [[verb] for head, verb in _OPERATIONS if head == "slot"]


def read_operation(words: Sequence[str]) -> Operation:
    """The operation of a line, by its words.

    :raises ProgramError: it is none; without file and line
    """
    head = HEADS.get(words[0])
    if head is None:
        allowed = f"cpu0 to cpu{MAX_VCPUS - 1}, host, log, slot, table, hyp, {BEGIN}"
        raise refusal(f"unknown statement {words[0][:40]!a}", allowed)
    verb = "".join(words[2:3] if head in _VERB_LAST else words[1:2])
    form = _OPERATIONS.get((head, verb))
    if form is None:
        usages = dict.fromkeys(f.usage for (h, _), f in _OPERATIONS.items() if h == head)
        raise refusal(f"unknown operation {' '.join(words)[:40]!a}", ", ".join(usages))
    operation: Operation = form.make(*form.read(words))
    return operation


def _by_thread(words: Sequence[str]) -> Any:
    """The operation behind the name of an actor that is no vCPU; that of a thread of the host stands for ``host``."""
    if len(words) < 2:
        raise refusal(f"{words[0]!a} is not complete", f"{words[0]} and an operation")
    return read_operation(["host", *words[1:]] if is_host(THREADS[words[0]]) else words[1:])


class _Parser:
    """The statements so far, and the number of the line of each."""

    def __init__(self) -> None:
        self.vm = Vm()
        self.slots: list[Slot] = []
        self.operations: list[Operation] = []
        self.lines: list[int] = []
        # The lines of blocks that have ended, by the number of the statement.
        self.inner: dict[int, list[int]] = {}
        # The block that has begun, and not ended: operations, switches, the line of each.
        self.block: tuple[list[Any], list[Switch], list[int]] | None = None

    def read(self, text: str) -> None:
        """Read *text*; a `ProgramError` has its line and no file."""
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
                raise refusal(f"the text ends in a {BEGIN} block", END)
            if len(self.lines) < 2:
                number = max(self.lines, default=1)
                raise refusal("the text ends here", _VM.usage if self.lines else _HEADER)
        except ProgramError as error:
            raise ProgramError("", number, error.message) from None

    def _statement(self, words: Sequence[str]) -> None:
        head = words[0]
        if not self.lines:
            if head != "s2fuzz":
                raise refusal(f"{head[:40]!a} comes first", _HEADER)
            if len(words) != 2 or words[1] not in VERSIONS:
                version = " ".join(words[1:])
                raise refusal(f"unknown version {version[:40]!a}", ", ".join(VERSIONS))
        elif len(self.lines) == 1:
            if head != "vm":
                raise refusal(f"{head[:40]!a} in place of vm", _VM.usage)
            self.vm = Vm(*_VM.read(words))
            check_vm(self.vm)
        elif head in ("s2fuzz", "vm"):
            raise refusal(f"second {head}", "exactly one")
        elif head == BEGIN:
            if len(words) > 1:
                raise refusal(f"unknown {words[1][:40]!a}", _BLOCK)
            self.block = [], [], []
        elif head == END:
            raise refusal(f"{END} without {BEGIN}", _BLOCK)
        elif head != "slot" or words[2:3] in _SLOT_VERBS:
            self.operations.append(read_operation(words))
        elif self.operations:
            raise refusal("slot behind an operation", "slots right after vm")
        else:
            name, ipa, *rest = _SLOT.read(words)
            self.slots.append(Slot(name, next_ipa(self.slots) if ipa is None else ipa, *rest))

    def _in_block(self, words: Sequence[str], number: int) -> None:
        """Read a line of the block that has begun."""
        assert self.block is not None
        operations, switches, lines = self.block
        if words[0] == END:
            if len(words) > 1:
                raise refusal(f"unknown {words[1][:40]!a}", _BLOCK)
            self.operations.append(Par(tuple(operations), tuple(switches)))
            self.inner[len(self.lines) - 1] = lines
            self.block = None
            return
        if words[0] == BEGIN:
            raise refusal(f"{BEGIN} in a {BEGIN} block", _BLOCK)
        if words[0] == "switch":
            if words[2:3] != ["to"]:
                raise refusal(f"{' '.join(words)[:40]!a}", _SWITCH.usage)
            switches.append(Switch(*_SWITCH.read(words)))
        elif switches:
            raise refusal("operation behind a switch", f"operations first, then switches, then {END}")
        elif words[0] in THREADS:
            operations.append(Threaded(THREADS[words[0]], _by_thread(words)))
        else:
            operations.append(read_operation(words))
        lines.append(number)


def parse(text: str | bytes, name: str = "<text>") -> Program:
    """The program that *text* (bytes: in UTF-8) stands for.

    :param name: what an error names as the file
    :raises ProgramError: the first line that is wrong; nothing else is raised
    """
    if isinstance(text, bytes):
        try:
            text = text.decode()
        except UnicodeDecodeError as error:
            wrong = f"byte {text[error.start]:#04x} at offset {error.start} is not UTF-8"
            raise ProgramError(name, 0, f"{wrong}; allowed: UTF-8 text") from None
    parser = _Parser()
    failure = None
    try:
        parser.read(text)
    except ProgramError as error:
        failure = ProgramError(name, error.line, error.message)
    program = Program(parser.vm, tuple(parser.slots), tuple(parser.operations))
    if failure is None or parser.slots:
        validate(program, name, parser.lines[1:], {at - 1: lines for at, lines in parser.inner.items()})
    if failure is not None:
        raise failure
    return program


def print_program(program: Program) -> str:
    """The canonical text of a valid program: `parse` gives the same again."""
    statements = (program.vm, *program.slots, *program.operations)
    return "\n".join([_HEADER, *map(_show, statements)]) + "\n"


def _show(statement: object) -> str:
    """The canonical line of a statement, or the lines of a block."""
    if isinstance(statement, Threaded):
        shown = _show(statement.operation)
        return f"{actor_name(statement.cpu)} {shown.partition(' ')[2] if is_host(statement.cpu) else shown}"
    if not isinstance(statement, Par):
        return _STATEMENTS[type(statement)].show(statement)
    return "\n".join([BEGIN, *(f"  {_show(each)}" for each in (*statement.operations, *statement.switches)), END])


def shown_name(path: str | os.PathLike[str]) -> str:
    """A file's name as an error shows it: one that can be printed."""
    return os.fspath(path).encode(errors="backslashreplace").decode() or "''"


def contents(path: str | os.PathLike[str] | int, name: str) -> bytes:
    """Read a file of at most `MAX_FILE_SIZE` bytes.

    :param path: or an open file descriptor, which stays open
    :param name: what an error names as the file
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
    """The program in a file of at most `MAX_FILE_SIZE` bytes.

    :raises ProgramError: the file cannot be read, or `parse` refuses it
    """
    name = shown_name(path)
    return parse(contents(path, name), name)


def title(operation: Operation) -> str:
    """One line that stands for an operation; a block by its operations."""
    if isinstance(operation, Par):
        return f"{BEGIN}: {' | '.join(map(_show, operation.operations))}"
    return _show(operation)


def headings(program: Program) -> list[str]:
    """Return the names of creation, of each operation (counted from 1), and of destruction."""
    operations = [f"operation {number}: {title(each)}" for number, each in enumerate(program.operations, 1)]
    return ["creation of the VM", *operations, "destruction of the VM"]
