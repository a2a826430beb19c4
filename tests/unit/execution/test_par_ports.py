# SPDX-License-Identifier: GPL-2.0-only
"""Several vCPUs that run concurrently on a port, one step at a time."""

from typing import Final

import pytest

import candidate
from candidate import Candidate
from fuzz.generation.capabilities import Offers
from fuzz.generation.generator import Generator
from fuzz.judging.differential import Differential
from fuzz.language.operations import Par
from fuzz.language.program import has_blocks, sequential
from fuzz.language.text import parse
from fuzz.minimizing.minimize import minimize
from reference.kvm import kvm_memory_slot, kvm_vcpu
from reference.mmu import Mmu
from reference.pgtable import Pgtable

from ..block_run import Run

MAP: Final = "s2fuzz 1\nvm\nslot a size=4M backing=anon\npar\ncpu0 write a+0\ncpu1 write {}\n{}end\ncpu0 read a+0\n"
BOTH_FAULT: Final = "switch cpu0 to cpu1 after fault 1\n"
PLACES: Final = (
    *("after load 1", "after load 2", "before store 1", "after store 1", "before lock 1", "after lock 1"),
    *("before unlock 1", "after unlock 1", "before clean 1", "after clean 1", "before lookup 1", "after lookup 1"),
)
# Places where the mmu lock is held.
UNDER_LOCK: Final = (
    *("after load 1", "after load 2", "before store 1", "after store 1", "after lock 1", "before unlock 1"),
    *("before clean 1", "after clean 1"),
)
VERSIONS: Final = ("original", "rfc-v1", "rfc-v1-fixed", "rfc-v2", "v5.12.9", "v5.14")


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("place", ["a+0", "a+4K"])
def test_two_faults_map(version: str, place: str) -> None:
    """Map the same page or two pages of one table from two vCPUs, with a switch at each kind of place: both finish."""
    alone = Run(version, MAP.format(place, ""))
    waited: list[str] = []
    for switch in PLACES:
        run = Run(version, MAP.format(place, f"{BOTH_FAULT}switch cpu1 to cpu0 {switch}\n"))
        # RFC v1 4/4 fills memory caches under the lock in every fault.
        assert {each.signature for each in run.violations} == {each.signature for each in alone.violations}
        assert [part.status for part in run.outcomes[0].parts] == ["ok", "ok"]
        assert run.outcomes[0].detail == ""
        assert run.order().startswith("010")
        if run.count("waits for the mmu lock, which cpu1 holds"):
            waited.append(switch)
    assert waited == list(UNDER_LOCK)


def test_a_vcpu_waits_for_the_lock_until_it_is_released() -> None:
    run = Run("original", MAP.format("a+0", f"{BOTH_FAULT}switch cpu1 to cpu0 after lock 1\n"))
    assert run.order() == "0101" + "0"
    assert run.count("waits for the mmu lock, which cpu1 holds") == 1
    # The page is already mapped when cpu0 takes the lock: its fault ends without a store.
    assert [part.faults for part in run.outcomes[0].parts] == [1, 1]
    assert run.count("empty -> page@") == 1


def test_there_is_a_place_after_each_load() -> None:
    """Check that another vCPU waits there, because the lock is held: each entry is loaded, then mapped once."""
    alone = Run("original", MAP.format("a+0", BOTH_FAULT))
    # At each of three levels the walk loads once, its callback twice, and the walk again. Setting a table loads once
    # more.
    loads = 3 * 4 + 2
    # The other vCPU finds two tables.
    assert alone.count(": loaded, ") == loads + 2 + 4
    for load in range(1, loads + 1):
        run = Run("original", MAP.format("a+0", f"{BOTH_FAULT}switch cpu1 to cpu0 after load {load}\n"))
        assert (load, run.order(), run.violations) == (load, "01010", [])
        assert run.count("empty -> page@") == 1
    run = Run("original", MAP.format("a+0", f"{BOTH_FAULT}switch cpu1 to cpu0 after load {loads + 1}\n"))
    assert run.outcomes[0].detail == f"cpu1 never reaches: after load {loads + 1}"


