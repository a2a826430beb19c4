# SPDX-License-Identifier: GPL-2.0-only
"""The observers of a kernel, by the event that they observe."""

from typing import Final

from .events import EVENT_NAMES, Observer

_NUMBERS: Final = {name: number for number, name in enumerate(EVENT_NAMES)}
_overridden: Final[dict[type[Observer], list[int]]] = {}
# Empty lists of former kernels to reuse: a kernel needs many lists.
_SPARES: Final = 4
_spares: Final["list[Observers]"] = []


def overridden(observer: type[Observer]) -> list[int]:
    """Return the events that a class of observers overrides, by their numbers in `EVENT_NAMES`."""
    numbers = _overridden.get(observer)
    if numbers is None:
        numbers = [
            number for number, name in enumerate(EVENT_NAMES) if getattr(observer, name) is not getattr(Observer, name)
        ]
        _overridden[observer] = numbers
    return numbers


class Observers:
    """One list of observers per event, under the event's name; *all*: the lists in the order of `EVENT_NAMES`."""

    def __init__(self) -> None:
        self.walk: list[Observer] = []
        self.walk_table: list[Observer] = []
        self.load: list[Observer] = []
        self.turn: list[Observer] = []
        self.wait: list[Observer] = []
        self.store: list[Observer] = []
        self.plain_store: list[Observer] = []
        self.exchanged: list[Observer] = []
        self.exchange_lost: list[Observer] = []
        self.get: list[Observer] = []
        self.put: list[Observer] = []
        self.free: list[Observer] = []
        self.free_exact: list[Observer] = []
        self.alloc: list[Observer] = []
        self.alloc_exact: list[Observer] = []
        self.contents: list[Observer] = []
        self.unwritten: list[Observer] = []
        self.page_count: list[Observer] = []
        self.no_table: list[Observer] = []
        self.tlbi_ipa: list[Observer] = []
        self.tlbi_ipa_local: list[Observer] = []
        self.tlbi_vmid: list[Observer] = []
        self.tlbi_range: list[Observer] = []
        self.flush_cpu_context: list[Observer] = []
        self.flush_vm_context: list[Observer] = []
        self.vmid_given: list[Observer] = []
        self.instruction: list[Observer] = []
        self.set_af: list[Observer] = []
        self.dirtied: list[Observer] = []
        self.dsb: list[Observer] = []
        self.dmb: list[Observer] = []
        self.isb: list[Observer] = []
        self.dcache: list[Observer] = []
        self.icache: list[Observer] = []
        self.icache_all: list[Observer] = []
        self.warn: list[Observer] = []
        self.lock: list[Observer] = []
        self.unlock: list[Observer] = []
        self.rcu_read_lock: list[Observer] = []
        self.rcu_read_unlock: list[Observer] = []
        self.call_rcu: list[Observer] = []
        self.rcu_callback: list[Observer] = []
        self.resched: list[Observer] = []
        self.resched_asked: list[Observer] = []
        self.cond_resched: list[Observer] = []
        self.topup: list[Observer] = []
        self.mc_pop: list[Observer] = []
        self.mc_count: list[Observer] = []
        self.mc_free: list[Observer] = []
        self.vma: list[Observer] = []
        self.user_walk: list[Observer] = []
        self.irqs_left: list[Observer] = []
        self.vma_read: list[Observer] = []
        self.gfn_to_pfn: list[Observer] = []
        self.pin: list[Observer] = []
        self.get_pfn: list[Observer] = []
        self.release: list[Observer] = []
        self.set_accessed: list[Observer] = []
        self.set_dirty: list[Observer] = []
        self.thp: list[Observer] = []
        self.mark_page_dirty: list[Observer] = []
        self.sample: list[Observer] = []
        self.acquired: list[Observer] = []
        self.rmb: list[Observer] = []
        self.retry: list[Observer] = []
        self.seq: list[Observer] = []
        self.slots_installed: list[Observer] = []
        self.log_taken: list[Observer] = []
        self.log_stored: list[Observer] = []
        self.ring_early: list[Observer] = []
        self.log_beside_ring: list[Observer] = []
        self.no_struct_page: list[Observer] = []
        self.root_linked: list[Observer] = []
        self.cow: list[Observer] = []
        self.host_update: list[Observer] = []
        self.inject: list[Observer] = []
        self.io: list[Observer] = []
        self.sigbus: list[Observer] = []
        self.sea: list[Observer] = []
        self.kvm_err: list[Observer] = []
        self.kzalloc: list[Observer] = []
        self.kfree: list[Observer] = []
        self.percpu: list[Observer] = []
        self.percpu_free: list[Observer] = []
        self.object: list[Observer] = []
        self.tags_cleared: list[Observer] = []
        self.accounted: list[Observer] = []
        self.synchronize_srcu: list[Observer] = []
        self.file_page: list[Observer] = []
        self.file_loses: list[Observer] = []
        self.unregistered: list[Observer] = []
        self.pre_fault: list[Observer] = []
        self.pre_faulted: list[Observer] = []
        self.all: list[list[Observer]] = [
            self.walk,
            self.walk_table,
            self.load,
            self.turn,
            self.wait,
            self.store,
            self.plain_store,
            self.exchanged,
            self.exchange_lost,
            self.get,
            self.put,
            self.free,
            self.free_exact,
            self.alloc,
            self.alloc_exact,
            self.contents,
            self.unwritten,
            self.page_count,
            self.no_table,
            self.tlbi_ipa,
            self.tlbi_ipa_local,
            self.tlbi_vmid,
            self.tlbi_range,
            self.flush_cpu_context,
            self.flush_vm_context,
            self.vmid_given,
            self.instruction,
            self.set_af,
            self.dirtied,
            self.dsb,
            self.dmb,
            self.isb,
            self.dcache,
            self.icache,
            self.icache_all,
            self.warn,
            self.lock,
            self.unlock,
            self.rcu_read_lock,
            self.rcu_read_unlock,
            self.call_rcu,
            self.rcu_callback,
            self.resched,
            self.resched_asked,
            self.cond_resched,
            self.topup,
            self.mc_pop,
            self.mc_count,
            self.mc_free,
            self.vma,
            self.user_walk,
            self.irqs_left,
            self.vma_read,
            self.gfn_to_pfn,
            self.pin,
            self.get_pfn,
            self.release,
            self.set_accessed,
            self.set_dirty,
            self.thp,
            self.mark_page_dirty,
            self.sample,
            self.acquired,
            self.rmb,
            self.retry,
            self.seq,
            self.slots_installed,
            self.log_taken,
            self.log_stored,
            self.ring_early,
            self.log_beside_ring,
            self.no_struct_page,
            self.root_linked,
            self.cow,
            self.host_update,
            self.inject,
            self.io,
            self.sigbus,
            self.sea,
            self.kvm_err,
            self.kzalloc,
            self.kfree,
            self.percpu,
            self.percpu_free,
            self.object,
            self.tags_cleared,
            self.accounted,
            self.synchronize_srcu,
            self.file_page,
            self.file_loses,
            self.unregistered,
            self.pre_fault,
            self.pre_faulted,
        ]

    def named(self, event: str) -> list[Observer]:
        """Return the observers of an event, given its name."""
        return self.all[_NUMBERS[event]]

    def add(self, observer: Observer) -> None:
        """Add an observer to the lists of the events that it overrides."""
        for number in overridden(type(observer)):
            self.all[number].append(observer)

    def remove(self, observer: Observer) -> None:
        """Undo `add`."""
        for number in overridden(type(observer)):
            self.all[number].remove(observer)

    def clear(self) -> None:
        """Remove all observers."""
        for observers in self.all:
            observers.clear()

    def recycle(self) -> None:
        """Remove all observers of a kernel whose code no longer runs, so that another kernel may reuse the lists."""
        self.clear()
        if self is not NO_OBSERVERS and len(_spares) < _SPARES:
            _spares.append(self)


# The observers of kernels that no longer run: none.
NO_OBSERVERS: Final = Observers()


def empty_observers() -> Observers:
    """Return lists that have no observers."""
    return _spares.pop() if _spares else Observers()
