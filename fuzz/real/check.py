# SPDX-License-Identifier: GPL-2.0-only
"""Many programs on one machine and on the model; the first difference of each kind is saved as a file that replays."""

import hashlib
import re
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from candidate import Candidate

from ..distribution import corpus_folder
from ..files import write_atomically
from ..generation.generator import Generator
from ..language.program import Program
from ..language.text import load, print_program
from .errors import RealSilentError, UnplayableError
from .run import RealRun, run
from .session import RealSession
from .translate import played

# Kind of difference for a machine that hangs. After this many in one session QEMU itself is to blame.
SILENT_KIND: Final = "silent"
MOST_HANGS: Final = 3


@dataclass
class DifferenceKind:
    """Differences that are alike except for their programs.

    :param program: the first program that showed it, as played
    :param where: name of that program, for messages
    :param text: text of the first difference
    :param count: number of differences
    :param file: file of the first one; "" if it was not saved
    :param replays: whether a fresh machine shows it too; None: not tried
    """

    program: Program
    where: str
    text: str
    count: int = 1
    file: str = ""
    replays: bool | None = None


@dataclass
class RealCheck:
    """Programs played on a machine, and the results.

    *confirmed*: number of programs, for each signature of a model's finding that the kernel also showed; *left*: number
    of programs that cannot be played, by reason; *seconds*: total time for played programs; *kernel*: the machine's
    part of it

    :param session: the machine
    :param version: the model
    :param tables: also compare the stage-2 tables after each operation
    """

    session: RealSession
    version: Candidate
    tables: bool = False
    trouble: str = ""
    left_out: Counter[str] = field(default_factory=Counter)
    programs: int = 0
    hung: int = 0
    operations: int = 0
    agree: int = 0
    kinds: dict[str, DifferenceKind] = field(default_factory=dict)
    seconds: float = 0.0
    kernel: float = 0.0
    confirmed: Counter[str] = field(default_factory=Counter)

    def play(self, program: Program, where: str) -> None:
        """Play one program and record its differences.

        :raises RealError: QEMU died or does not answer
        """
        began = time.monotonic()
        try:
            done = run(self.session, self.version, where, program, self.tables)
        except UnplayableError as error:
            self.left_out[generic(str(error))] += 1
            return
        except RealSilentError:
            self.hung += 1
            if self.hung == MOST_HANGS:
                raise
            self.programs += 1
            self.note(
                SILENT_KIND, "the machine does not answer", played(program, self.session.page_size).program, where
            )
            self.session.start()
            return
        self.seconds += time.monotonic() - began
        self.kernel += done.answers.seconds
        self.programs += 1
        self.operations += len(done.played.places)
        self.confirmed.update(violation.signature for violation, _ in done.confirmed)
        found = kinds_of(done)
        self.agree += not found
        for key, text in found.items():
            self.note(key, text, done.played.program, where)

    def note(self, key: str, text: str, program: Program, where: str) -> None:
        """Count a difference of a kind; keep the first of each kind."""
        if key in self.kinds:
            self.kinds[key].count += 1
        else:
            self.kinds[key] = DifferenceKind(program, where, text)

    def replays(self, key: str, kind: DifferenceKind) -> bool:
        """Return whether a fresh machine shows a difference too.

        :raises RealError: QEMU died
        """
        self.session.start()
        try:
            return key in kinds_of(run(self.session, self.version, kind.where, kind.program, self.tables))
        except RealSilentError:
            return key == SILENT_KIND

    def save(self, folder: Path) -> None:
        """Replay each kind on a fresh machine, and write the files.

        :raises RealError: QEMU died or does not answer
        """
        for key, kind in self.kinds.items():
            kind.replays = self.replays(key, kind)
            comments = [*kind.text.splitlines(), f"kernel: {self.session.release}", f"model: {self.version.name}"]
            comments += [f"program: {kind.where}"] + ([] if kind.replays else ["not reproduced on a fresh machine"])
            file = folder / file_name(key)
            try:
                write_atomically(file, "".join(f"# {line}\n" for line in comments) + print_program(kind.program))
            except OSError as error:
                self.trouble = f"{file}: {error.strerror or error}"
            else:
                kind.file = str(file)

    @property
    def rate(self) -> float:
        """Return the number of programs per second."""
        return self.programs / self.seconds if self.seconds else 0.0

    def text(self) -> str:
        """Return the report as text."""
        lines: list[str] = []
        for kind in self.kinds.values():
            lines.append(f"difference in {kind.where}: {kind.text}")
            more = f"{kind.count} like this; " if kind.count > 1 else ""
            again = {None: "", True: "reproduced on a fresh machine; ", False: "NOT reproduced on a fresh machine; "}
            lines.append(f"    {more}{again[kind.replays]}{kind.file or 'not saved'}")
        head = f"Linux {self.session.release} beside {self.version.name}"
        lines.append(
            f"{head}: {self.agree} of {self.programs} programs agree, {self.operations} operations "
            f"in {self.seconds:.1f} s ({self.kernel:.1f} s of the machine), {self.rate:.1f} programs/s"
        )
        lines += [f"confirmed: {name}: {count} programs" for name, count in self.confirmed.most_common()]
        lines += [f"not played: {reason}: {count}" for reason, count in self.left_out.most_common()]
        count = sum(kind.count for kind in self.kinds.values())
        kinds = f"{len(self.kinds)} kind{'s' if len(self.kinds) > 1 else ''}"
        lines.append(f"{count} difference{'s' if count > 1 else ''} of {kinds}" if count else "no difference")
        return "\n".join(lines) + "\n"

    def answer(self) -> dict[str, Any]:
        """Return the result for ``--json``.

        The keys are ``kernel`` (release), ``model``, ``programs``, ``agree``, ``operations``, ``seconds``,
        ``machine_seconds`` (part of *seconds*), ``programs_per_second``, ``confirmed`` (programs by signature),
        ``not_played`` (by reason), ``differences`` (for each kind ``where``, ``text``, ``count``, ``file`` or null,
        ``replays`` or null).
        """
        return {
            "kernel": self.session.release,
            "model": self.version.name,
            "programs": self.programs,
            "agree": self.agree,
            "operations": self.operations,
            "seconds": round(self.seconds, 3),
            "machine_seconds": round(self.kernel, 3),
            "programs_per_second": round(self.rate, 1),
            "confirmed": dict(self.confirmed),
            "not_played": dict(self.left_out),
            "differences": [
                {
                    "where": kind.where,
                    "text": kind.text,
                    "count": kind.count,
                    "file": kind.file or None,
                    "replays": kind.replays,
                }
                for kind in self.kinds.values()
            ],
        }


