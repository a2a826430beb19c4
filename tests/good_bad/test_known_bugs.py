# SPDX-License-Identifier: GPL-2.0-only
"""Known bugs explain the violations that they cause, and no similar ones."""

from dataclasses import replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Final

import pytest

import candidate
from candidate import Candidate
from fuzz.checkers import Violation
from fuzz.judging.differential import Differential, Lockstep
from fuzz.judging.finding import COMMON, REGRESSION
from fuzz.judging.known import EARLIER, NOW, KnownBug, definitions, known_bugs, program_of
from fuzz.judging.predicates import OF_OPERATION, PREDICATES
from fuzz.judging.verdict import Verdict
from fuzz.judging.versions_with_bug import bug_run, has_bug
from fuzz.language.text import parse
from reference.kvm import kvm, kvm_memory_slot, kvm_vcpu
from reference.mmu import Mmu
from reference.pgtable import Pgtable, kvm_pgtable_walk_data

from ..measuring.planted_races import IN_PORTS, in_port
from .case import ORIGINAL, broken
from .near_miss_versions import NeverMaps
from .near_misses import ALL, KnownBugCase

each_entry = pytest.mark.parametrize("case", ALL, ids=[case.pattern.rstrip("*") for case in ALL])


def judged(version: Candidate, text: str, reference: Candidate = ORIGINAL) -> tuple[Verdict, list[Violation]]:
    """Return the verdict on a program, and the candidate's violations."""
    program = parse("s2fuzz 1\n" + text)
    run = Lockstep(Differential(reference, version), program)
    for at in range(len(program.operations)):
        run.step(at)
    return run.end(), run.found[1]


def entry_of(case: KnownBugCase) -> int:
    """Return the index of an entry in known.toml."""
    alike = [at for at, bug in enumerate(known_bugs()) if bug.pattern == case.pattern and bug.versions]
    # Two entries may have the same pattern and different conditions.
    return alike[[each for each in ALL if each.pattern == case.pattern].index(case)]


def test_every_entry_has_a_near_miss() -> None:
    """tests/tree/test_known_bugs.py has the near misses of bugs that only kernel trees have."""
    assert [case.pattern for case in ALL] == [bug.pattern for bug in known_bugs() if bug.versions]


@each_entry
def test_a_known_bug_explains_what_it_causes(case: KnownBugCase) -> None:
    verdict, found = judged(ORIGINAL, case.program)
    fit = [violation for violation in found if fnmatchcase(violation.signature, case.pattern)]
    assert fit
    assert all(entry_of(case) in violation.known for violation in fit)
    assert {finding.kind for finding in verdict.findings} == {COMMON}


@each_entry
def test_a_near_miss_is_a_regression(case: KnownBugCase) -> None:
    verdict, found = judged(case.version, case.near_miss_program)
    fit = [violation for violation in found if fnmatchcase(violation.signature, case.pattern)]
    assert fit
    assert all(entry_of(case) not in violation.known for violation in fit)
    assert REGRESSION in [finding.kind for finding in verdict.findings]
    kinds = {finding.kind for finding in verdict.findings if fnmatchcase(finding.signature, case.pattern)}
    assert kinds <= {REGRESSION}


@each_entry
def test_only_the_condition_distinguishes_a_near_miss(case: KnownBugCase) -> None:
    """The version does not change the entry's functions."""
    assert has_bug(case.version, known_bugs()[entry_of(case)])


@pytest.mark.parametrize("entry", known_bugs(), ids=lambda entry: entry.pattern)
def test_an_entry_is_well_formed(entry: KnownBug) -> None:
    assert set(entry.versions) <= set(candidate.names())
    assert entry.functions
    for name in entry.functions:
        # The functions of a bug that only kernel trees have exist only in C.
        assert name.isidentifier()
        assert not entry.versions or any(definitions(candidate.get(version), name) for version in entry.versions), name
    assert entry.condition
    for time, predicate in entry.condition:
        assert time in (NOW, EARLIER)
        assert predicate in PREDICATES
        assert time == NOW or predicate not in OF_OPERATION
    assert entry.reason.endswith(".")
    assert entry.pattern.count(": ") == 2


