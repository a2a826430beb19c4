# SPDX-License-Identifier: GPL-2.0-only
"""One side's tree: calls into its process, what that asks for meanwhile, and its events."""

from collections.abc import Callable, Sequence
from pathlib import Path
from struct import Struct

from reference.events import Observer
from reference.kernel import Kernel
from reference.kvm import KVM_MEM_GUEST_MEMFD, kvm
from reference.kvm_host import KvmHost
from reference.machine.address_space import CACHED, UNCACHED, PageRun, Vma
from reference.turns import Anchor

from . import records as r
from . import tallies
from .driver_core import DRIVER
from .errors import TreeOops, TreeRefused, TwinDiffers
from .host_pages import NO_ANSWER, PEEK, Page, page_of
from .places import places_of
from .pool import give_back, take
from .process import Process
from .replay import MirrorError, Replay, unwanted
from .script import Script


class Flags(Observer):
    """Notes the entries whose access flag the hardware has set, for the process to have them too."""

    def __init__(self, flagged: list[tuple[int, int]]) -> None:
        self.flagged = flagged

    def set_af(self, ptep: int, old: int, new: int) -> None:
        self.flagged.append((ptep, new))


def flags_of(area: Vma) -> int:
    """Return the properties of an area as ``find_vma()`` of native/glue_host.c reads them.

    Frames of a device, read-only, a device's that may be memory without caches, one's with caches; from bit 8 on log2
    of the size of hugetlb pages.
    """
    memory = (4 if area.memory == UNCACHED else 0) | (8 if area.memory == CACHED else 0)
    return (1 if area.pfnmap else 0) | (2 if area.readonly else 0) | memory | area.huge_shift << 8


