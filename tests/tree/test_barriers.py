# SPDX-License-Identifier: GPL-2.0-only
"""Barriers of a tree: each one orders exactly the accesses that its kind orders."""

from pathlib import Path
from typing import Final

import pytest

from candidate.tree.building.source import MMU, PGTABLE

from ..unit.block_run import Run
from .trees import edited

PROGRAM: Final = "s2fuzz 1\nvm cpus=1\nslot a size=64K backing=anon\ncpu0 write a+0\n"
# Code between the sample of the notifier sequence and the look-up of the frame, in 5.12.9.
SAMPLE: Final = "\tmmu_seq = vcpu->kvm->mmu_notifier_seq;\n"
BARRIER: Final = "\t */\n\tsmp_rmb();\n\n\tpfn = gfn_to_pfn_prot("
SEQUENCE: Final = "&vcpu->kvm->mmu_notifier_seq"
COUNT: Final = "&vcpu->kvm->mmu_notifier_count"
UNORDERED: Final = (
    "fault-order: kvm_handle_guest_abort: notifier sequence sampled without a barrier after a translation fault"
)
# The sample, and the barrier after it.
ORDERED: Final = {
    "a full barrier": (SAMPLE, "\tsmp_mb();\n"),
    "a DSB": (SAMPLE, "\tmb();\n"),
    "a DSB of loads": (SAMPLE, "\trmb();\n"),
    "an acquire": (f"\tmmu_seq = smp_load_acquire({SEQUENCE});\n", ""),
    "an acquire after the sample": (SAMPLE, f"\tmmu_seq = min(mmu_seq, smp_load_acquire({SEQUENCE}));\n"),
}
NOT_ORDERED: Final = {
    "nothing": (SAMPLE, ""),
    "a barrier of stores": (SAMPLE, "\tsmp_wmb();\n"),
    "a DSB of stores": (SAMPLE, "\twmb();\n"),
    "a full barrier before": (f"\tsmp_mb();\n{SAMPLE}", ""),
    "an acquire of another word": (SAMPLE, f"\t(void)smp_load_acquire({COUNT});\n"),
}


def sampling(folder: Path, sample: str, barrier: str) -> str:
    """Copy 5.12.9 so that faults sample the notifier sequence in another way; return the name of the version."""
    return edited("5.12.9", folder, MMU, [(SAMPLE, sample), (BARRIER, BARRIER.replace("\tsmp_rmb();\n", barrier))])


@pytest.mark.parametrize("name", ORDERED)
def test_sample_before_a_barrier_of_loads(name: str, tmp_path: Path) -> None:
    run = Run(sampling(tmp_path / "tree", *ORDERED[name]), PROGRAM)
    assert (run.refused, [each.signature for each in run.violations]) == ("", [])
    assert run.count("by smp_load_acquire") == ("acquire" in name)


@pytest.mark.parametrize("name", NOT_ORDERED)
def test_sample_without_a_barrier_of_loads(name: str, tmp_path: Path) -> None:
    run = Run(sampling(tmp_path / "tree", *NOT_ORDERED[name]), PROGRAM)
    assert [each.signature for each in run.violations] == [UNORDERED]


# The store of an entry, in 6.12: of a leaf, or of a table that the code has just taken from the memory cache.
COUNTED: Final = "\t\tmm_ops->get_page(ctx->ptep);\n\n"
STORED: Final = "\tsmp_store_release(ctx->ptep, new);\n"
ONCE: Final = "\tWRITE_ONCE(*ctx->ptep, new);\n"
# Plain stores to the page of a table, before the table's entry is written.
WRITES: Final = (
    "\tif (new & KVM_PTE_VALID && ctx->level < KVM_PGTABLE_LAST_LEVEL && new & KVM_PTE_TYPE) {\n"
    "\t\tkvm_pte_t *childp = ctx->mm_ops->phys_to_virt(kvm_pte_to_phys(new));\n\n\t\tchildp[5] = 0xee00;\n\t}\n"
)
LINKED: Final = "bbm: stage2_map_walker: table stored without release L1"
RELEASED: Final = {
    "a barrier of stores": f"\tsmp_wmb();\n{ONCE}",
    "a full barrier": f"\tsmp_mb();\n{ONCE}",
    "a DSB of stores": f"\tdsb(ishst);\n{ONCE}",
    "a full DSB": f"\tdsb(sy);\n{ONCE}",
    "an exchange": "\txchg(ctx->ptep, new);\n",
    "a compare-exchange": "\tcmpxchg(ctx->ptep, READ_ONCE(*ctx->ptep), new);\n",
    "stores before the barrier": f"{WRITES}\tsmp_wmb();\n{ONCE}",
}
NOT_RELEASED: Final = {
    "nothing": ONCE,
    "a barrier of loads": f"\tsmp_rmb();\n{ONCE}",
    "a barrier of loads, DSB": f"\tdsb(ishld);\n{ONCE}",
    "a barrier after": f"{ONCE}\tsmp_wmb();\n",
    "stores after the barrier": f"\tsmp_wmb();\n{WRITES}{ONCE}",
}


def storing(folder: Path, text: str) -> Run:
    """Run a fault that makes two tables on a copy of 6.12 that stores entries in another way."""
    return Run(edited("6.12", folder, PGTABLE, [(COUNTED + STORED, COUNTED + text)]), PROGRAM)


@pytest.mark.parametrize("name", RELEASED)
def test_table_stored_in_order(name: str, tmp_path: Path) -> None:
    run = storing(tmp_path / "tree", RELEASED[name])
    assert (run.refused, [each.signature for each in run.violations if each.checker == "bbm"]) == ("", [])


@pytest.mark.parametrize("name", NOT_RELEASED)
def test_table_stored_out_of_order(name: str, tmp_path: Path) -> None:
    run = storing(tmp_path / "tree", NOT_RELEASED[name])
    assert LINKED in [each.signature for each in run.violations]


def test_a_store_that_no_barrier_follows_is_named(tmp_path: Path) -> None:
    """The place is that of the store, although the return is judged."""
    mapped = "\tdsb(ishst);\n\treturn ret;\n}\n\nint kvm_pgtable_stage2_set_owner("
    run = Run(edited("6.12", tmp_path / "tree", PGTABLE, [(mapped, mapped.removeprefix("\tdsb(ishst);\n"))]), PROGRAM)
    (found,) = run.violations
    assert found.signature == "walk-order: stage2_map_walker: entry not ordered before walks"
    assert "; at stage2_make_pte (pgtable.c:" in found.reason
