# SPDX-License-Identifier: GPL-2.0-only
"""Conversion between the words of statements and objects, as `fuzz.language.forms` declares it.

Numbers of bytes are decimal with an optional K, M or G, or hexadecimal after 0x.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import MISSING, fields
from typing import Any, Final, NamedTuple

from .bounds import ALL_VCPUS, MAX_VCPUS
from .forms import BEGIN, END, FORMS, SCHEDULE
from .operations import THREADS, Operation, Par, Switch, Threaded, actor_name, is_host
from .program import GIB, KIB, MIB, ProgramError, Slot, Vm, refusal, show_bytes

MAX_NUMBER: Final = 1 << 52

# The first words of operations. Where the second word is a slot, the verb follows it.
_CPUS: Final = tuple(f"cpu{n}" for n in range(MAX_VCPUS))
HEADS: Final = {f"cpu{n}": "cpuN" for n in range(MAX_VCPUS)} | {
    word: word for word in ("host", "log", "slot", "table", "hyp", "vm")
}
_VERB_LAST: Final = ("log", "slot")
_UNITS: Final = {"": 1, "K": KIB, "M": MIB, "G": GIB}
_BYTES: Final = re.compile(r"([0-9]+)([KMG]?)|0x([0-9a-fA-F]+)")
_COUNT: Final = re.compile(r"([0-9]+)()()")


class _Kind(NamedTuple):
    """The form of a word that encodes *width* values."""

    read: Callable[[str], tuple[Any, ...]]
    show: Callable[..., str]
    width: int = 1


def _number(pattern: re.Pattern[str], allowed: str, what: str = "a number") -> Callable[[str], tuple[int]]:
    def read(word: str) -> tuple[int]:
        match = pattern.fullmatch(word)
        if match is None:
            raise refusal(f"{word[:40]!a} is not {what}", allowed)
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
        raise refusal(f"{word[:40]!a} is not a place", "SLOT+OFF, for example a+4K")
    return slot, *_read_offset(offset)


def _read_name(word: str) -> tuple[str]:
    if not word:
        raise refusal("'' is not a name", "the name of a slot")
    return (word,)


def _read_cpu(word: str) -> tuple[int]:
    if word not in _CPUS:
        raise refusal(f"{word[:40]!a} is not a vCPU", ALL_VCPUS)
    return (_CPUS.index(word),)


def _read_actor(word: str) -> tuple[int]:
    if word in THREADS:
        return (THREADS[word],)
    if word not in _CPUS:
        raise refusal(f"{word[:40]!a} is not an actor", f"{ALL_VCPUS}, {', '.join(THREADS)}")
    return (_CPUS.index(word),)


def _bytes(what: str) -> Callable[[str], tuple[int]]:
    return _number(_BYTES, "decimal with an optional K, M or G, or 0x and hexadecimal", what)


_read_offset = _bytes("an offset")
_ADDRESS: Final = _Kind(_bytes("an address"), show_bytes)
_NAME: Final = _Kind(_read_name, str)
_KINDS: Final = {
    "cpuN": _Kind(_read_cpu, "cpu{}".format),
    "ACTOR": _Kind(_read_actor, actor_name),
    "NAME": _NAME,
    "SLOT": _NAME,
    "SLOT+OFF": _Kind(_read_place, lambda slot, offset: f"{slot}+{show_bytes(offset)}", 2),
    "SIZE": _Kind(_bytes("a size"), show_bytes),
    "OFF": _Kind(_read_offset, show_bytes),
    **dict.fromkeys(("ADDRESS", "VA", "PA"), _ADDRESS),
    "COUNT": _Kind(_number(_COUNT, "decimal"), "{:d}".format),
}


def _kind(word: str) -> _Kind:
    if word in _KINDS:
        return _KINDS[word]
    return _choice(word) if "|" in word else _Kind(lambda _: (), lambda: word, 0)


class _Form:
    """One kind of statement: converts between words and an object of class *make*."""

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
        """Return the values of the fields; None for an option without a default."""
        count = len(self.words)
        if len(words) < count:
            raise refusal(f"{' '.join(words)[:40]!a} is incomplete", self.usage)
        values: list[Any] = []
        for kind, word in zip(self.words, words, strict=False):
            values += kind.read(word)
        given: dict[str, Any] = {}
        for word in words[count:]:
            key, equals, value = word.partition("=")
            if not equals or key not in self.options:
                raise refusal(f"unknown {word[:40]!a}", self.usage)
            if key in given:
                raise refusal(f"second {key}=", "each option once")
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
        """Return the canonical line of an object of the class, without options that have their default value."""
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
VM: Final = _STATEMENTS[Vm]
SLOT: Final = _STATEMENTS[Slot]
SWITCH: Final = _STATEMENTS[Switch]
BLOCK: Final = f"{BEGIN}, a line for each operation and switch, {END}"
# The operations, keyed by their first word and their verb.
_OPERATIONS: Final = {
    (words[0], verb): form
    for form in list(_STATEMENTS.values())[2:-1]
    for words in [form.usage.split()]
    for verb in words[2 if words[0] in _VERB_LAST else 1].split("|")
}
# The verbs of operations whose lines begin like a slot statement.
SLOT_VERBS: Final = [[verb] for head, verb in _OPERATIONS if head == "slot"]
# The verbs of operations whose lines begin like the vm statement.
VM_VERBS: Final = [[verb] for head, verb in _OPERATIONS if head == "vm"]


def read_operation(words: Sequence[str]) -> Operation:
    """Return the operation of a line, given its words.

    :raises ProgramError: the line is no operation; without file and line
    """
    head = HEADS.get(words[0])
    if head is None and words[0] in THREADS:
        raise refusal(f"{words[0]!a} outside a par block", f"{BEGIN} before it, {END} after it")
    if head is None:
        allowed = f"{ALL_VCPUS}, host, log, slot, table, hyp, vm end, {BEGIN}"
        raise refusal(f"unknown statement {words[0][:40]!a}", allowed)
    verb = "".join(words[2:3] if head in _VERB_LAST else words[1:2])
    form = _OPERATIONS.get((head, verb))
    if form is None:
        usages = dict.fromkeys(f.usage for (h, _), f in _OPERATIONS.items() if h == head)
        raise refusal(f"unknown operation {' '.join(words)[:40]!a}", ", ".join(usages))
    operation: Operation = form.make(*form.read(words))
    return operation


def operation_of_thread(words: Sequence[str]) -> Any:
    """Return the operation after the name of an actor that is no vCPU. A host thread's name stands for ``host``."""
    if len(words) < 2:
        raise refusal(f"{words[0]!a} is incomplete", f"{words[0]} and an operation")
    return read_operation(["host", *words[1:]] if is_host(THREADS[words[0]]) else words[1:])


def line_of(statement: object) -> str:
    """Return the canonical line of a statement, or the lines of a block."""
    if isinstance(statement, Threaded):
        shown = line_of(statement.operation)
        return f"{actor_name(statement.cpu)} {shown.partition(' ')[2] if is_host(statement.cpu) else shown}"
    if not isinstance(statement, Par):
        return _STATEMENTS[type(statement)].show(statement)
    return "\n".join([BEGIN, *(f"  {line_of(each)}" for each in (*statement.operations, *statement.switches)), END])
