# SPDX-License-Identifier: GPL-2.0-only
"""Rules that were added because versions from practice broke them, with similar versions of our own."""

import pytest

import candidate
from candidate.rfc_v1_fixed import MmuRfcV1Fixed
from fuzz.execution.executor import Executor
from fuzz.judging.differential import REGRESSION, Differential
from fuzz.language.text import parse
from reference.pgtable import Pgtable

from .case import ORIGINAL, Case, broken, each, violations
from .practice_rules import (
    CountsLeaves,
    FillsWithGuestMemory,
    FreesBeyondTheRoot,
    FreesGuestMemory,
    GetsLeaves,
    LinksGuestMemory,
    LinksTheTableItself,
    OneRootPage,
    PutsLeaves,
    RootOfOneMore,
)

FIXED = candidate.get("rfc-v1-fixed")
COALESCE = "vm\nslot a size=2M backing=thp log=on\ncpu0 read a+0\nlog a off\ncpu1 read a+8K\n"
UNMAP = "vm cpus=1 fwb=on\nslot a size=8K backing=anon\ncpu0 read a+4K\nhost discard a+4K 4K\n"
TABLE = "lifetime: stage2_unmap_walker: "

CASES = (
    Case(
        "guest memory freed for a table",
        "lifetime: stage2_map_walker: reference dropped on a non-table page",
        broken(FreesGuestMemory, MmuRfcV1Fixed),
        COALESCE,
        FIXED,
    ),
    Case("guest memory put", TABLE + "reference dropped on a non-table page", broken(PutsLeaves), UNMAP),
    Case(
        "guest memory referenced",
        "lifetime: stage2_map_walker: reference taken on a non-table page",
        broken(GetsLeaves),
        UNMAP,
    ),
    Case("guest memory counted", TABLE + "references counted on a non-table page", broken(CountsLeaves), UNMAP),
    Case(
        "more freed than the root",
        "lifetime: stage2_free_walker: reference dropped on a non-table page",
        broken(FreesBeyondTheRoot),
        "vm cpus=1 fwb=on\nslot a size=4K backing=anon\n",
    ),
    Case(
        "a table freed with the root",
        "lifetime: stage2_free_walker: double free",
        broken(FreesBeyondTheRoot),
        "vm cpus=1 fwb=on\nslot a size=4K backing=anon\ncpu0 read a+0\n",
    ),
    Case(
        "a root too small",
        "lifetime: kvm_init_stage2_mmu: root smaller than VTCR_EL2 says",
        broken(OneRootPage),
        "vm cpus=1 fwb=on\nslot a ipa=3G size=4K backing=anon\n",
    ),
    Case(
        "a root too large",
        "lifetime: kvm_init_stage2_mmu: root larger than VTCR_EL2 says",
        broken(RootOfOneMore),
        "vm cpus=1 fwb=on ipa=39\nslot a size=4K backing=anon\n",
    ),
    Case(
        "guest memory as a table",
        "lifetime: stage2_map_walker: non-table page entered L2",
        broken(LinksGuestMemory),
        "vm cpus=1 fwb=on\nslot a size=2M backing=thp\ncpu0 read a+0\n",
    ),
    Case(
        "a table that names guest memory",
        "lifetime: stage2_map_walker: non-table page entered L2",
        broken(FillsWithGuestMemory),
        "vm cpus=1 fwb=on ipa=39\nslot a size=4K backing=anon\ncpu0 read a+0\n",
    ),
    Case(
        "a table below itself",
        "lifetime: stage2_map_walker: table entered twice L2",
        broken(LinksTheTableItself),
        "vm cpus=1 fwb=on\nslot a size=8K backing=anon\ncpu0 read a+0\ncpu0 read a+4K\ncpu0 read a+0\n",
    ),
)


@each(CASES)
def test_good(case: Case) -> None:
    assert case.all_good() == []


@each(CASES)
def test_bad(case: Case) -> None:
    assert case.first_bad() == case.signature