@pytest.mark.parametrize("bug", dict.fromkeys(bug.id for bug in known_bugs()))
def test_the_program_of_a_bug_shows_it_on_affected_versions(bug: str) -> None:
    """These programs determine whether a kernel tree has the bug."""
    versions = next(each.versions for each in known_bugs() if each.id == bug)
    assert program_of(bug).is_file()
    assert all(bug_run(candidate.get(name), bug).signature for name in versions)
    without = [name for name in candidate.names() if not any(name in e.versions for e in known_bugs() if e.id == bug)]
    assert not any(bug_run(candidate.get(name), bug).signature for name in without)


def test_accesses_through_a_freed_table_follow_from_the_free() -> None:
    """The poison in the table acts as a block, through which a guest reaches memory that nobody owns."""
    text = (
        "vm cpus=1 ttl=on\nslot a ipa=1G size=4M backing=thp\ncpu0 read a+2M\npar\n  host0 discard a+2M 4K\n"
        "  cpu0 write a+0\n  switch host0 to cpu0 after flush 1\nend\n"
    )
    verdict, _ = judged(ORIGINAL, text)
    assert any(each.signature.startswith("isolation: ") for each in verdict.findings)
    assert {each.known for each in verdict.findings} == {"B21"}


def test_a_wrong_leaf_stays_wrong_with_other_permissions() -> None:
    text = "vm cpus=1 fwb=on\nslot a size=2052K backing=anon\ncpu0 read a+2M\nhost discard a+4K 2M\n"
    verdict, found = judged(ORIGINAL, text + "cpu0 fetch a+2M\ncpu0 read a+2M\ncpu0 evict a+2M\ncpu0 read a+2M\n")
    assert max(each.at for each in found if each.checker == "isolation") == 5
    assert {each.known for each in verdict.findings} == {"B05"}


def test_a_range_that_begins_inside_an_entry_above_blocks() -> None:
    """B05: the range begins at a block, in a level 1 entry that maps nothing, and ends after other entries."""
    verdict, _ = judged(
        ORIGINAL,
        "vm cpus=1 ipa=45 fwb=on\nslot a ipa=1030M size=8G backing=thp offset=6M\n"
        "cpu0 write a+8188M\nslot a delete\ncpu0 read a+0\n",
    )
    assert {each.known for each in verdict.findings} == {"B05"}


def test_tables_detached_in_turn_at_the_same_entry() -> None:
    """A table detached later does not replace the facts known about the first one."""
    text = (
        "vm ttl=on\nslot a ipa=1G size=36K backing=anon\nhost share a+32K 4K\ncpu0 read a+32K\npar\n"
        "  cpu0 write a+32K\n  cpu1 read a+0\n  host0 discard a+0 36K\n  switch cpu0 to cpu1 after flush 2\nend\n"
    )
    verdict, _ = judged(ORIGINAL, text)
    assert any("hardware walk of a freed table" in each.signature for each in verdict.findings)
    assert {each.known for each in verdict.findings} == {"B21"}


def test_a_fault_that_maps_during_two_invalidations_is_not_explained(tmp_path: Path) -> None:
    """C1 explains only leaves that change_pte() maps."""
    no_retry = candidate.get(in_port(IN_PORTS["retry check removed"], tmp_path))
    text = (
        "vm cpus=1\nslot a size=8K backing=anon\ncpu0 read a+0\ncpu0 read a+4K\nhost discard a+0 4K\npar\n"
        "  cpu0 read a+0\n  host0 discard a+0 4K\n  host1 discard a+0 8K\n  switch cpu0 to host0 after lookup 1\n"
        "  switch host0 to host1 after unlock 1\n  switch host1 to cpu0 after unlock 1\nend\n"
    )
    verdict, found = judged(no_retry, text)
    assert any("wrong frame" in each.signature and not each.known for each in found)
    assert REGRESSION in [each.kind for each in verdict.findings]


