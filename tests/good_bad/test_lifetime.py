# SPDX-License-Identifier: GPL-2.0-only
"""lifetime: no table page is used after it was freed, nor freed while it is in use."""

from reference.kernel import Kernel
from reference.kvm import kvm
from reference.machine.arena import UNWRITTEN
from reference.mmu import Mmu
from reference.pgtable import NULL, Pgtable, kvm_pgtable, stage2_map_data
from reference.services.errors import ENOMEM
from reference.services.structs import kvm_mmu_memory_cache, kvm_s2_mmu

from .case import Case, broken, each, violations
from .switched import Coalesce, Root, Unmap


class FreeFirst(Pgtable):
    """Frees a table while its parent still refers to it."""

    def stage2_unmap_walker(self, addr: int, end: int, level: int, ptep: int, flag: int, arg: kvm_s2_mmu) -> int:
        pte = self.mem[ptep]
        if not self.kvm_pte_table(pte, level):
            return super().stage2_unmap_walker(addr, end, level, ptep, flag, arg)
        childp = self.kvm_pte_follow(pte)
        if self.k.page_count(self.k.virt_to_page(childp)) == 1:
            self.k.free_page(childp)
            self.kvm_set_invalid_pte(ptep)
            self.k.__kvm_tlb_flush_vmid_ipa__(arg, addr, level)
            self.k.put_page(self.k.virt_to_page(ptep))
        return 0


class FreeTwice(Pgtable):
    def stage2_unmap_walker(self, addr: int, end: int, level: int, ptep: int, flag: int, arg: kvm_s2_mmu) -> int:
        pte = self.mem[ptep]
        ret = super().stage2_unmap_walker(addr, end, level, ptep, flag, arg)
        if self.kvm_pte_table(pte, level) and not self.kvm_pte_valid(self.mem[ptep]):
            self.k.free_page(self.kvm_pte_follow(pte))
        return ret


class EnterUnzeroed(Pgtable):
    """Enters a table whose memory was not cleared."""

    def kvm_set_table_pte(self, ptep: int, childp: int) -> None:
        self.k.found_contents(childp, self.k.entries, UNWRITTEN)
        super().kvm_set_table_pte(ptep, childp)


class ReadUnzeroed(Pgtable):
    """Reads a table whose memory was not cleared, and clears it afterwards."""

    def kvm_set_table_pte(self, ptep: int, childp: int) -> None:
        self.k.found_contents(childp, self.k.entries, UNWRITTEN)
        self.k.read_unwritten(childp + 1)
        for entry in range(self.k.entries):
            self.k.WRITE_ONCE(childp + entry, 0)
        super().kvm_set_table_pte(ptep, childp)


class ClearUnzeroed(Pgtable):
    """Clears a table whose memory was not cleared before it reads or enters it."""

    def kvm_set_table_pte(self, ptep: int, childp: int) -> None:
        self.k.found_contents(childp, self.k.entries, UNWRITTEN)
        for entry in range(self.k.entries):
            self.k.WRITE_ONCE(childp + entry, 0)
        super().kvm_set_table_pte(ptep, childp)


class FreeBeforeWalk(Coalesce):
    """Frees the detached table in PRE, before the walker has visited it."""

    out = frozenset({"free"})

    def stage2_map_walk_table_pre(self, addr: int, end: int, level: int, ptep: int, data: stage2_map_data) -> int:
        anchor = data.anchor
        ret = super().stage2_map_walk_table_pre(addr, end, level, ptep, data)
        if anchor == NULL and data.anchor == ptep:
            childp = self.kvm_pte_follow(self.mem[ptep])
            while self.k.page_count(self.k.virt_to_page(childp)) > 0:
                self.k.put_page(self.k.virt_to_page(childp))
        return ret


class KeepOneTable(Pgtable):
    """Uses the same page whenever a table is needed."""

    kept = NULL

    def stage2_map_walk_leaf(self, addr: int, end: int, level: int, ptep: int, data: stage2_map_data) -> int:
        if level != 2 or self.kept == NULL:
            ret = super().stage2_map_walk_leaf(addr, end, level, ptep, data)
            if level == 2 and not ret:
                self.kept = self.kvm_pte_follow(self.mem[ptep])
            return ret
        self.kvm_set_table_pte(ptep, self.kept)
        self.k.get_page(self.k.virt_to_page(ptep))
        return 0


class StoreAfterFree(Pgtable):
    """Clears a table that it has freed."""

    def stage2_unmap_walker(self, addr: int, end: int, level: int, ptep: int, flag: int, arg: kvm_s2_mmu) -> int:
        pte = self.mem[ptep]
        ret = super().stage2_unmap_walker(addr, end, level, ptep, flag, arg)
        if self.kvm_pte_table(pte, level) and not self.kvm_pte_valid(self.mem[ptep]):
            self.k.WRITE_ONCE(self.kvm_pte_follow(pte), 0)
        return ret


