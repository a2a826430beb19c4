# SPDX-License-Identifier: GPL-2.0-only
"""The table of operations that may run concurrently in a par block, derived from the locks that kernel code takes.

Each rule names the kernel functions that justify it. Some rules are for kinds that blocks do not run yet, and refuse.
"""

from collections.abc import Callable
from typing import Final, NamedTuple, cast

from . import operations as ops
from .program import ProgramError, refusal

# The mode in which an operation holds a lock: exclusively, or shared with others.
ALONE: Final = "alone"
SHARED: Final = "shared"

MAX_ACCESSES: Final = 8
MAX_SWITCHES: Final = 16
COUNTS: Final = range(1, 1 << 20)
FAULTS: Final = range(1, 17)


class LockRule(NamedTuple):
    """The locks of one kind of operations.

    :param kinds: the classes
    :param vcpu: the mode in which it holds ``vcpu->mutex`` of its vCPU
    :param slots: the mode in which it holds ``kvm->slots_lock``
    :param mmap: the mode in which it holds the mmap lock of the host's process; "" where it does not
    :param evidence: the kernel functions that take these locks
    :param allowed: whether par blocks may contain it
    """

    kinds: tuple[type, ...]
    vcpu: str
    slots: str
    mmap: str
    evidence: str
    allowed: bool = False


LOCK_RULES: Final = (
    LockRule(
        (ops.GuestAccess,),
        ALONE,
        "",
        SHARED,
        "kvm_vcpu_ioctl() (vcpu->mutex); user_mem_abort() (mmap lock)",
        True,
    ),
    LockRule(
        (ops.GuestPrefault,),
        ALONE,
        "",
        SHARED,
        "kvm_vcpu_ioctl() (vcpu->mutex); user_mem_abort() (mmap lock)",
    ),
    LockRule(
        (ops.GuestExternalAbort, ops.GuestConflict, ops.GuestOutside, ops.GuestCache, ops.GuestSetWay),
        ALONE,
        "",
        "",
        "kvm_vcpu_ioctl() (vcpu->mutex)",
    ),
    # Memory is unmapped under the mmap lock, which stage2_unmap_vm() requires. The vCPU is not in the guest.
    LockRule((ops.GuestReset,), ALONE, "", SHARED, "kvm_vcpu_ioctl() (vcpu->mutex); stage2_unmap_vm() (mmap lock)"),
    LockRule((ops.GuestMove,), ALONE, "", "", "vcpu_load() of the thread that moves: kvm_vcpu_ioctl() (vcpu->mutex)"),
    LockRule((ops.Speculate, ops.Evict), "", "", "", "hardware: between any two steps of kernel code", True),
    # The thread of another VM, which is no actor: force_vm_exit() makes all vCPUs leave the guest; kernel code
    # continues.
    LockRule((ops.VmidRollover,), "", "", "", "update_vmid() of another VM (kvm_vmid_lock)"),
    # Each waits for faults in flight (synchronize_srcu_expedited()), and for invalidations that have begun.
    LockRule(
        (ops.SetLog, ops.SlotCreate, ops.SlotDelete, ops.SlotMove),
        "",
        ALONE,
        "",
        "kvm_set_memory_region() (slots_lock)",
        True,
    ),
    LockRule(
        (ops.GetLog, ops.ClearLog),
        "",
        ALONE,
        "",
        "kvm_vm_ioctl_get_dirty_log(), kvm_vm_ioctl_clear_dirty_log() (slots_lock)",
        True,
    ),
    LockRule((ops.HostSplit,), "", "", ALONE, "mprotect(): mmap_write_lock()", True),
    LockRule((ops.HostProtect,), "", "", ALONE, "mprotect(): mmap_write_lock()"),
    # The lock is exclusive until the areas are gone.
    LockRule((ops.HostUnmap,), "", "", ALONE, "munmap(): mmap_write_lock(), then mmap_write_downgrade()", True),
    LockRule((ops.HostCollapse,), "", "", ALONE, "collapse_huge_page(): mmap_write_lock()", True),
    LockRule((ops.HostDiscard,), "", "", SHARED, "madvise(MADV_DONTNEED): mmap_read_lock()", True),
    LockRule((ops.HostReap,), "", "", SHARED, "oom_reap_task_mm(): mmap_read_trylock()", True),
    LockRule((ops.HostWrite, ops.HostWriteback), "", "", SHARED, "handle_mm_fault(): mmap_read_lock()", True),
    LockRule((ops.HostShare,), "", "", ALONE, "dup_mmap(): mmap_write_lock()", True),
    LockRule((ops.HostMerge,), "", "", SHARED, "ksm_do_scan(): mmap_read_lock()", True),
    LockRule((ops.HostMigrate,), "", "", "", "try_to_migrate(): rmap, no mmap lock", True),
    LockRule((ops.HostPoison,), "", "", "", "memory_failure(): rmap, no mmap lock", True),
    LockRule((ops.HostAge, ops.HostTestAge), "", "", "", "folio_referenced(), page_idle: rmap, no mmap lock", True),
    # A caller of pgtable.c holds the mmu lock for the whole call. Hyp tables have their own mutex.
    LockRule(
        (
            ops.TableMap, ops.TableUnmap, ops.TableWrprotect, ops.TableMkyoung, ops.TableMkold, ops.TableIsYoung,
            ops.TableRelax, ops.TableFlush,
        ),
        "",
        "",
        "",
        "the mmu lock of the caller",
    ),
    LockRule((ops.HypMap,), "", "", "", "create_hyp_mappings(): kvm_hyp_pgd_mutex"),
    # The last reference is gone: no vCPU and no call of user space is inside. A notifier may be, and is waited for.
    LockRule((ops.VmEnd,), ALONE, ALONE, "", "kvm_destroy_vm(): mmu_notifier_unregister() waits for notifiers"),
)  # fmt: skip