def test_a_copy_during_an_invalidation_explains_no_later_frame() -> None:
    """C1 explains a wrong frame while the leaf of the copy remains, but no later wrong frame of the page."""

    class Deaf(Mmu):
        """Stops unmapping pages if the last fault was outside the `par` block."""

        def kvm_unmap_hva_range(self, kvm: kvm, start: int, end: int, blockable: bool) -> int:
            deaf = kvm.mmu.vmid == 1 and self.k.entry == "kvm_mmu_notifier_invalidate_range_start" and self.deaf
            return 0 if deaf else super().kvm_unmap_hva_range(kvm, start, end, blockable)

        def user_mem_abort(
            self, vcpu: kvm_vcpu, fault_ipa: int, memslot: kvm_memory_slot, hva: int, fault_status: int
        ) -> int:
            self.deaf = self.k.turns is None
            return super().user_mem_abort(vcpu, fault_ipa, memslot, hva, fault_status)

        deaf = False

    text = (
        "vm\nslot a size=2M backing=anon log=on\nhost share a+0 4K\ncpu0 read a+4K\npar\nhost0 discard a+0 4K\n"
        "cpu0 write a+0\nswitch host0 to cpu0 after start 1\nswitch cpu0 to host0 after fault 2\nend\n"
    )
    _, found = judged(broken(mmu=Deaf), text)
    wrong = [each for each in found if "wrong frame" in each.signature]
    assert wrong
    assert all(each.known for each in wrong)
    later = "slot a delete\nslot a create\ncpu0 read a+0\ncpu0 write a+0\nhost discard a+0 4K\n"
    _, found = judged(broken(mmu=Deaf), text + later)
    wrong = [each for each in found if "wrong frame" in each.signature and each.at > 3]
    assert wrong
    assert not any(each.known for each in wrong)


def test_the_condition_of_a_bug_concerns_one_actor() -> None:
    """R1 requires an access flag fault of the actor that marks the page, not of another actor in the `par` block."""
    text = (
        "vm\nslot a size=2M backing=anon\ncpu0 read a+0\nhost age a+0 4K flush=on\npar\ncpu0 {}\ncpu1 fetch a+8K\n"
        "switch cpu0 to cpu1 after fault 1\nend\n"
    )
    bug = next(bug for bug in known_bugs() if bug.id == "R1")
    wrong = replace(bug, condition=(*bug.condition, (NOW, "fetch")))
    for access, held in (("read a+0", False), ("fetch a+0", True)):
        lockstep = Lockstep(Differential(ORIGINAL, ORIGINAL), parse("s2fuzz 1\n" + text.format(access)))
        for at in range(3):
            lockstep.step(at)
        conditions = lockstep.conditions[1]
        marked = next(each for each in lockstep.found[1] if fnmatchcase(each.signature, bug.pattern))
        assert conditions.held(bug, marked)
        assert conditions.held(wrong, marked) == held
        fault = replace(bug, condition=(*bug.condition, (NOW, "translation fault")))
        assert not conditions.held(fault, marked)


def test_the_marked_page_is_the_one_that_the_handler_found() -> None:
    """R1, if the page has moved since the fault: another vCPU has mapped it again, and it is aged again."""
    text = (
        "vm\nslot a size=2M backing=anon\ncpu0 read a+0\nhost age a+0 4K flush=on\npar\ncpu0 read a+0\n"
        "host0 migrate a+0 4K\ncpu1 read a+0\nswitch cpu0 to host0 before lock 1\n"
        "switch host0 to cpu1 after end 1\nend\n"
    )
    verdict, found = judged(ORIGINAL, text)
    marked = [each for each in found if "marked accessed" in each.signature]
    assert marked
    assert all(each.known for each in marked)
    assert {each.known for each in verdict.findings} == {"R1"}


def test_a_remaining_leaf_is_the_same_with_another_access_flag() -> None:
    """B05 leaves the leaf mapped, and the vCPU makes it young before the pages change."""
    text = (
        "vm cpus=1\nslot a ipa=1050620K size=2044K backing=anon\ncpu0 read a+1M\nhost age a+1M 4K\npar\n"
        "  host0 discard a+0 2044K\n  cpu0 read a+1M\n  switch host0 to cpu0 after unlock 1\nend\n"
    )
    verdict, found = judged(ORIGINAL, text)
    assert any("still mapped after invalidation" in each.signature for each in found)
    assert {each.known for each in verdict.findings} == {"B05", "R1"}