def test_a_program_determines_its_interleaving() -> None:
    texts = [MAP.format("a+4K", f"{BOTH_FAULT}switch cpu1 to cpu0 {place}\n") for place in PLACES]
    first = [Run("original", text).lines for text in texts]
    assert [Run("original", text).lines for text in reversed(texts)] == first[::-1]
    assert len({tuple(lines) for lines in first}) > len(texts) // 2


class Forgetful(Mmu):
    """Takes the mmu lock before a fault of vCPU 1 and never releases it."""

    def user_mem_abort(
        self, vcpu: kvm_vcpu, fault_ipa: int, memslot: kvm_memory_slot, hva: int, fault_status: int
    ) -> int:
        ret = super().user_mem_abort(vcpu, fault_ipa, memslot, hva, fault_status)
        if vcpu.vcpu_id:
            self.k.lock("mmu")
        return ret


def test_a_deadlock_names_its_waiters_and_holders() -> None:
    version = Candidate("forgetful", Pgtable, Forgetful, "keeps the mmu lock")
    run = Run(
        version,
        MAP.format("a+4K", f"{BOTH_FAULT}switch cpu1 to cpu0 before lock 1\nswitch cpu0 to cpu1 after lookup 1\n"),
    )
    signatures = [each.signature for each in run.violations]
    assert any("lock still held" in each for each in signatures)
    deadlock = next(each for each in run.violations if "deadlock" in each.signature)
    assert deadlock.signature == "locking: kvm_handle_guest_abort: deadlock"
    assert deadlock.reason.endswith("cpu0 waits for the mmu lock, which cpu1 holds")


class Breaks(Mmu):
    """Raises an exception in the fault handler."""

    def user_mem_abort(
        self, vcpu: kvm_vcpu, fault_ipa: int, memslot: kvm_memory_slot, hva: int, fault_status: int
    ) -> int:
        raise KeyError(hva)


def test_a_crash_names_the_call_of_its_actor() -> None:
    """Check that it does not name the operation before the block."""
    program = "s2fuzz 1\nvm\nslot a size=4M backing=anon\nhost age a+0 4K\npar\ncpu0 write a+0\ncpu1 read a+4K\nend\n"
    (found,) = Run(Candidate("breaks", Pgtable, Breaks, "fails"), program).violations
    assert found.signature == "contract: kvm_handle_guest_abort: oops KeyError in user_mem_abort"


def test_a_generated_program_finds_the_deadlock_and_still_shows_it_when_minimised() -> None:
    original, version = candidate.get("original"), Candidate("forgetful", Pgtable, Forgetful, "keeps the mmu lock")
    differential = Differential(original, version)
    generator = Generator(5, offers=Offers(par=True))
    for program in (generator.next() for _ in range(200)):
        worse = [each for each in differential.run(program).findings if "deadlock" in each.signature]
        if worse:
            break
    else:
        pytest.fail("no deadlock in 200 programs")
    small = minimize(program, original, version, worse[0].key, 30.0)
    (block,) = [each for each in small.operations if isinstance(each, Par)]
    assert (len(small.operations), len(block.operations)) <= (2, 2)
    assert len(block.switches) <= 2
    assert worse[0].key in {each.key for each in differential.run(small).findings}


def test_waiters_get_a_lock_although_another_call_ends() -> None:
    """Let two threads wait for the mmu lock when the fault that holds it ends; then one of them waits for the other."""
    run = Run(
        "original",
        "s2fuzz 1\nvm\nslot a size=2M backing=thp log=on\ncpu1 read a+8K\npar\n"
        "cpu1 write a+468K\nhost1 discard a+0 2M\nhost0 testage a+468K\nswitch cpu1 to host1 after load 2\n"
        "switch host1 to host0 after store 1\nend\ncpu1 read a+468K\n",
    )
    assert run.count("waits for the mmu lock, which cpu1 holds") == 2
    assert run.count("waits for the mmu lock, which host1 holds") == 1
    assert [part.status for part in run.outcomes[1].parts] == ["ok", "ok", "ok"]
    assert run.violations == []