class FreeRoot(Pgtable):
    def kvm_pgtable_stage2_map(
        self, pgt: kvm_pgtable, addr: int, size: int, phys: int, prot: int, mc: kvm_mmu_memory_cache | None
    ) -> int:
        self.k.put_page(self.k.virt_to_page(pgt.pgd))
        return super().kvm_pgtable_stage2_map(pgt, addr, size, phys, prot, mc)


class UnlinkLast(Mmu):
    """Unlinks the root after the tables are gone."""

    def kvm_free_stage2_pgd(self, kvm: kvm) -> None:
        pgt = kvm.pgt
        if pgt is not None:
            self.p.kvm_pgtable_stage2_destroy(pgt)
            self.k.kfree()
            self.k.lock("mmu")
            kvm.pgt = None
            self.k.free_percpu()
            self.k.unlock("mmu")


class DestroyUnderLock(Mmu):
    """Destroys the tables of a linked root with the lock held."""

    def kvm_free_stage2_pgd(self, kvm: kvm) -> None:
        self.k.lock("mmu")
        pgt = kvm.pgt
        if pgt is not None:
            self.p.kvm_pgtable_stage2_destroy(pgt)
            kvm.pgt = None
            self.k.free_percpu()
            self.k.kfree()
        self.k.unlock("mmu")


class LinkFirst(Root):
    """Links the root before the VM is complete, and unlinks it late if creation fails, like Linux 7.3."""

    def kvm_init_stage2_mmu(self, kvm: kvm) -> int:
        pgt = self.root(kvm)
        if pgt is None:
            return -ENOMEM
        kvm.pgt = pgt
        if not self.k.alloc_percpu():
            self.p.kvm_pgtable_stage2_destroy(pgt)
            self.unlink(kvm)
            self.k.kfree()
            return -ENOMEM
        return 0

    def unlink(self, kvm: kvm) -> None:
        kvm.pgt = None


class KeepsLink(LinkFirst):
    """Frees the root of a creation that failed, and leaves the pointer to it."""

    def unlink(self, kvm: kvm) -> None:
        """Do nothing."""


class BesideWalks(Coalesce):
    """Maps concurrently with other walks, as an RCU reader: a table replaced by a block is freed after a grace period.

    *out*: "reader": the walk is not an RCU reader; "grace": the table is freed at once; "cut": it is handed to RCU
    too early
    """

    WALKS_UNDER_RCU = True
    steps = frozenset({"reader", "grace", "cut"})

    def __init__(self, kernel: Kernel) -> None:
        super().__init__(kernel)
        self.waiting: list[tuple[int, int]] = []

    def kvm_pgtable_stage2_map(
        self, pgt: kvm_pgtable, addr: int, size: int, phys: int, prot: int, mc: kvm_mmu_memory_cache | None
    ) -> int:
        # Same effect as read_lock().
        self.k.mmu_shared = True
        if "reader" not in self.out:
            self.k.rcu_read_lock()
        # Another rule checks the order of compare-exchanges.
        self.k.exchanging = True
        ret = super().kvm_pgtable_stage2_map(pgt, addr, size, phys, prot, mc)
        self.k.exchanging = False
        if "reader" not in self.out:
            self.k.rcu_read_unlock()
        for number, table in self.waiting:
            self.k.rcu_callback(number)
            self.k.free_page(table)
        self.waiting.clear()
        return ret

    def stage2_map_walk_table_pre(self, addr: int, end: int, level: int, ptep: int, data: stage2_map_data) -> int:
        anchor, pte = data.anchor, self.mem[ptep]
        early = "cut" in self.out and anchor == NULL and self.kvm_block_mapping_supported(addr, end, data.phys, level)
        if early:
            self.hand_over(self.kvm_pte_follow(pte))
        return super().stage2_map_walk_table_pre(addr, end, level, ptep, data)

    def stage2_map_walk_table_post(self, addr: int, end: int, level: int, ptep: int, data: stage2_map_data) -> int:
        if data.anchor == NULL:
            return 0
        table = self.kvm_pte_follow(self.mem[ptep])
        if "grace" in self.out:
            self.k.free_page(table)
        elif "cut" not in self.out:
            self.hand_over(table)
        self.k.put_page(self.k.virt_to_page(ptep))
        data.anchor = NULL
        return self.stage2_map_walk_leaf(addr, end, level, ptep, data)

    def hand_over(self, table: int) -> None:
        self.waiting.append((self.k.call_rcu(self.k.virt_to_page(table)), table))


