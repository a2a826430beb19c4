# SPDX-License-Identifier: GPL-2.0-only
"""The part of a replay that concerns VMs as wholes: roots, the notifier sequence, slots, dirty logs; common state."""

from reference.events import Observer
from reference.kernel import Kernel
from reference.kvm import first_bitmap, kvm_memory_slot
from reference.kvm_host import KvmHost
from reference.per_actor import PerActor, PerActorStates
from reference.pgtable import kvm_pgtable
from reference.services.structs import kvm_mmu_memory_cache, kvm_s2_mmu

from . import records as r
from .code_places import CodePlace, CodePlaces
from .errors import TreeRefusedError
from .history import History
from .process import Process
from .tlb import UNKNOWN, TreeTlb, number_of


class CallReplay(PerActor):
    """State of the call in progress."""

    def __init__(self) -> None:
        # The memory cache of a direct call.
        self.cache: kvm_mmu_memory_cache | None = None
        # The walker callback that ran before an RCU callback.
        self.interrupted = ""
        self.sampled = -1
        self.counted = -1
        # Frames that were pinned as parts of a huge page, and its size in frames. That counts even if the host's
        # mapping changes.
        self.huge_pins: dict[int, int] = {}

    def copy(self) -> "CallReplay":
        mine = CallReplay()
        mine.cache, mine.interrupted = self.cache, self.interrupted
        mine.sampled, mine.counted = self.sampled, self.counted
        mine.huge_pins = self.huge_pins.copy()
        return mine


class ReplayTurns(Observer):
    """Switches a replay to the state of the actor whose turn begins.

    :param replay: the replay to switch
    """

    def __init__(self, replay: "VmReplay") -> None:
        self.replay = replay

    def turn(self, actor: int) -> None:
        self.replay.own = self.replay.per_actor.of(actor)