RULE_OF: Final[dict[type, LockRule]] = {kind: rule for rule in LOCK_RULES for kind in rule.kinds}
ALLOWED_IN_BLOCKS: Final = (
    "cpuN read, write, fetch, walk, clean; hostN and an operation of the host; user0 log, slot; user1 log get, clear; "
    "hwN cpuN speculate, evict"
)


def _within(what: str, value: int, bounds: range) -> None:
    if value not in bounds:
        raise refusal(f"{what}{value}", f"{bounds[0]} to {bounds[-1]}")


def check_par(par: ops.Par, where: list[int], check: Callable[[ops.GuestAccess | ops.ByThread], None]) -> None:
    """Check a block against the table.

    :param where: the CPU on which each vCPU runs
    :param check: checks an operation as if it were outside a block
    :raises ProgramError: the reason why the block is invalid. Its line is relative to the block; 0 is the ``par``
    """
    line = 0
    try:
        # A block that was just read may have operations of any kind.
        for each in cast("tuple[object, ...]", par.operations):
            line += 1
            check(ops.plain(_checked(each)))
        line = 0
        if len(par.operations) not in range(2, MAX_ACCESSES + 1):
            raise refusal(f"par with {len(par.operations)} operation(s)", f"2 to {MAX_ACCESSES}, of two actors or more")
        _check_cpus(par, where)
        _check_users(par)
        if len(par.switches) > MAX_SWITCHES:
            raise refusal(f"par with {len(par.switches)} switches", f"at most {MAX_SWITCHES}")
        anchors: set[tuple[int, str, str, int, int]] = set()
        line = len(par.operations)
        for switch in par.switches:
            line += 1
            _check_switch(par, switch)
            if switch.anchor in anchors:
                raise refusal("second switch at the same place", "one switch for each place")
            anchors.add(switch.anchor)
    except ProgramError as error:
        raise ProgramError("", line, error.message) from None


def check_thread(operation: object) -> None:
    """Check that an actor other than a vCPU may run operations of this kind, before there is a `Threaded` of it.

    :raises ProgramError: it may not
    """
    rule = RULE_OF.get(type(operation))
    if rule is None or not rule.allowed or isinstance(operation, ops.GuestAccess):
        raise refusal(f"{_named(type(operation))} in a par block", ALLOWED_IN_BLOCKS)