class TreeSide:
    """A compiled tree, for one run of a program.

    :param library: says what was built of it, for a log2 of the page size
    :param kernel: whose observers see what it does
    """

    def __init__(self, library: Callable[[int], Path], kernel: Kernel) -> None:
        self.kernel = kernel
        self.library = library
        self.process: Process | None = None
        self.host: KvmHost | None = None
        self.replay: Replay | None = None
        # As they were told.
        self.vmas: list[Vma] = []
        self.runs: list[PageRun] = []
        self.told = (-1, -1)
        self.areas: list[tuple[int, int, int, int]] = []
        self.devices: list[tuple[int, int]] = []
        # Copies of frames with tags; -1: it knows of none, nor that there are any.
        self.copied = -1
        self.ended = False
        # How often its code ran, once the run is over, and of which library.
        self.counters = b""
        self.counted = ""
        # The same of its twin.
        self.twin_counters = b""
        self.twin_counted = ""
        # Entries of which the hardware has set the access flag, and what they hold now.
        self.flagged: list[tuple[int, int]] = []
        kernel.observe(Flags(self.flagged))
        # Another tree that is to do the same as this one.
        self.twin_library: Callable[[int], Path] | None = None
        self.script: Script | None = None
        # The knobs that the process was told last.
        self.knobs = b""
        # The actor that it was told to run last.
        self.spoken = 0
        # It has answered, and no actor has taken the answer yet: the one whose it is may have records to do before.
        self.unanswered = False
        # As of `Process.speak_to`; the order of steps is the same either way.
        self.direct = 1

    def attach(self, host: KvmHost) -> None:
        """The host whose memory the guest has."""
        self.host = host

    def start(self) -> Replay:
        """Begin the program, in a process; its events.

        :raises TreeError: it does not start
        :raises TreeRefused: there is no such library
        """
        if self.replay is None:
            assert self.host is not None
            # It may have to be built.
            DRIVER.free()
            library = self.library(self.kernel.granule.page_shift)
            self.process = take(library)
            if self.twin_library is not None:
                twin = self.twin_library(self.kernel.granule.page_shift)
                self.script = Script(self.process, twin, self.kernel.grace_at)
                for each in (self.process, self.script.twin):
                    each.set_unwanted(unwanted(self.kernel))
            self.process.set_grace(self.kernel.grace_at)
            self.replay = Replay(self.kernel, self.host, self.process, places_of(library))
        return self.replay

    def close(self) -> None:
        """The run is over."""
        process, self.process = self.process, None
        script, self.script = self.script, None
        twin = None
        if script is not None:
            script.close()
            self.twin_counters = script.counters()
            self.twin_counted = str(script.twin.library)
            twin = None if script.needed else script.twin
        if process is not None:
            self.counters = process.counters()
            self.counted = str(process.library)
            if self.ended:
                process.close()
                if twin is not None:
                    tallies.SPARED.add(self.twin_counted, self.twin_counters)
            else:
                give_back(process, twin)

    def withdraw(self) -> None:
        """Let a run that is over count for nothing, for it is done again."""
        tallies.WITHDRAWN.add(self.counted, self.counters)
        tallies.WITHDRAWN.add(self.twin_counted, self.twin_counters)

    def settle(self) -> None:
        """Wait for the twin, and compare what it has done.

        :raises TwinDiffers: it has done something else
        """
        if self.script is not None and not self.script.end():
            raise TwinDiffers

    def go(self, op: int, a: int = 0, b: int = 0, c: int = 0, d: int = 0, e: int = 0) -> bool:
        """Have the process do something, and later its twin; as `Process.receive`.

        :raises TwinDiffers: the twin has done something else
        """
        assert self.process is not None
        self.process.send(op, a, b, c, d, e, 0, 0, 0)
        return self.done()

    def done(self) -> bool:
        """Wait for what was sent; as `go`."""
        assert self.process is not None
        return self.heard(self.process.receive())

    def heard(self, lives: bool) -> bool:
        """There is an answer, which the twin has to give too; as `go`."""
        if self.script is not None and lives and not self.script.add(self.knobs):
            raise TwinDiffers
        return lives

    def set_knobs(self, pages: int, small: int, topup: int) -> None:
        """Say how many allocations still succeed, how many areas there are, and when another task waits."""
        kernel, process = self.kernel, self.process
        assert process is not None
        areas, devices = len(self.areas), len(self.devices)
        process.set_knobs(pages, small, topup, areas, devices, kernel.resched_every, kernel.contended_at)
        if self.script is not None and not self.script.idle:
            self.knobs = r.STEP_KNOBS.pack(pages, small, topup)

    def write(self, at: int, data: bytes) -> None:
        """Write into the memory that is shared with the process, and with its twin."""
        assert self.process is not None
        self.process.memory[at : at + len(data)] = data
        if self.script is not None:
            self.script.write(at, data)

    def call(
        self,
        op: int,
        a: int = 0,
        b: int = 0,
        c: int = 0,
        d: int = 0,
        e: int = 0,
        f: int = 0,
        g: int = 0,
        h: int = 0,
    ) -> int:
        """Have the tree do something; what it returns.

        :raises TreeOops: it crashed
        :raises TreeRefused: it needs something that is not modelled
        """
        replay, kernel, process = self.start(), self.kernel, self.process
        assert process is not None
        if self.flagged:
            for entry, value in self.take_flags():
                self.call(r.OP_SET_ENTRY, 0, entry, value)
        self.mirror()
        self.set_knobs(kernel.allocations_left, kernel.small_allocations_left, kernel.topup_gets)
        self.speak_to(begins=True)
        actor = kernel.actor
        if process.next_answer():
            if process.asked() != (op, a, b, c, d, e, f, g, h):
                raise MirrorError(f"operation {op} of {a}, {b:#x}, {c:#x}, in C {process.asked()}")
            lives = self.unanswered = self.heard(True)
        else:
            process.send(op, a, b, c, d, e, f, g, h)
            lives = self.unanswered = self.done()
        while lives:
            replay.run()
            if kernel.actor != actor:
                # Turns have changed before the process answered: the answer is that of another actor.
                lives = self.hand_over(actor)
                continue
            self.unanswered = False
            asked, knobs = process.status, process.knobs
            if asked == r.DONE:
                break
            if asked == r.HOST:
                assert self.host is not None
                info = process.info
                lives = self.resume(knobs, page_of(self.host.mm, info[0], info[1]))
            elif asked == r.FULL:
                lives = self.resume(knobs)
            elif asked in (r.SWITCHED, r.BLOCKED):
                lives = self.give_way(asked, process.info)
            else:
                break
        ret = process.ret
        if not lives or process.status in (r.CRASH, r.REFUSED):
            self.lost(lives)
        kernel.allocations_left, kernel.small_allocations_left, kernel.topup_gets = process.knobs
        return ret

    def resume(self, knobs: tuple[int, int, int], answer: Page = NO_ANSWER) -> bool:
        """Have the actor whose turn it is go on; as `Process.receive`.

        :param knobs: as they were when it stopped
        :param answer: to what it has asked
        """
        self.mirror()
        self.set_knobs(*knobs)
        self.speak_to(begins=False)
        self.unanswered = self.go(r.OP_RESUME, answer[0], answer[1], answer[2], answer[3], answer[4])
        return self.unanswered

    def speak_to(self, begins: bool) -> None:
        """Say which actor the process is to run; one that begins a call is told where it gives way."""
        actor, turns = self.kernel.actor, self.kernel.turns
        if not actor and not self.spoken:
            return
        self.spoken = actor
        anchors: list[Anchor] = []
        standing = (0, 0, 0)
        if turns is not None:
            standing = turns.standing()
            if begins:
                anchors = turns.anchors()
        assert self.process is not None
        self.process.speak_to(actor, anchors, standing, self.direct)

    def take_flags(self) -> list[tuple[int, int]]:
        """Take the entries of which the hardware has set the access flag since the last time, and what they hold."""
        flagged = self.flagged[:]
        self.flagged.clear()
        return flagged

    def tell_flags(self) -> None:
        """Tell the process, all actors of which wait, of access flags that the hardware has set meanwhile."""
        for entry, value in self.take_flags():
            self.aside(r.OP_SET_ENTRY, 0, entry, value)

    def aside(self, op: int, a: int, b: int, c: int = 0) -> None:
        """Have the process do something that is no step of an actor, all of which wait."""
        assert self.process is not None
        self.process.speak_to(0, [])
        self.go(op, a, b, c)

    def give_way(self, why: int, info: tuple[int, ...]) -> bool:
        """The actor has reached an anchor, or waits; returns when it is its turn again.

        :param info: of `records.SWITCHED` the number of the anchor; of `records.BLOCKED` kind of the lock, VM, holder,
            and 1 if it has done something in its turn
        :returns: as `Process.receive`
        """
        turns, process = self.kernel.turns, self.process
        assert turns is not None
        assert process is not None
        knobs = process.knobs
        if why == r.SWITCHED:
            turns.reached(info[0])
        else:
            turns.wait(r.LOCKS[info[0]], info[2] + 1 if 0 <= info[2] < r.MAX_ACTORS else 0, info[3] != 0)
        return self.has_turn(knobs)

    def hand_over(self, actor: int) -> bool:
        """Give the answer of the process to the code of the actor whose it is; returns when it is this one's turn.

        :param actor: whose code this is
        :returns: as `Process.receive`
        """
        turns, process = self.kernel.turns, self.process
        assert turns is not None
        assert process is not None
        knobs = process.knobs
        turns.hand_over(actor)
        return self.has_turn(knobs)

    def has_turn(self, knobs: tuple[int, int, int]) -> bool:
        """Let the actor go on, unless it has already gone on in the process, and what that has answered is for it.

        :param knobs: as they were when it stopped
        :returns: as `Process.receive`
        """
        if self.unanswered:
            return True
        self.tell_flags()
        return self.resume(knobs)

    def lost(self, lives: bool) -> None:
        """The child is gone.

        :raises TreeOops: it crashed
        :raises TreeRefused: it needs something that is not modelled
        """
        process, replay = self.process, self.replay
        assert process is not None
        assert replay is not None
        status, text, chain = process.status, process.text(), process.info[0]
        if lives:
            process.gone()
        self.ended = True
        if self.script is not None:
            raise TwinDiffers
        if not lives:
            raise TreeOops("ended without a word", "the process in which the tree's code runs was killed")
        place = replay.place(chain)
        if status == r.REFUSED:
            raise TreeRefused(text)
        raise TreeOops(f"{text} in {place.function}", f"{text} at {place.at}, by {place.chain()}")

    def mirror(self) -> None:
        """Tell the process of areas and device frames that are new."""
        host = self.host
        assert host is not None
        mm = host.mm
        if mm.copies is not None and len(mm.copies) != self.copied:
            self.tell_copies(mm.copies)
        # What changes in a list is its end; what else changes makes another list.
        told = (len(mm.vmas), len(mm.runs))
        if mm.vmas is self.vmas and mm.runs is self.runs and told == self.told:
            return
        self.vmas, self.runs, self.told = mm.vmas, mm.runs, told
        areas = [(v.start, v.end, v.pgoff, flags_of(v)) for v in mm.vmas]
        if areas != self.areas:
            self.areas = areas
            self.write(r.VMA_AT, rows(r.VMA_WORDS, areas, r.MAX_VMAS, "areas of the host"))
        if mm.devices != self.devices:
            self.devices = mm.devices.copy()
            self.write(r.DEVICE_AT, rows(r.DEVICE_WORDS, self.devices, r.MAX_DEVICES, "ranges of device frames"))

    def tell_copies(self, copies: list[tuple[int, int, int]]) -> None:
        """Tell the process of frames that the host has copied with their tags."""
        for number in range(max(self.copied, 0), len(copies)):
            self.write(r.COPIES_AT + number % r.MAX_COPIES * r.COPY_WORDS.size, r.COPY_WORDS.pack(*copies[number]))
        self.copied = len(copies)
        self.write(r.COPIED_AT, r.COPIED.pack(self.copied))

    def ahead(self, machine: kvm, ipa: int) -> tuple[int, int]:
        """Return the answer to the question for the page behind a guest address, for a call that is likely to ask.

        :returns: two arguments of the call (`shim_user_ahead` in native/glue_host.c); 0, 0: the host would have to
            change something first, or other vCPUs are at work
        """
        assert self.host is not None
        slot = None if self.kernel.actor else self.host.gfn_to_memslot(machine, ipa >> self.host.mm.page_shift)
        if slot is None or slot.flags & KVM_MEM_GUEST_MEMFD:
            return 0, 0
        answer = page_of(self.host.mm, slot.userspace_addr + ipa - (slot.base_gfn << self.host.mm.page_shift), PEEK)
        if answer[0]:
            return 0, 0
        _, start, pfn, level, flags = answer
        return start | level | flags << 2, pfn

    def number(self, machine: kvm) -> int:
        """The number of a VM."""
        return machine.mmu.vmid - 1


def rows(row: Struct, values: Sequence[tuple[int, ...]], most: int, what: str) -> bytes:
    """A table of what the host has, for shared memory.

    :param row: the layout of one row
    :param most: the rows that there is room for
    :raises TreeRefused: there are more; *what* they are
    """
    if len(values) > most:
        raise TreeRefused(f"more than {most} {what}")
    return b"".join([row.pack(*each) for each in values])