def test_a_thread_keeps_its_locks_although_the_last_fault_ends() -> None:
    """Emulate a vCPU's access while a thread holds the mmu lock: another thread must still wait for the lock."""
    run = Run(
        "original",
        "s2fuzz 1\nvm\nslot a size=2M backing=anon\nslot b ipa=6G size=2M backing=anon\ncpu0 read a+0\nslot b delete\n"
        "par\nhost0 discard a+0 4K\ncpu0 read b+0\nhost1 testage a+0\nswitch host0 to cpu0 after store 1\nend\n",
    )
    assert [part.status for part in run.outcomes[2].parts] == ["ok", "io", "ok"]
    assert run.count("waits for the mmu lock, which host0 holds") == 1


def test_a_switch_whose_place_is_never_reached_is_reported() -> None:
    program = parse(MAP.format("a+0", "switch cpu1 to cpu0 before cmpxchg 1\n"))
    original = candidate.get("original")
    notes = Differential(original, original).run(program).notes
    assert notes == ["operation 1, both sides: cpu1 never reaches: before cmpxchg 1"]


def test_programs_of_the_random_engine_are_clean() -> None:
    """Run versions that have no bug which only blocks show: the same operations in sequence show nothing."""
    generator = Generator(11, offers=Offers(par=True))
    programs = [each for each in (generator.next() for _ in range(120)) if has_blocks(each)]
    assert len(programs) > 15
    for name in ("original", "rfc-v1-fixed", "v5.14"):
        version = candidate.get(name)
        differential = Differential(version, version)
        for program in programs:
            unknown = {each.key for each in differential.run(program).findings if not each.known}
            if unknown:
                unknown -= {each.key for each in differential.run(sequential(program)).findings}
            assert unknown == set()


def test_a_known_bug_explains_a_violation_of_one_access_of_a_block() -> None:
    """Check its condition, a fetch from a logged slot: it holds for that access, whatever the other access is."""
    program = parse(
        "s2fuzz 1\nvm fwb=on\nslot a size=8M backing=thp\ncpu0 read a+4M\nlog a on\n"
        "par\ncpu0 read a+0\ncpu1 fetch a+4M\nend\n"
    )
    original = candidate.get("original")
    found = Differential(original, original).run(program).findings
    assert [(each.signature.partition(":")[0], each.known) for each in found] == [("memcache", "M1")]


@pytest.mark.parametrize(
    ("version", "shows"),
    [("rfc-v1", True), ("rfc-v2", True), ("rfc-v1-fixed", False), ("v5.12.9", False), ("v5.14", False)],
)
def test_tables_freed_between_a_fault_and_its_handler(version: str, shows: bool) -> None:
    """Check RFC v1 4/4, where the fault level does not tell how many tables are needed:

    a notifier may free them first.
    """
    program = parse(
        "s2fuzz 1\nvm\nslot a size=12K backing=anon\ncpu0 read a+8K\npar\n  cpu0 read a+0\n  host0 discard a+8K 4K\n"
        "  switch cpu0 to host0 after fault 1\nend\n"
    )
    verdict = Differential(candidate.get("original"), candidate.get(version)).run(program)
    wanted = "memcache: stage2_map_walker: allocation without a top-up after a translation fault"
    assert (wanted in [each.signature for each in verdict.findings]) == shows


@pytest.mark.parametrize(
    ("version", "kind"), [("v5.12.9", "common"), ("rfc-v1-1", "cured"), ("rfc-v1-fixed", "cured"), ("v5.14", "cured")]
)
def test_a_page_that_migrates_before_a_permission_fault_is_handled(version: str, kind: str) -> None:
    """Check bug X2 of docs/bugs-found.md: the new page is mapped for the first time without being cleaned."""
    program = parse(
        "s2fuzz 1\nvm cpus=1\nslot a ipa=1G size=2M backing=thp\ncpu0 read a+0\nlog a on\npar\n  cpu0 write a+0\n"
        "  host0 migrate a+0 4K\n  switch cpu0 to host0 after fault 1\nend\n"
    )
    verdict = Differential(candidate.get("original"), candidate.get(version)).run(program)
    found = [(each.kind, each.signature) for each in verdict.findings]
    assert found == [(kind, "dcache: stage2_map_walker: block->page after a permission fault, not cleaned L3")]
