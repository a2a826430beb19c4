# SPDX-License-Identifier: GPL-2.0-only
"""One side's tree: calls into its process, the requests of the process during a call, and its events."""

from collections.abc import Callable
from pathlib import Path
from typing import Final

from reference.events import Observer
from reference.kernel import Kernel
from reference.kvm import KVM_MEM_GUEST_MEMFD, kvm, kvm_vcpu
from reference.kvm_host import KvmHost
from reference.pgtable import kvm_pgtable
from reference.turns import Anchor

from . import records as r
from .code_places import places_of
from .error_places import ErrorPlaces
from .errors import TreeOopsError, TreeRefusedError, TwinDiffersError
from .host_pages import NO_ANSWER, PEEK, Page, page_of
from .pool import POOL
from .process import Process
from .replay import MirrorError, Replay, unwanted
from .script import Script
from .sent_host import SentHost
from .shared import look
from .words import WORD_BYTES, unsigned

# The dirty log in the shared memory, as the index of a word.
_LOG: Final = r.LOG_AT // WORD_BYTES


class Flags(Observer):
    """Collects the entries whose access flag the hardware has set, so that the process can be updated."""

    def __init__(self, flagged: list[tuple[int, int]]) -> None:
        self.flagged = flagged

    def set_af(self, ptep: int, old: int, new: int) -> None:
        self.flagged.append((ptep, new))

    def dirtied(self, ptep: int, old: int, new: int) -> None:
        self.flagged.append((ptep, new))


