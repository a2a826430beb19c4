# SPDX-License-Identifier: GPL-2.0-only
"""memcache: nothing is taken from a memory cache beyond what was topped up for it.

A top-up fills a cache to its capacity whenever it holds less than the minimum,
so a cache with a missing or insufficient top-up seldom runs dry. The checker
therefore assumes that each cache holds only the minimum that its last top-up asked for, and
nothing once the fault or call that asked has returned. Code that reads the
number of objects in a cache may take that many from it: it may compare the number
with what it needs, and the checker does not see that comparison. A comparison with
too small a number is therefore found only when the cache holds too little.

Each cache is judged alone: what was topped up or counted in one promises nothing of another.

No fault makes a block over pages that the host does not map huge, but a direct
call can. The permission fault that splits such a block is not judged. Neither is the
permission fault on a block of device memory once a direct call has mapped some: 5.12 maps
by pages what user space maps by blocks.
"""

from typing import Final

from reference.machine.walk import PERMISSION, Walk
from reference.per_actor import PerActor, PerActorStates

from ..language.operations import Operation, TableMap
from ..language.program import DEVICES
from ..sides.side import Side
from .checker import Checker, Peers
from .rule import Rule
from .severity import Severity

# The warning of the layer below about an empty cache: that allocation is also beyond the top-up.
EMPTY: Final = "cache-empty"


class Promise:
    """The objects that are promised of a cache: how many, and how many are left of them.

    :param asked: their number
    :param counted: kernel code has counted them, and topped up nothing since
    :param cache: the name of the cache; "": it has none
    """

    def __init__(self, asked: int, counted: bool, cache: str) -> None:
        self.left = self.asked = asked
        self.counted = counted
        self.cache = cache


class Promises(PerActor):
    """The promises of the current fault or call, by the number of the cache.

    *empty*: a cache was just found empty
    """

    def __init__(self) -> None:
        self.caches: dict[int, Promise] = {}
        self.empty = False
        self.splits_what_no_fault_made = False

    def forget(self) -> None:
        """Forget the promises: objects still in a cache are left over."""
        self.caches.clear()
        self.empty = False

    def copy(self) -> "Promises":
        mine = Promises()
        for number, promise in self.caches.items():
            mine.caches[number] = Promise(promise.asked, promise.counted, promise.cache)
            mine.caches[number].left = promise.left
        mine.empty = self.empty
        mine.splits_what_no_fault_made = self.splits_what_no_fault_made
        return mine


class Memcache(Checker):
    """Counts the objects that may still be taken from each cache."""

    rule = Rule(
        "memcache",
        (
            "nothing is taken from a memory cache beyond the minimum topped up for the same fault or call, whatever is "
            "left over in it; code that counts the objects in it may take that many"
        ),
        "the allocation fails under the mmu lock when memory is short, and the guest's fault with it",
        Severity.CONTRACT,
        rank=4,
    )

    def __init__(self, side: Side, peers: Peers) -> None:
        super().__init__(side, peers)
        # State of the running actor.
        self.own = Promises()
        self.per_actor = PerActorStates(self.own)
        # A direct call has mapped device memory.
        self.device_mapped = False

    def turn(self, actor: int) -> None:
        self.own = self.per_actor.of(actor)

    def before_operation(self, op: Operation | None) -> None:
        self.own.forget()
        if isinstance(op, TableMap) and self.side.by_name[op.slot].slot.backing in DEVICES:
            self.device_mapped = True

    def actor_begins(self, op: Operation) -> None:
        self.own.forget()

    def translated(self, cpu: int, access: int, ipa: int, walk: Walk) -> None:
        # The guest runs: a previous fault has ended.
        self.own.forget()
        self.own.splits_what_no_fault_made = walk.fault == PERMISSION and self.made_directly(cpu, ipa, walk.level)

    def pre_fault(self, vmid: int, ipa: int, size: int) -> None:
        self.own.forget()
        self.own.splits_what_no_fault_made = False

    def made_directly(self, cpu: int, ipa: int, level: int) -> bool:
        """Return whether a direct call may have made a leaf at this level that no fault makes."""
        layout = self.side.guest_of(cpu).layout_of(ipa)
        if layout is None or level == 3:
            return False
        if self.device_mapped and layout.slot.backing in DEVICES:
            return True
        return self.side.host.unit_at(layout.hva + ipa - layout.ipa)[1] < self.granule.level_size(level)

    def mc_count(self, cache: int, objects: int) -> None:
        # Code that reads the count may rely on it, whoever topped the cache up: eager splitting does.
        self.own.caches[cache] = Promise(objects, True, self.kernel.cache)

    def mc_free(self, cache: int, objects: int) -> None:
        self.own.caches.pop(cache, None)

    def topup(self, cache: int, minimum: int, had: int, has: int, ret: int, locked: bool) -> None:
        # A failed top-up promises nothing; a top-up beyond the capacity promises the capacity.
        self.own.caches[cache] = Promise(0 if ret else min(minimum, has), False, self.kernel.cache)

    def warn(self, label: str) -> None:
        if label == EMPTY:
            self.own.empty = True

    def mc_pop(self, cache: int, left: int) -> None:
        dry, self.own.empty = self.own.empty, False
        promise = self.own.caches.get(cache)
        if promise is not None and promise.left > 0:
            promise.left -= 1
            return
        if self.own.splits_what_no_fault_made:
            return
        if promise is None or not promise.asked:
            what, promised = "allocation without a top-up", self.nothing_promised(cache)
        elif promise.counted:
            what = "allocation beyond the count"
            promised = f"the code has counted {objects(promise.asked)} in the cache, and topped up nothing"
        else:
            what = "allocation beyond the top-up"
            promised = f"the top-up guarantees {objects(promise.asked)}"
        real = "the cache was empty: a warning and an atomic allocation" if dry else f"the cache still held {left + 1}"
        self.report(f"{what}{self.kernel.cause}", -1, f"{promised}; {real}", taints=False)

    def nothing_promised(self, cache: int) -> str:
        """Say that nothing was topped up in a cache, and in which other cache something was."""
        text = "nothing was topped up for it"
        for number, promise in self.own.caches.items():
            if number != cache and promise.asked:
                text += f" in {named(self.kernel.cache)}; "
                text += "the code has counted " if promise.counted else "a top-up guarantees "
                text += f"{objects(promise.asked)} in {named(promise.cache)}"
                break
        return text


def named(cache: str) -> str:
    """Return the name of a memory cache for a text."""
    return cache or "a cache of the call itself"


def objects(count: int) -> str:
    """Return ``1 object``, ``2 objects``."""
    return f"{count} object{'' if count == 1 else 's'}"