def _checked(operation: object) -> ops.Concurrent:
    """Return an operation that blocks may contain by this actor.

    :raises ProgramError: they may not contain it
    """
    if not isinstance(operation, (ops.GuestAccess, ops.Threaded)):
        raise refusal(f"{_named(type(operation))} in a par block", ALLOWED_IN_BLOCKS)
    done = ops.plain(operation)
    rule = RULE_OF.get(type(done))
    actors = ops.actors_of(done) if rule is not None and rule.allowed else None
    if rule is None or not rule.allowed or (actors is not None) != isinstance(operation, ops.Threaded):
        raise refusal(f"{_named(type(done))} in a par block", ALLOWED_IN_BLOCKS)
    if actors is not None and operation.cpu not in actors:
        raise refusal(f"{_named(type(done))} by {ops.actor_name(operation.cpu)}", ALLOWED_IN_BLOCKS)
    if ops.fail_of(done) is not None:
        raise refusal("fail= in a par block", "no fail=")
    return operation


def _named(kind: type) -> str:
    """Return the first two words of an operation of this kind."""
    return " ".join(ops.declaration_of(kind).form.split()[:2]) if kind in RULE_OF else "par"


def _check_cpus(par: ops.Par, where: list[int]) -> None:
    """Check that actors have separate CPUs: a vCPU has one thread (``vcpu->mutex``), and spin locks disable preemption.

    Threads other than vCPUs run on CPUs of their own.
    """
    if len(par.actors) < 2:
        raise refusal("par with one actor", "operations of two actors or more")
    places: dict[int, int] = {}
    for cpu in par.actors:
        if not ops.is_vcpu(cpu):
            continue
        other = places.setdefault(where[cpu], cpu)
        if other != cpu:
            raise refusal(f"cpu{other} and cpu{cpu} both run on CPU {where[cpu]}", "vCPUs on CPUs of their own")


def _check_users(par: ops.Par) -> None:
    """Check that two threads of user space only get and clear logs, which is right in any order."""
    if sum(actor in ops.USERS for actor in par.actors) < 2:
        return
    for each in par.operations:
        if each.cpu in ops.USERS and not isinstance(ops.plain(each), (ops.GetLog, ops.ClearLog)):
            wrong = ops.declaration_of(type(ops.plain(each))).form.split()[:1]
            raise refusal(
                f"{' '.join(wrong)} by {ops.actor_name(each.cpu)} together with another thread of user space",
                "log get and log clear by two threads of user space",
            )


def _check_switch(par: ops.Par, switch: ops.Switch) -> None:
    """Check one line of the schedule."""
    allowed = ", ".join(map(ops.actor_name, par.actors))
    name = ops.actor_name(switch.cpu)
    for actor in (switch.cpu, switch.to):
        if actor not in par.actors:
            raise refusal(f"{ops.actor_name(actor)} has no operation in this block", allowed)
    if switch.cpu == switch.to:
        raise refusal(f"switch {name} to {name}", "another actor of the block")
    if switch.point not in ops.points_of(switch.cpu):
        allowed = ", ".join(ops.points_of(switch.cpu)) or "no switch, since it makes a single step"
        raise refusal(f"{switch.point} of {name}", allowed)
    if switch.point in ops.ONLY_AFTER and switch.when != "after":
        raise refusal(f"before {switch.point}", f"after {switch.point}")
    if switch.point == "fault" or switch.point in ops.STEPS_OF_HOST:
        _within(f"{switch.point} ", switch.count, FAULTS)
        if switch.fault != 1:
            raise refusal(
                f"fault={switch.fault} with {switch.point} {switch.count}",
                "no fault=, since COUNT counts over the whole block",
            )
    _within(f"{switch.point} ", switch.count, COUNTS)
    _within("fault=", switch.fault, FAULTS)
