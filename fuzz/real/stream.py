# SPDX-License-Identifier: GPL-2.0-only
"""The stream of stores, flushes and cache operations of a real kernel, compared with its model's after each operation.

It decides about rules that outcomes do not show: a kernel with the same stream in the same order breaks the same rule.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from candidate import Candidate

from ..checkers import Violation
from ..language.operations import GuestCache, GuestSetWay
from ..language.program import Program
from ..sides.guest import Guest
from .answers import RealAnswers, parse
from .errors import NoRootError, RealError
from .events import CLEANED, FLUSHED, INVALIDATED, STORED, ModelEvents, StreamEvent, StreamTables, real_events, tables
from .kernels import RealKernel
from .left_out import CPU, OLD_CPU, EmulatedCpu
from .lines import WINDOW, free_windows
from .model import ModelRun
from .plugin import NoStreamError, make, require_plugins
from .session import RealSession
from .stamp import CONFIRMED, HIDDEN, NOT_CONFIRMED, Stamp
from .tables import RealTables, Words
from .translate import Played, played

# The events that each rule is about, besides stores.
RULES: Final[dict[str, str]] = {
    "dcache": CLEANED,
    "icache": INVALIDATED,
    "tlb": FLUSHED,
    "bbm": FLUSHED,
    "lifetime": FLUSHED,
}
CACHE_RULES: Final = ("dcache", "icache")
# Operations that clean all slots, including the slot of our own code in the guest.
CLEANS_ALL: Final = (GuestCache, GuestSetWay)
# Maximum number of events of a difference to show.
MOST_SHOWN: Final = 3


def cpu_for(program: Program) -> EmulatedCpu:
    """Return the CPU for watching a program: a CPU whose caches need cleaning, if those of the program's CPU do.

    That CPU has no MTE.
    """
    return CPU if program.vm.fwb or program.vm.mte else OLD_CPU


@dataclass
class StreamRun:
    """The streams of a program.

    :param part: the part of the program that was played
    :param violations: violations of the model
    :param model: events of the model, by operation
    :param real: events of the kernel, by operation
    :param answers: results that /init reported
    """

    part: Played
    violations: list[Violation] = field(default_factory=list)
    model: list[list[StreamEvent]] = field(default_factory=list)
    real: list[list[StreamEvent]] = field(default_factory=list)
    answers: RealAnswers = field(default_factory=RealAnswers)

    def stamp(self, violation: Violation, model: str) -> Stamp:
        """Return the stamp of a violation of one of `RULES`.

        :param model: name of the model, for messages
        """
        wanted = RULES[violation.checker]
        if not 0 <= violation.at < len(self.part.places):
            return Stamp(HIDDEN, "only operations are watched")
        if violation.at >= len(self.real):
            return Stamp(HIDDEN, "the operation was not reached")
        if wanted == CLEANED and isinstance(self.part.program.operations[violation.at], CLEANS_ALL):
            return Stamp(HIDDEN, "our own code in the guest is cleaned too")
        ours, theirs = (
            [each for each in found[violation.at] if each.kind in (STORED, wanted)] for found in (self.model, self.real)
        )
        if any(each.kind == FLUSHED and "vmid" not in each.what and each.ipa < 0 for each in theirs):
            return Stamp(HIDDEN, "this QEMU does not report what TLBIs flush")
        if ours == theirs:
            return Stamp(CONFIRMED, f"the same as {model}, in the same order: {summary(theirs, wanted)}")
        stores = [[each for each in found if each.kind == STORED] for found in (ours, theirs)]
        if stores[0] == stores[1]:
            return Stamp(NOT_CONFIRMED, f"{summary(theirs, wanted)}, where {model} has {summary(ours, wanted)}")
        return Stamp(HIDDEN, f"its stores differ from those of {model}: {difference(*stores)}")

    def stamp_of_absent(self, checker: str, model: str) -> Stamp:
        """Return the stamp of a violation of one of `RULES` that the model does not have.

        :param model: name of the model, for messages
        """
        for at, found in enumerate(zip(self.model, self.real, strict=True)):
            ours, theirs = ([each for each in side if each.kind in (STORED, RULES[checker])] for side in found)
            if ours != theirs:
                return Stamp(HIDDEN, f"{model} behaves differently at operation {at + 1}: {difference(ours, theirs)}")
        if len(self.real) < len(self.part.places):
            return Stamp(HIDDEN, f"only {len(self.real)} of {len(self.part.places)} operations were reached")
        return Stamp(NOT_CONFIRMED, f"it does the same as {model}, in the same order, and breaks no such rule")


def summary(events: list[StreamEvent], wanted: str) -> str:
    """Return text for the events of a kind, and the number of stores."""
    stores = sum(each.kind == STORED for each in events)
    others = [each.text() for each in events if each.kind == wanted]
    more = [f"and {len(others) - MOST_SHOWN} more"] if len(others) > MOST_SHOWN else []
    text = ", ".join(others[:MOST_SHOWN] + more) if others else f"no {wanted}"
    return f"{stores} store{'' if stores == 1 else 's'}, {text}"


def difference(model: list[StreamEvent], real: list[StreamEvent]) -> str:
    """Return text for the first place at which two streams differ."""
    at = next((at for at, pair in enumerate(zip(model, real, strict=False)) if pair[0] != pair[1]), None)
    at = min(len(model), len(real)) if at is None else at
    one, other = (found[at].text() if at < len(found) else "nothing" for found in (model, real))
    return f"{other} instead of {one}"


class StreamWitness:
    """Plays programs on machines whose streams are recorded, each program on a fresh machine.

    :param kernel: kernel to boot
    :param append: additional kernel parameters
    :param progress: called with a line before a long step
    """

    def __init__(self, kernel: RealKernel, append: str = "", progress: Callable[[str], None] = print) -> None:
        self.kernel = kernel
        self.append = append
        self.progress = progress

    def watched(self, version: Candidate, program: Program) -> StreamRun:
        """Return the streams of a program.

        :raises NoStreamError: this machine cannot record them
        :raises fuzz.real.errors.UnplayableError: no user space can play it
        :raises fuzz.real.errors.RealError: QEMU died or does not answer
        """
        require_plugins()
        try:
            session = RealSession(self.kernel, self.append, self.progress, cpu_for(program), make())
        except RealError as error:
            # A kernel may boot on one CPU but not on another.
            why = str(error).removeprefix("real: ")
            raise NoStreamError(f"the watched machine does not start: {why}") from None
        with session:
            return watch(session, version, program)

    def stamps(self, version: Candidate, program: Program, page_size: int) -> list[tuple[Violation, Stamp]]:
        """Return a stamp for each kind of violation of `RULES` that the model has.

        :param page_size: of the kernel, in bytes
        :raises fuzz.real.errors.UnplayableError: no user space can play it
        :raises fuzz.real.errors.RealError: QEMU died or does not answer
        """
        part = played(program, page_size, True, cpu_for(program))
        first: dict[str, Violation] = {}
        for each in ModelRun(version, part.program).finish().violations:
            if each.checker in RULES:
                first.setdefault(each.signature, each)
        if not first:
            return []
        try:
            streams = self.watched(version, program)
        except NoStreamError as error:
            return [(each, Stamp(HIDDEN, str(error))) for each in first.values()]
        return [(each, streams.stamp(each, version.name)) for each in first.values()]

    def stamp_of_absent(self, version: Candidate, program: Program, checker: str) -> Stamp:
        """Return the stamp of a violation of one of `RULES` that the model does not have.

        :raises fuzz.real.errors.UnplayableError: no user space can play it
        :raises fuzz.real.errors.RealError: QEMU died or does not answer
        """
        if program.vm.mte and not program.vm.fwb and checker in CACHE_RULES:
            return Stamp(HIDDEN, "no emulated CPU has MTE and needs its caches cleaned")
        try:
            return self.watched(version, program).stamp_of_absent(checker, version.name)
        except NoStreamError as error:
            return Stamp(HIDDEN, str(error))


def watch(session: RealSession, version: Candidate, program: Program) -> StreamRun:
    """Play a program on a machine with a plugin, and on the model.

    :raises fuzz.real.errors.UnplayableError: no user space can play it
    :raises fuzz.real.errors.RealError: QEMU died or does not answer
    :raises NoStreamError: there were too many events
    """
    part = played(program, session.page_size, True, session.cpu)
    model = ModelRun(version, part.program)
    streams = Streams(session, model, part)
    try:
        session.begin(list(part.lines))
        streams.run.answers = parse(session.finish(streams.look))
    finally:
        found = model.finish()
    if streams.trouble:
        raise NoStreamError(streams.trouble)
    streams.run.violations = found.violations
    return streams.run


class Streams:
    """Collects the events of both sides after each operation.

    :param session: session whose machine plays the program
    :param model: the model, before it has run
    :param part: the part of the program that is played
    """

    def __init__(self, session: RealSession, model: ModelRun, part: Played) -> None:
        assert session.machine is not None
        self.session = session
        self.model = model
        self.run = StreamRun(part)
        self.looks = RealTables(session.machine, part.program)
        side = model.executor.side
        self.guests: list[Guest] = side.guests
        self.granule = self.guests[0].granule
        self.ours = ModelEvents(side.kernel.arena.base, session.cpu.ttl)
        side.kernel.observe(self.ours)
        # Areas of our code in the guest and of its reports, whose events are removed.
        self.windows = free_windows(part.program)
        # The places of the last look: a table may be gone at the next one.
        self.before: tuple[StreamTables, StreamTables] = {}, {}
        self.trouble = ""

    def look(self, at: int) -> None:
        """Run an operation on the model, and collect the events of both sides."""
        assert self.session.events is not None
        try:
            raw = self.session.events.take()
        except NoStreamError as error:
            self.trouble = str(error)
        if at < 0 or self.trouble or not self.model.step():
            return
        try:
            self.looks.learn(self.run.part.program.operations[at])
        except NoRootError:
            self.trouble = "without VHE the root of a VM's tables is unknown"
            return
        model, real = self.places(self.model_words, self.model_roots()), self.places(self.real_words, self.looks.roots)
        self.run.model.append(self.without_own_code(self.ours.take({**self.before[0], **model}, self.granule)))
        self.run.real.append(self.without_own_code(real_events(raw, {**self.before[1], **real}, self.granule)))
        self.before = model, real

    def places(self, words: Words, roots: dict[int, int]) -> StreamTables:
        """Return the tables of all VMs whose roots are known."""
        found: StreamTables = {}
        for vm, root in roots.items():
            regime = self.guests[vm].regime
            found.update(tables(words, root, regime.start_level, regime.ia_bits, self.granule))
        return found

    def model_roots(self) -> dict[int, int]:
        """Return the roots of the model's VMs, as physical addresses."""
        base = self.model.executor.side.kernel.arena.base
        return {vm: base + (guest.regime.root << 3) for vm, guest in enumerate(self.guests)}

    def model_words(self, address: int, count: int) -> list[int]:
        """Return *count* words of the model's tables."""
        arena = self.model.executor.side.kernel.arena
        return arena.unsigned(address, count)

    def real_words(self, address: int, count: int) -> list[int]:
        """Return *count* words of the machine's memory."""
        return self.looks.memory.words(address, count).tolist()

    def without_own_code(self, events: list[StreamEvent]) -> list[StreamEvent]:
        """Return the events without those of our code in the guest: cleaning before its stores, flushes after them."""
        found: list[StreamEvent] = []
        held: list[StreamEvent] = []
        after_own = False
        for event in events:
            if event.kind in (CLEANED, INVALIDATED):
                held.append(event)
                continue
            own = self.is_own(event) or (after_own and event.kind == FLUSHED and event.what == "ipa")
            if not own:
                found += [*held, event]
            held = []
            after_own = own and event.kind == STORED
        return found + held

    def is_own(self, event: StreamEvent) -> bool:
        """Return whether an event affects the areas of our own code in the guest."""
        if event.ipa < 0:
            return False
        size = self.granule.level_size(event.level) if event.kind == STORED else max(event.size, 1)
        return any(event.ipa < start + WINDOW and start < event.ipa + size for start in self.windows)