def test_freed_guest_memory_is_reported_and_the_leak_follows_from_it() -> None:
    verdict = Differential(FIXED, broken(FreesGuestMemory, MmuRfcV1Fixed)).run(parse("s2fuzz 1\n" + COALESCE))
    assert verdict.titles() == [f"{REGRESSION} {CASES[0].signature}"]
    (finding,) = verdict.findings
    assert "free_page() of physical address 0x100000000" in finding.reason
    assert "guest memory at 0x40000000 of slot a" in finding.reason
    assert "leak: kvm_free_stage2_pgd: table pages left" in {each.signature for _, each in verdict.consequences}


def test_the_owner_of_the_memory_is_named_for_the_second_vm_too() -> None:
    vms = "vm cpus=1 vms=2 fwb=on\nslot a size=4K backing=anon\nslot b size=8K backing=anon vm=1\n"
    found = violations(broken(PutsLeaves), vms + "cpu1 read b+4K\nhost discard b+4K 4K\n")
    assert found[0].grave
    assert "slot b" in found[0].reason
    assert list(found[0].pages) == [(1 << 52) + 0x80001000]


def test_a_table_is_reported_when_the_hardware_can_reach_it() -> None:
    """The hardware does not walk a table that is not linked yet, or that is detached."""
    executor = Executor(
        broken(FillsWithGuestMemory), parse("s2fuzz 1\nvm cpus=1 fwb=on ipa=39\nslot a size=4K backing=anon\n")
    )
    executor.create()
    kernel, shadow = executor.side.kernel, executor.checkers.shadows[0]
    childp = kernel.zeroed_page()
    kernel.WRITE_ONCE(childp + 1, 0x100000000 | 3)
    assert executor.checkers.take(0) == []
    kernel.smp_store_release(executor.side.guests[0].regime.root + 1, kernel.__pa__(childp) | 3)
    assert "non-table page entered" in [violation.what for violation in executor.checkers.take(0)]
    kernel.WRITE_ONCE(executor.side.guests[0].regime.root + 1, 0)
    executor.checkers.take(0)
    assert not shadow.by_page[childp // 512].live
    kernel.WRITE_ONCE(childp + 2, 0x100000000 | 3)
    assert "non-table page entered" not in [violation.what for violation in executor.checkers.take(0)]


@pytest.mark.parametrize("granule", ["4K", "16K", "64K"])
@pytest.mark.parametrize("ipa", range(32, 49))
def test_the_root_has_the_size_that_vtcr_specifies(granule: str, ipa: int) -> None:
    assert violations(ORIGINAL, f"vm granule={granule} ipa={ipa}\nslot a size=64K backing=anon\n") == []


@pytest.mark.parametrize("setting", ["", " ipa=32", " ipa=48", " granule=16K", " granule=64K"])
@pytest.mark.parametrize("pgtable", [LinksTheTableItself, LinksGuestMemory])
def test_walks_that_leave_the_tables_are_reported(pgtable: type[Pgtable], setting: str) -> None:
    """A walk cache entry may refer to memory outside all tables: a fault, not a crash of s2fuzz."""
    text = f"vm cpus=2{setting}\nslot a size=64M backing=anon\nslot b size=64M backing=thp ipa=3G\n"
    for number, kind in enumerate(("read", "write", "fetch")):
        text += "".join(f"cpu{number % 2} {kind} {slot}+{step}M\n" for slot in "ab" for step in (0, 32, 0, 1))
    text += "cpu0 speculate a+0\ncpu1 speculate b+0\nhost discard a+0 64M\ncpu0 read a+0\ncpu0 read b+0\n"
    verdict = Differential(ORIGINAL, broken(pgtable)).run(parse("s2fuzz 1\n" + text))
    # With 64K pages, these slots are too small for a block.
    assert verdict.failed == (pgtable is LinksTheTableItself or setting != " granule=64K")