class VmReplay:
    """Replays the events of VMs as wholes, and holds what all parts of the replay of one side use.

    :param kernel: its observers receive the events
    :param host: has the frames that are looked up
    :param process: the source of the records
    :param places: the code places of its library
    """

    def __init__(self, kernel: Kernel, host: KvmHost, process: Process, places: CodePlaces) -> None:
        self.kernel = kernel
        self.host = host
        self.process = process
        self.places = places
        tlb = kernel.tlb
        assert isinstance(tlb, TreeTlb)
        self.instructions = tlb.reported
        self.vms = tlb.reported.vms
        # Number of pages and host address of the slot being set, by VM and slot number.
        self.sizes: dict[tuple[int, int], tuple[int, int]] = {}
        # Memory caches by their numbers in records.
        self.caches: dict[int, kvm_mmu_memory_cache] = {}
        # Numbers of chains and names stay valid for the lifetime of the process.
        self.placed = process.places
        self.walkers = process.walkers
        # The state of the actor that runs.
        self.own = CallReplay()
        self.per_actor = PerActorStates(self.own)
        kernel.observe(ReplayTurns(self))
        self.history = History(kernel.entries, process.places)
        kernel.last = self.instructions.places = self.history

    def place(self, chain: int) -> CodePlace:
        """Return the code place that a chain number stands for."""
        placed = self.placed
        found = placed[chain] if chain < len(placed) else None
        if found is None:
            found = self.places.place(self.process.chain(chain) if chain else ())
            new = chain + 1 - len(placed)
            placed += [None] * new
            self.walkers += [None] * new
            placed[chain], self.walkers[chain] = found, found.walker
        return found

    def mmu_of(self, number: int) -> kvm_s2_mmu:
        """Return the ``kvm_s2_mmu`` of a number in records."""
        mmu = self.instructions.mmu_of(number)
        assert mmu is not None
        return mmu

    def name(self, number: int) -> str:
        """Return the text of a record by its number."""
        names = self.process.texts
        if number >= len(names):
            names = self.process.texts = self.process.name_list()
        return names[number] if number < len(names) else "?"

    def replay_instruction(self, name: int, operand: int) -> None:
        """Replay an instruction of tlb.c.

        :param name: its number in records
        :raises TreeRefusedError: the machine does not model the instruction
        """
        numbers = self.process.instructions
        if name >= len(numbers):
            self.name(name)
            numbers += [number_of(each) for each in self.process.texts[len(numbers) :]]
        number = numbers[name] if name < len(numbers) else UNKNOWN
        if number == UNKNOWN:
            raise TreeRefusedError(f"tlb.c has an instruction that is not modelled: {self.name(name)}")
        self.instructions.note(number, operand, self.kernel.chain)

    def select_vm(self, vm: int) -> None:
        """Make this VM the one that the following records belong to; -1 changes nothing."""
        if vm >= 0:
            self.kernel.vmid = vm + 1

    def visited(self, entries: int) -> None:
        """Set how many entries the code has read so far; -1: not known yet."""
        if entries >= 0:
            self.kernel.visited = entries

    def replay_notifier(self, kind: int, a: int, b: int, c: int) -> None:
        """Replay an event of the notifier sequence, memory slots, dirty logs or the root."""
        k = self.kernel
        if kind == r.SEQ_READ:
            counted, self.own.counted = self.own.counted, -1
            if counted == 0 or (counted > 0 and "mmu" in k.locks):
                self.replay_retry(b, counted, b != self.own.sampled)
            else:
                self.own.sampled = b
                for o in k.on.sample:
                    o.sample(b)
        elif kind == r.COUNT_READ:
            # mmu_notifier_retry() reads the count, and only if that is 0 the sequence. mmu_invalidate_retry_gfn()
            # also reads the sequence if the invalidation in progress does not cover the page.
            if b:
                self.replay_retry(self.vms[a].sequence, b, True)
            self.own.counted = b
        elif kind == r.SEQ:
            number = a & 0xFF
            self.select_vm(number)
            vm = self.vms[number]
            vm.sequence, vm.mmu_notifier_count = b, c
            vm.active_notifiers = (a >> 8) - 1
            for o in k.on.seq:
                o.seq(b, c)
        elif kind == r.SLOTS:
            self.replay_slots(a >> 32, a & 0xFFFFFFFF, b, c)
        elif kind == r.LOG_TAKEN:
            self.replay_log_taken(a >> 32, a & 0x7FFFFFFF, b, c & (1 << 64) - 1, a >> 31 & 1 != 0)
        elif kind == r.ROOT:
            self.replay_root(a, b != 0, c)

    def replay_root(self, vm: int, linked: bool, pgd: int) -> None:
        """Replay the setting of ``kvm->arch.mmu.pgt``; the VM notifies its observers."""
        pgt = None
        if linked:
            pgt = kvm_pgtable()
            pgt.mmu = self.vms[vm].mmu
            pgt.pgd = pgd
        self.vms[vm].pgt = pgt

    def replay_retry(self, now: int, in_progress: int, result: bool) -> None:
        """Report a call of ``mmu_notifier_retry()`` to the observers."""
        for o in self.kernel.on.retry:
            o.retry(self.own.sampled, now, in_progress, result)

    def replay_slots(self, vm: int, number: int, base_gfn: int, what: int) -> None:
        """Replay the installation of new memory slots, which include the slot being set.

        :param what: bits 31:0: flags of the slot; bit 32: it has a dirty bitmap; bit 33: the slot exists
        """
        machine = self.vms[vm]
        old = self.host.id_to_memslot(machine, number)
        left = [slot for slot in machine.memslots if slot.id != number]
        flags = -1
        logged = what >> 32 & 1 != 0
        if what >> 33 & 1:
            flags = what & 0xFFFFFFFF
            pages, hva = self.sizes[(vm, number)]
            slot = kvm_memory_slot(number, base_gfn, pages, flags, hva)
            if logged:
                known = None if old is None else old.dirty_bitmap
                slot.dirty_bitmap = first_bitmap(machine, pages) if known is None else known
            left.append(slot)
            left.sort(key=lambda slot: -slot.base_gfn)
        machine.memslots = left
        for o in self.kernel.on.slots_installed:
            o.slots_installed(machine.mmu.vmid, number, flags, flags != -1 and logged)

    def replay_log_taken(self, vm: int, number: int, gfn: int, mask: int, whole: bool) -> None:
        """Replay the clearing of dirty bitmap bits that user space has read.

        :param whole: see `Observer.log_taken`
        """
        machine = self.vms[vm]
        slot = self.host.id_to_memslot(machine, number)
        if slot is not None and slot.dirty_bitmap is not None:
            # A mask from a dirty ring may begin at any page, so it may span two words.
            word, bit = divmod(gfn - slot.base_gfn, 64)
            slot.dirty_bitmap[word] &= ~(mask << bit)
            if mask >> 64 - bit:
                slot.dirty_bitmap[word + 1] &= ~(mask >> 64 - bit)
        for o in self.kernel.on.log_taken:
            o.log_taken(machine.mmu.vmid, number, gfn, mask, whole)