def kinds_of(done: RealRun) -> dict[str, str]:
    """Return the kinds of unexplained results of a program, each with a text for the report."""
    found: dict[str, str] = {}
    if done.differences:
        # Later differences may be consequences of the first.
        each = done.differences[0]
        op = "creation" if each.at < 0 else type(done.played.program.operations[each.at]).__name__
        real = each.real.status if each.real else "not reached"
        text = f"{done.heading(each.at)}: model {each.model}, kernel {each.real or 'not reached'}"
        found[f"{op}: {each.model.partition(' ')[0]} {real}"] = text
    if done.tables:
        first = done.tables[0]
        op = type(done.played.program.operations[first.at]).__name__
        text = f"tables differ at {done.heading(first.at)}: {first.text()}"
        found.setdefault(f"tables: {op}: {first.model or 'nothing'}, {first.real or 'nothing'}", text)
    for complaint in done.unexplained:
        found.setdefault(generic(complaint), f"the kernel says: {complaint}")
    if done.answers.status:
        found.setdefault(f"status {done.answers.status}", f"the player exited with status {done.answers.status:#x}")
    return found


def generic(text: str) -> str:
    """Return a text with the program's names and numbers removed."""
    return re.sub(r"\b(?:0x[0-9a-f]+|\d+[KMG]?)\b", "N", re.sub(r"slot \w+", "slot", text))


def file_name(key: str) -> str:
    """Return a file name that is always the same for the same kind."""
    slug = re.sub(r"[^A-Za-z0-9_]+", "-", key).strip("-")[:80].rstrip("-")
    return f"{slug}-{hashlib.sha256(key.encode()).hexdigest()[:6]}.s2"


def corpus() -> Iterator[tuple[str, Program]]:
    """Yield the programs of ``corpus/``, each with its path."""
    folder = corpus_folder()
    for path in sorted(folder.rglob("*.s2")):
        yield str(path.relative_to(folder.parent)), load(str(path))


def random_programs(seed: int, page_size: int) -> Iterable[tuple[str, Program]]:
    """Yield the random programs of a seed, without end."""
    generator = Generator(seed, page_size)
    while True:
        yield f"seed {seed}, program {generator.number + 1}", generator.next()