UNMAP = "vm cpus=1 fwb=on\nslot a size=4K backing=anon\ncpu0 read a+0\nhost discard a+0 4K\n"
PAGE = "vm cpus=1 fwb=on\nslot a size=4K backing=anon\ncpu0 read a+0\n"
TWO = "vm cpus=1 vms=2\nslot a size=4K backing=anon vm=1\nhyp map 0 0 4K rw\n"
LINKED = "lifetime: kvm_free_stage2_pgd: destroyed while the root is linked"
COALESCE = "vm cpus=1 fwb=on\nslot a size=2M backing=thp log=on\ncpu0 read a+0\nlog a off\ncpu0 read a+4K\n"

CASES = (
    Case("freed while reachable", "lifetime: stage2_unmap_walker: freed while reachable", broken(FreeFirst), UNMAP),
    Case(
        "freed before the flush, unmapped",
        "lifetime: stage2_unmap_walker: freed before the flush",
        Unmap.without("table flush"),
        UNMAP,
    ),
    Case(
        "freed before the flush, made a block",
        "lifetime: stage2_map_walker: freed before the flush",
        Coalesce.without("flush"),
        COALESCE,
    ),
    Case(
        "freed before a grace period",
        "lifetime: stage2_map_walker: freed before a grace period",
        BesideWalks.without("grace"),
        COALESCE,
        BesideWalks.without(),
    ),
    Case(
        "handed to RCU while it is linked",
        "lifetime: stage2_map_walker: handed to RCU while reachable",
        BesideWalks.without("cut"),
        COALESCE,
        BesideWalks.without(),
    ),
    Case(
        "no reader of RCU",
        "lifetime: stage2_map_walker: walk under a shared mmu_lock outside of rcu_read_lock",
        BesideWalks.without("reader"),
        PAGE,
        BesideWalks.without(),
    ),
    Case("freed twice", "lifetime: stage2_unmap_walker: double free", broken(FreeTwice), UNMAP),
    Case("walked when free", "lifetime: stage2_map_walker: walk of a freed table", broken(FreeBeforeWalk), COALESCE),
    Case("stored to when free", "lifetime: stage2_unmap_walker: store to a freed table", broken(StoreAfterFree), UNMAP),
    Case(
        "entered twice",
        "lifetime: stage2_map_walker: table entered twice L2",
        broken(KeepOneTable),
        "vm cpus=1 fwb=on\nslot a size=4M backing=anon\ncpu0 read a+0\ncpu0 read a+2M\n",
    ),
    Case(
        "root freed",
        "lifetime: kvm_handle_guest_abort: root freed L1",
        broken(FreeRoot),
        "vm cpus=1 fwb=on ipa=39\nslot a size=4K backing=anon\ncpu0 read a+0\n",
    ),
    Case(
        "entered, not zeroed",
        "lifetime: stage2_map_walker: table entered that was not zeroed",
        broken(EnterUnzeroed),
        PAGE,
        broken(ClearUnzeroed),
    ),
    Case(
        "read, not zeroed",
        "lifetime: stage2_map_walker: walk of a table that was not zeroed",
        broken(ReadUnzeroed),
        PAGE,
        broken(ClearUnzeroed),
    ),
    Case(
        "root linked after a failure",
        "lifetime: kvm_init_stage2_mmu: root linked after a failed creation",
        broken(mmu=KeepsLink),
        "vm cpus=1 fail=3\nslot a size=4K backing=anon\n",
        broken(mmu=LinkFirst),
    ),
    Case("root unlinked last", LINKED, broken(mmu=UnlinkLast), PAGE),
    Case("root unlinked last, of two VMs", LINKED, broken(mmu=UnlinkLast), TWO),
    Case("root unlinked last, under the lock", LINKED, broken(mmu=DestroyUnderLock), PAGE),
)


@each(CASES)
def test_lifetime_good(case: Case) -> None:
    assert case.all_good() == []


@each(CASES)
def test_lifetime_bad(case: Case) -> None:
    assert case.first_bad() == case.signature


def test_nobody_finds_the_root_of_a_failed_creation() -> None:
    """A VM gets its notifier after its tables (``kvm_create_vm()``)."""
    program = "vm cpus=1 fail=3\nslot a size=4K backing=anon\n"
    assert violations(broken(mmu=LinkFirst), program) == []
    (wrong,) = violations(broken(mmu=KeepsLink), program)
    # User space gets another VM when it tries again.
    assert wrong.signature == "lifetime: kvm_init_stage2_mmu: root linked after a failed creation"