def test_a_version_that_replaces_the_functions_does_not_have_the_bug() -> None:
    class Other(Pgtable):
        def __kvm_pgtable_visit__(self, data: kvm_pgtable_walk_data, ptep: int, level: int) -> int:
            return super().__kvm_pgtable_visit__(data, ptep, level)

    class Part(Mmu):
        def _abort_in_slot(self, vcpu: kvm_vcpu, fault_ipa: int, is_iabt: bool, fault_status: int) -> int:
            return super()._abort_in_slot(vcpu, fault_ipa, is_iabt, fault_status)

    bugs = {bug.id: bug for bug in known_bugs()}
    assert has_bug(ORIGINAL, bugs["B05"])
    assert has_bug(broken(NeverMaps), bugs["B05"])
    assert not has_bug(broken(Other), bugs["B05"])
    assert not has_bug(candidate.get("v5.12.9"), bugs["B05"])
    assert has_bug(broken(Other), bugs["S1"])
    assert not has_bug(broken(mmu=Part), bugs["S1"])


class SticksOut(Mmu):
    """Maps a block even if the slot contains only a part of it."""

    def fault_supports_stage2_huge_mapping(self, memslot: kvm_memory_slot, hva: int, map_size: int) -> bool:
        return True


MERGED: Final = """\
s2fuzz 1
vm cpus=1
slot a ipa=1G size=4K backing=anon
slot b ipa=1048580K size=4K backing=anon
slot c ipa=4G size=1M backing=thp
cpu0 read a+0
{}par
user0 slot a delete
host0 merge a+0
switch user0 to host0 after unlock 1
end
{}slot c move 1G
cpu0 write c+0
"""


@pytest.mark.parametrize(
    ("before", "between"),
    [("cpu0 read b+0\n", "slot a create\nslot a delete\nslot b delete\n"), ("slot b delete\n", "")],
)
def test_c2_explains_its_leaf_while_it_remains(before: str, between: str) -> None:
    """A later block at the same place that extends beyond its slot is another bug."""
    sticks = Candidate("sticks-out", Pgtable, SticksOut, "blocks stick out")
    found = Differential(candidate.get("original"), sticks).run(parse(MERGED.format(before, between)))
    assert "regression translation: stage2_map_walker: leaf outside of any slot L2" in found.titles()


@pytest.mark.parametrize("places", [("before lock 1", "after lock 1"), ("after unlock 1", "before lock 2")])
def test_a_slot_created_again_before_its_pages_are_aged(places: tuple[str, str]) -> None:
    """A1 depends on the slots that the handler finds, not on the slots at the start of the host's operation."""
    verdict, _ = judged(
        ORIGINAL,
        "vm cpus=1 fwb=on\nslot a size=8K backing=thp\npar\nuser0 slot a delete\nuser0 slot a create\n"
        f"host0 age a+0 8K\nswitch user0 to host0 {places[0]}\nswitch host0 to user0 {places[1]}\nend\n",
    )
    assert [(each.signature, each.known) for each in verdict.findings] == [
        ("contract: kvm_age_hva_handler: WARN", "A1")
    ]


def test_tlb_entries_from_a_freed_table_follow_from_the_same_bug() -> None:
    """A walk reads a table that B21 freed too early. A second access then hits the resulting TLB entry."""
    text = (
        "s2fuzz 1\nvm ttl=on\nslot a ipa=1G size=2M backing=thp\npar\n  cpu0 read a+0\n  host0 merge a+0\n"
        "  host1 discard a+0 4K\n  cpu1 write a+0\n  cpu1 write a+0\n  switch host0 to host1 after flush 1\nend\n"
    )
    found = Differential(ORIGINAL, ORIGINAL).run(parse(text)).findings
    through = [each for each in found if "through the TLB" in each.signature]
    assert [each.known for each in through] == ["B21"]
    assert {each.known for each in found} == {"B21"}
