# SPDX-License-Identifier: GPL-2.0-only
"""Statistics of a corpus: sizes, kinds of operations, settings."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field, fields
from statistics import median as median_of

from ..language.forms import BEGIN, END, FORMS
from ..language.program import Program, Vm, show_bytes
from ..language.text import print_program
from .observation_cache import KnownFeatures


@dataclass(slots=True)
class Statistics:
    """Statistics of some programs.

    :param lengths: number of operations of each program, in order
    :param size: bytes of all texts
    :param kinds: kind of operation -> (number of operations, number of programs with any)
    :param settings: setting -> value -> number of programs
    """

    lengths: list[int] = field(default_factory=list)
    size: int = 0
    kinds: dict[str, tuple[int, int]] = field(default_factory=dict)
    settings: dict[str, Counter[str]] = field(default_factory=dict)

    @property
    def operations(self) -> int:
        return sum(self.lengths)

    @property
    def median(self) -> float:
        """The median number of operations."""
        return median_of(self.lengths) if self.lengths else 0

    @property
    def longest(self) -> int:
        return max(self.lengths, default=0)

    def absent(self) -> list[str]:
        """Return the kinds of operations that no program has."""
        return [kind for kind in all_kinds() if kind not in self.kinds]


def kind_of(line: str) -> str:
    """Return the name of an operation's kind, given its canonical line: ``cpu read``, ``log get``."""
    words = line.split()
    if len(words) < 2:
        return line
    head = "cpu" if words[0].startswith("cpu") else words[0]
    return f"{head} {words[2 if head in ('log', 'slot') else 1]}"


def all_kinds() -> list[str]:
    """Return all kinds of operations, in the order of the grammar."""
    found: list[str] = []
    for _, usage in FORMS[2:]:
        head, verbs = kind_of(usage).split()
        found += [f"{head} {verb}" for verb in verbs.split("|")]
    return found


def settings_of(program: Program) -> Iterable[tuple[str, str]]:
    """Yield the settings of the machine with their values, and the number and backings of the slots."""
    for each in fields(Vm):
        value = getattr(program.vm, each.name)
        if isinstance(value, bool):
            yield each.name, "on" if value else "off"
        elif value is not None:
            yield each.name, show_bytes(value) if each.name == "granule" else str(value)
    yield "slots", str(len(program.slots))
    for backing in sorted({slot.backing for slot in program.slots}):
        yield "backing", backing


def statistics(programs: Iterable[Program]) -> Statistics:
    """Count the contents of these programs."""
    found = Statistics()
    total: Counter[str] = Counter()
    within: Counter[str] = Counter()
    for program in programs:
        text = print_program(program)
        found.lengths.append(len(program.operations))
        found.size += len(text)
        # A block counts, and so does each operation in it. Its schedule does not.
        lines = [line.strip() for line in text.splitlines()[2 + len(program.slots) :]]
        kinds = [kind_of(line) for line in lines if line != END and not line.startswith("switch ")]
        total.update(kinds)
        within.update(set(kinds))
        for name, value in settings_of(program):
            found.settings.setdefault(name, Counter())[value] += 1
    found.kinds = {kind: (total[kind], within[kind]) for kind in (*all_kinds(), BEGIN) if total[kind]}
    return found


def as_text(folder: str, found: Statistics, seen: list[KnownFeatures], bad: list[str]) -> str:
    """Return the statistics as text for people.

    :param folder: name of the corpus
    :param seen: its known features
    :param bad: a line for each file that is no program
    """
    size = show_bytes(-(-found.size // 1024) * 1024)
    lines = [
        f"{folder}: {len(found.lengths)} programs, {found.operations} operations, {size} of text",
        f"operations per program: median {found.median:g}, maximum {found.longest}",
    ]
    lines += [f"features of {each.versions}: {each.features}, from {each.programs} programs" for each in seen]
    if not seen:
        lines.append("features: not yet known (`s2fuzz corpus minimize --dry-run` observes them)")
    if found.kinds:
        lines += ["", f"{'operation':<16}{'count':>10}{'programs':>10}"]
        lines += [f"{kind:<16}{count:>10}{within:>10}" for kind, (count, within) in found.kinds.items()]
        if absent := found.absent():
            lines.append(f"in no program: {', '.join(absent)}")
        lines.append("")
        width = max(map(len, found.settings))
        for name, values in found.settings.items():
            shown = ", ".join(f"{value} {count}" for value, count in values.most_common())
            lines.append(f"{name:<{width}}  {shown}")
    if bad:
        lines += ["", "not programs:", *bad]
    return "\n".join(lines)