class TreeSide:
    """A compiled tree, for one run of a program.

    :param library: returns the path of the library for a log2 of the page size
    :param kernel: its observers receive the tree's events
    :param root: returns the top folder of the tree
    """

    def __init__(self, library: Callable[[int], Path], kernel: Kernel, root: Callable[[], Path]) -> None:
        self.kernel = kernel
        self.library = library
        self.root = root
        self.process: Process | None = None
        self.host: KvmHost | None = None
        self.replay: Replay | None = None
        self.sent = SentHost()
        self.ended = False
        # Once the run is over: the counters of the tree's code, and the path of their library.
        self.counters = b""
        self.counted = ""
        # The same for its twin.
        self.twin_counters = b""
        self.twin_counted = ""
        # Entries whose access flag the hardware has set, with their new values.
        self.flagged: list[tuple[int, int]] = []
        kernel.observe(Flags(self.flagged))
        # The library of the twin, a tree that must do the same as this one.
        self.twin_library: Callable[[int], Path] | None = None
        self.script: Script | None = None
        # The knobs that were sent to the process last.
        self.knobs = b""
        # The actor that the process was last asked to run.
        self.chosen = 0
        # The process has answered, and no actor has taken the answer yet: its actor may have to replay records first.
        self.unanswered = False
        # The parameter of `Process.choose_actor`; the order of steps does not depend on it.
        self.direct = 1

    def attach(self, host: KvmHost) -> None:
        """Set the host that provides the guest's memory."""
        self.host = host

    def start(self) -> Replay:
        """Begin the program in a process unless it has begun, and return the replay of its events.

        :raises TreeError, TreeNotStartedError: the process does not start
        :raises TreeRefusedError: there is no library for this page size
        """
        if self.replay is None:
            assert self.host is not None
            # The library may have to be built, which should use all cores.
            POOL.driver.free()
            library = self.library(self.kernel.granule.page_shift)
            self.process = POOL.take(library)
            if self.twin_library is not None:
                twin = self.twin_library(self.kernel.granule.page_shift)
                self.script = Script(self.process, twin, self.kernel.grace_at)
                for each in (self.process, self.script.twin):
                    each.set_unwanted(unwanted(self.kernel))
            self.process.set_grace(self.kernel.grace_at)
            self.replay = Replay(self.kernel, self.host, self.process, places_of(library))
            self.replay.history.errors = ErrorPlaces(self.process, self.root())
        return self.replay

    def close(self) -> None:
        """End the run: keep its counters, and return or close its process."""
        process, self.process = self.process, None
        script, self.script = self.script, None
        twin = None
        if script is not None:
            script.close()
        if process is not None:
            self.counters = process.counters()
            self.counted = process.name
        if script is not None:
            self.twin_counters = script.counters(self.counters)
            self.twin_counted = script.twin.name
            twin = None if script.needed else script.twin
        if process is not None:
            if self.ended:
                process.close()
                if twin is not None:
                    POOL.tallies.spared.add(self.twin_counted, self.twin_counters)
            else:
                POOL.give_back(process, twin)

    def withdraw(self) -> None:
        """Withdraw the counters of a finished run: it will be repeated, or is no comparison of the two versions."""
        POOL.tallies.withdrawn.add(self.counted, self.counters)
        POOL.tallies.withdrawn.add(self.twin_counted, self.twin_counters)

    def leave_unjudged(self) -> None:
        """Move the counters of a finished run to those of programs without a verdict."""
        POOL.tallies.unjudged.add(self.counted, self.counters)

    def settle(self) -> None:
        """Wait for the twin, and check that it has done the same.

        :raises TwinDiffersError: it has done something else
        """
        if self.script is not None and not self.script.end():
            raise TwinDiffersError

    def go(self, op: int, a: int = 0, b: int = 0, c: int = 0, d: int = 0, e: int = 0) -> bool:
        """Have the process do an operation, and add it to the twin's script; return what `Process.receive` returns.

        :raises TwinDiffersError: the twin has done something else
        """
        assert self.process is not None
        self.process.send(op, a, b, c, d, e, 0, 0, 0)
        return self.receive()

    def receive(self) -> bool:
        """Wait for the answer to the request that was sent; return and raise as `go` does."""
        assert self.process is not None
        return self.add_answer(self.process.receive())

    def add_answer(self, lives: bool) -> bool:
        """Add an answer to the twin's script; return and raise as `go` does."""
        if self.script is not None and lives and not self.script.add(self.knobs):
            raise TwinDiffersError
        return lives

    def set_knobs(self, pages: int, small: int, topup: int) -> None:
        """Send the number of allocations that still succeed, the number of areas, and when another task waits."""
        kernel, process = self.kernel, self.process
        assert process is not None
        areas, devices = self.sent.areas, self.sent.devices
        process.set_knobs(pages, small, topup, len(areas), len(devices), kernel.resched_every, kernel.contended_at)
        if self.script is not None and not self.script.idle:
            self.knobs = r.STEP_KNOBS.pack(pages, small, topup)

    def write(self, at: int, data: bytes) -> None:
        """Write into the memory that is shared with the process, and into that of its twin."""
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
        """Call the tree, and return its result.

        :raises TreeOopsError: the tree's code crashed
        :raises TreeRefusedError: the call needs something that is not modelled
        """
        replay, kernel, process = self.start(), self.kernel, self.process
        assert process is not None
        if self.flagged:
            for entry, value in self.take_flags():
                self.call(r.OP_SET_ENTRY, 0, entry, value)
        self.send_host()
        self.set_knobs(kernel.allocations_left, kernel.small_allocations_left, kernel.topup_gets)
        self.choose_actor(begins=True)
        actor = kernel.actor
        if process.next_answer():
            if process.asked() != (op, a, b, c, d, e, f, g, h):
                raise MirrorError(f"operation {op} of {a}, {b:#x}, {c:#x}, in C {process.asked()}")
            lives = self.unanswered = self.add_answer(True)
        else:
            process.send(op, a, b, c, d, e, f, g, h)
            lives = self.unanswered = self.receive()
        while lives:
            replay.run()
            if kernel.actor != actor:
                # Turns have changed before the process answered: the answer belongs to another actor.
                lives = self.hand_over(actor)
                continue
            self.unanswered = False
            asked, knobs = process.status, process.knobs
            if asked == r.DONE:
                break
            if asked == r.HOST:
                assert self.host is not None
                lives = self.resume(knobs, page_of(self.host.mm, process.info(0), process.info(1)))
            elif asked == r.FULL:
                lives = self.resume(knobs)
            elif asked in (r.SWITCHED, r.BLOCKED, r.YIELDED):
                lives = self.give_way(asked)
            else:
                break
        ret = process.ret
        if not lives or process.status in (r.CRASH, r.REFUSED):
            self.raise_end(lives)
        kernel.allocations_left, kernel.small_allocations_left, kernel.topup_gets = process.knobs
        return ret

    def table(
        self, op: str, pgt: kvm_pgtable, addr: int, size: int = 0, phys: int = 0, prot: int = 0, cached: int = 0
    ) -> int:
        """Call a function of pgtable.c directly; return and raise as `call` does."""
        return self.call(r.OP_TABLE, pgt.mmu.vmid - 1, r.TABLE_OPS.index(op), addr, size, phys, prot, cached)

    def age_run(self, number: int, first: int, size: int, count: int, flush: bool) -> int:
        """Age *count* pages of one size from the address *first*; return 1 if a page was young, else 0.

        :param number: the number of the VM in the process
        """
        return self.call(r.OP_AGE, number, first, size, count, 1 if flush else 0) if count else 0

    def log(self, words: int) -> list[int]:
        """Return the bitmap that the last call left in the shared memory."""
        assert self.process is not None
        shared = self.process.shared
        return [unsigned(look(shared, at)) for at in range(_LOG, _LOG + words)]

    def resume(self, knobs: tuple[int, int, int], answer: Page = NO_ANSWER) -> bool:
        """Resume the actor whose turn it is; return what `Process.receive` returns.

        :param knobs: their values when the actor stopped
        :param answer: the answer to its request
        """
        self.send_host()
        self.set_knobs(*knobs)
        self.choose_actor(begins=False)
        self.unanswered = self.go(r.OP_RESUME, answer[0], answer[1], answer[2], answer[3], answer[4])
        return self.unanswered

    def choose_actor(self, begins: bool) -> None:
        """Choose the actor that the process runs next; an actor that begins a call also receives its anchors."""
        actor, turns = self.kernel.actor, self.kernel.turns
        if not actor and not self.chosen:
            return
        self.chosen = actor
        anchors: list[Anchor] = []
        standing = (0, 0, 0)
        if turns is not None:
            standing = turns.actor_masks()
            if begins:
                anchors = turns.anchors()
        assert self.process is not None
        self.process.choose_actor(actor, anchors, standing, self.direct)

    def take_flags(self) -> list[tuple[int, int]]:
        """Take the entries that the hardware has changed since the last call, with their new values."""
        flagged = self.flagged[:]
        self.flagged.clear()
        return flagged

    def send_flags(self) -> None:
        """Send the entries that the hardware has changed to the process, while all its actors wait."""
        for entry, value in self.take_flags():
            self.aside(r.OP_SET_ENTRY, 0, entry, value)

    def aside(self, op: int, a: int, b: int, c: int = 0) -> None:
        """Have the process do an operation that is no step of an actor, while all actors wait."""
        assert self.process is not None
        self.process.choose_actor(0, [])
        self.go(op, a, b, c)

    def give_way(self, why: int) -> bool:
        """Give way to another actor at an anchor, for a lock or while polling; return when it is this actor's turn.

        `Process.info` has for `records.SWITCHED` the number of the anchor; for `records.BLOCKED` the kind of the lock,
        the VM, the holder, and 1 if the actor has done something in its turn; for `records.YIELDED` 1 if anything was
        done since it last yielded.

        :param why: `records.SWITCHED`, `records.BLOCKED` or `records.YIELDED`
        :returns: as `Process.receive`
        """
        turns, process = self.kernel.turns, self.process
        assert turns is not None
        assert process is not None
        knobs = process.knobs
        if why == r.SWITCHED:
            turns.reached(process.info(0))
        elif why == r.YIELDED:
            turns.yield_turn(process.info(0) != 0)
        else:
            holder = process.info(2)
            turns.wait(r.LOCKS[process.info(0)], holder + 1 if holder < r.MAX_ACTORS else 0, process.info(3) != 0)
        return self.has_turn(knobs)

    def hand_over(self, actor: int) -> bool:
        """Hand the answer of the process over to the actor it belongs to; return when it is this actor's turn.

        :param actor: the actor that runs this code
        :returns: as `Process.receive`
        """
        turns, process = self.kernel.turns, self.process
        assert turns is not None
        assert process is not None
        knobs = process.knobs
        turns.hand_over(actor)
        return self.has_turn(knobs)

    def has_turn(self, knobs: tuple[int, int, int]) -> bool:
        """Resume the actor, unless it already continued in the process and the pending answer belongs to it.

        :param knobs: their values when the actor stopped
        :returns: as `Process.receive`
        """
        if self.unanswered:
            return True
        self.send_flags()
        return self.resume(knobs)

    def raise_end(self, lives: bool) -> None:
        """Raise the exception that fits the end of the child process.

        :raises TreeOopsError: the tree's code crashed
        :raises TreeRefusedError: the call needs something that is not modelled
        :raises TwinDiffersError: a twin is compared, which decides without the reason
        """
        process, replay = self.process, self.replay
        assert process is not None
        assert replay is not None
        status, text, chain = process.status, process.text(), process.info(0)
        if lives:
            process.wait_for_end()
        self.ended = True
        if self.script is not None:
            raise TwinDiffersError
        if not lives:
            raise TreeOopsError("process died", "the process that runs the tree's code was killed")
        place = replay.place(chain)
        if status == r.REFUSED:
            raise TreeRefusedError(text)
        raise TreeOopsError(f"{text} in {place.function}", f"{text} at {place.at}, by {place.chain()}")

    def send_host(self) -> None:
        """Send the host's areas, device frames and copies to the process if they have changed."""
        assert self.host is not None
        for at, data in self.sent.news(self.host.mm):
            self.write(at, data)

    def ahead(self, machine: kvm, ipa: int) -> tuple[int, int]:
        """Return in advance the host's page for a guest address, for a call that will probably ask for it.

        :returns: two arguments of the call (`shim_user_ahead` in native/glue_host.c); 0, 0: the host would have to
            change something first, or several actors run
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

    def begin_faults(self, vcpu: kvm_vcpu) -> int:
        """Prepare the replay for a call that handles faults of a vCPU.

        :returns: the number of the vCPU's VM in the process
        """
        replay, number = self.start(), self.number(vcpu.kvm)
        # The driver frees the cache when the VM is gone.
        replay.caches[r.CACHE_OF_VCPUS + number * r.MAX_CPUS + vcpu.vcpu_id] = vcpu.mmu_page_cache
        replay.own.sampled = replay.own.counted = -1
        return number

    def number(self, machine: kvm) -> int:
        """Return the number of a VM in the process, from 0."""
        return machine.mmu.vmid - 1
