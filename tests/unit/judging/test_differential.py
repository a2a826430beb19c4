# SPDX-License-Identifier: GPL-2.0-only
"""Classes of findings, matching and consequences: the meaning of two lists of violations together."""

import pytest

import candidate
from candidate import Candidate
from fuzz.checkers import Violation
from fuzz.judging.differential import CURED, DIVERGENCE, REGRESSION, Differential, Finding
from fuzz.judging.known import known_bugs
from fuzz.judging.matching import cause_of
from fuzz.judging.verdict import Judge
from fuzz.judging.versions_with_bug import known_bug
from fuzz.language.text import parse
from fuzz.reports.sidebyside import record
from fuzz.sides.outcome import Outcome
from reference.kvm import kvm_memory_slot, kvm_vcpu
from reference.machine.granule import Granule
from reference.mmu import Mmu
from reference.pgtable import Pgtable

ORIGINAL = candidate.get("original")
JUDGE = Judge(ORIGINAL, ORIGINAL, Granule(12))
KNOWN = "lifetime: stage2_unmap_walker: freed before the flush"


def violation(what: str, at: int, *places: int, checker: str = "translation", taints: bool = True) -> Violation:
    found = Violation(checker, "f", what, 3, f"{what} at {at}", frozenset(places), taints)
    found.at = at
    return found


def judge(
    reference: list[Violation], patched: list[Violation], difference: Finding | None = None
) -> list[tuple[str, str]]:
    verdict = JUDGE.judge(reference, patched, [difference] if difference else [])
    return [(finding.kind, finding.signature.split(": ")[2].removesuffix(" L3")) for finding in verdict.findings]


def test_only_the_candidate() -> None:
    assert judge([], [violation("x", 1, 5)]) == [("regression", "x")]


def test_a_violation_that_follows_from_another_does_not_count() -> None:
    first, other = violation("held", 1, taints=False), violation("sleeping", 1, taints=False)
    other.follows = first
    verdict = JUDGE.judge([], [first, other], [])
    assert [each.signature for each in verdict.findings] == [first.signature]
    assert verdict.consequences == [("candidate", other)]


def test_only_the_original() -> None:
    assert judge([violation("x", 1, 5)], []) == [("cured", "x")]


def test_both_match_by_checker_pages_and_point_not_by_function() -> None:
    other = violation("y", 1, 5)
    other.function = "elsewhere"
    assert judge([violation("x", 1, 5)], [other]) == [("common", "y")]


def test_another_checker_point_or_page_does_not_match() -> None:
    ours = violation("x", 1, 5)
    assert ("regression", "x") in judge([ours], [violation("x", 1, 5, checker="tlb")])
    assert ("regression", "x") in judge([ours], [violation("x", 2, 5)])
    assert ("regression", "x") in judge([ours], [violation("x", 1, 5, 6)])


def test_fewer_pages_than_the_original_is_common() -> None:
    kinds = judge([violation("x", 1, 5, 6)], [violation("x", 1, 5)])
    assert kinds[0] == ("common", "x")
    assert REGRESSION not in [kind for kind, _ in kinds]


def test_later_violations_are_consequences_of_the_first() -> None:
    verdict = JUDGE.judge([], [violation("x", 1), violation("y", 2)], [])
    assert [finding.signature for finding in verdict.findings] == ["translation: f: x L3"]
    assert [(side, consequence.what) for side, consequence in verdict.consequences] == [("candidate", "y")]


def test_a_harmless_violation_hides_no_later_one() -> None:
    first = violation("warning", 1, checker="contract", taints=False)
    assert judge([], [first, violation("y", 2)]) == [("regression", "warning"), ("regression", "y")]


def test_a_common_violation_hides_none_of_one_side() -> None:
    both = [violation("x", 1, 5)]
    assert judge([*both, violation("z", 2, 7)], [*both, violation("z", 2, 7)]) == [("common", "x")]
    assert judge(both, [*both, violation("y", 2)]) == [("common", "x"), ("regression", "y")]
    assert judge([*both, violation("y", 2)], both) == [("common", "x"), ("cured", "y")]


def test_an_uncleaned_page_is_reported_once() -> None:
    first = violation("c", 1, 5, 6, checker="dcache", taints=False)
    again = violation("d", 2, 5, checker="dcache", taints=False)
    other = violation("e", 3, 5, 7, checker="dcache", taints=False)
    assert judge([], [first, again, other]) == [("regression", "c"), ("regression", "e")]


def test_a_consequence_on_the_other_side_still_matches() -> None:
    assert judge([violation("a", 1, 1), violation("x", 2, 5)], [violation("x", 2, 5)])[0] == ("common", "x")


def test_a_candidate_with_an_earlier_violation_cures_nothing() -> None:
    assert (CURED, "x") not in judge([violation("x", 2, 5)], [violation("y", 1)])


def explained(what: str, at: int, *places: int, taints: bool = True) -> Violation:
    """Make a violation that the first known bug, a bug of the original, explains."""
    found = violation(what, at, *places, taints=taints)
    found.known = (0,)
    return found


def grave(what: str, at: int, *places: int, after: tuple[Violation, ...] = ()) -> Violation:
    found = violation(what, at, *places, checker="isolation")
    found.grave = True
    found.after = after
    return found


def after(first: Violation, *places: int, taints: bool = True) -> Violation:
    """Make a violation on pages of *first*, or on none, while *first* still stands."""
    found = violation("y", 2, *places, taints=taints)
    found.after = (first,)
    return found


def test_a_known_bug_is_common_only_where_its_condition_held() -> None:
    assert judge([], [explained("x", 1, 5)]) == [("common", "x")]
    assert judge([], [violation("x", 1, 5)]) == [("regression", "x")]


def test_an_earlier_violation_of_the_original_excuses_nothing() -> None:
    assert judge([violation("a", 1, 1)], [violation("x", 2, 5)]) == [("regression", "x"), ("cured", "a")]


def test_a_difference_of_maps_excuses_nothing() -> None:
    difference = Finding(DIVERGENCE, "d: d: map", "", 1)
    assert judge([], [violation("x", 2, 5)], difference)[0] == ("regression", "x")


def test_an_explained_violation_hides_only_its_consequences_while_it_stands() -> None:
    first = explained("x", 1, 0x5000)
    assert judge([], [first, after(first, 0x5000)]) == [("common", "x")]
    assert judge([], [first, violation("y", 2, 0x5000)]) == [("common", "x"), ("regression", "y")]


def test_a_signature_counts_again_where_nothing_excuses_it() -> None:
    first, again = explained("x", 1, 0x5000), violation("x", 2, 0x9000)
    assert judge([], [first, again]) == [("common", "x"), ("regression", "x")]
    both = violation("x", 1, 0x5000)
    assert judge([both], [both, again]) == [("common", "x"), ("regression", "x")]


def test_matching_violations_must_break_the_same_clause() -> None:
    leaf, table = (violation(what, 1, 5, checker="tlb") for what in ("leaf not flushed", "table not flushed"))
    assert ("regression", "leaf not flushed") in judge([table], [leaf])
    one = violation("WARN", 1, checker="contract", taints=False)
    other = violation("WARN", 1, checker="contract", taints=False)
    other.function = "g"
    assert ("regression", "WARN") in judge([one], [other])


def test_pages_written_since_a_violation_are_judged_again() -> None:
    first = violation("c", 1, 5, checker="dcache", taints=False)
    again = violation("d", 4, 5, checker="dcache", taints=False)
    again.version = 2
    assert judge([], [first, again]) == [("regression", "c")]
    again.version = 3
    assert judge([], [first, again]) == [("regression", "c"), ("regression", "d")]


def test_a_grave_violation_counts_after_a_tainting_one() -> None:
    found = judge([], [violation("x", 1, 5), violation("y", 2, 5), grave("g", 3, 5)])
    assert found == [("regression", "x"), ("regression", "g")]


def use_after_free(what: str, at: int, *places: int) -> Violation:
    """Make a violation that ruins the rest of the program."""
    found = grave(what, at, *places)
    found.ruins = True
    return found


def test_only_common_violations_count_after_a_use_after_free() -> None:
    both = violation("b", 5, 7)
    found = judge([both], [use_after_free("u", 3, 5), grave("g", 3, 5), use_after_free("w", 4, 6), both])
    assert found == [("regression", "u"), ("common", "b")]


def test_a_use_after_free_that_follows_from_another_violation_ruins_too() -> None:
    found = judge([], [violation("x", 1, 5), use_after_free("u", 3, 5), grave("g", 3, 5)])
    assert found == [("regression", "x"), ("regression", "u")]


def test_a_use_after_free_on_both_sides_hides_nothing() -> None:
    both = use_after_free("u", 3, 5)
    assert judge([both], [both, grave("g", 4, 6)]) == [("common", "u"), ("regression", "g")]


def test_a_use_after_free_that_a_known_bug_explains_hides_nothing() -> None:
    first = explained("x", 1, 0x5000)
    follows = use_after_free("u", 3, 0x5000)
    follows.after = (first,)
    found = judge([], [first, follows, grave("g", 4, 0x9000)])
    assert found == [("common", "x"), ("common", "u"), ("regression", "g")]


def test_a_grave_finding_names_what_came_before_it() -> None:
    found = JUDGE.judge([], [violation("x", 1, 5), grave("g", 3, 5)], []).findings
    assert [each.reason for each in found] == ["x at 1", "g at 3; before it, in the same program: translation: f: x L3"]
    both = violation("x", 1, 5)
    found = JUDGE.judge([both], [both, grave("g", 3, 5)], []).findings
    assert [each.reason for each in found] == ["x at 1", "g at 3"]


def test_a_grave_violation_of_both_sides_is_common() -> None:
    first = violation("x", 1, 5)
    assert judge([grave("g", 3, 5)], [first, grave("g", 3, 5)]) == [("regression", "x"), ("common", "g")]


def test_a_grave_violation_has_the_class_of_the_known_bug_that_caused_it() -> None:
    first = explained("x", 1, 0x5000)
    found = JUDGE.judge([], [first, grave("g", 3, 0x5000, after=(first,))], []).findings
    assert [(each.kind, each.known) for each in found] == [("common", "B05"), ("common", "B05")]
    assert found[1].reason == "g at 3; it follows from translation: f: x L3"
    elsewhere = judge([], [first, grave("g", 3, 0x6000, after=(first,))])
    assert elsewhere == [("common", "x"), ("regression", "g")]
    assert judge([], [first, grave("g", 3, 0x5000)]) == [("common", "x"), ("regression", "g")]
    also_wrong = judge([], [violation("y", 1, 0x5000), explained("x", 1, 0x5000), grave("g", 3, 0x5000)])
    assert also_wrong == [("regression", "y"), ("regression", "g")]


def test_a_grave_violation_may_follow_from_one_of_the_same_table() -> None:
    first = explained("x", 1)
    first.table = 7
    second = grave("g", 3, after=(first,))
    second.table = 7
    assert judge([], [first, second]) == [("common", "x"), ("common", "g")]
    second.table = 8
    assert judge([], [first, second]) == [("common", "x"), ("regression", "g")]


def test_an_unexplained_difference_is_a_divergence() -> None:
    difference = Finding(DIVERGENCE, "d: d: map", "", 1)
    assert judge([], [], difference) == [("divergence", "map")]
    assert judge([], [violation("x", 2)], difference)[-1] == ("divergence", "map")
    assert judge([], [violation("x", 1)], difference) == [("regression", "x")]
    both = [violation("x", 1)]
    assert judge(both, both, difference) == [("common", "x"), ("divergence", "map")]
    warning = violation("w", 1, checker="contract", taints=False)
    assert judge([], [warning], difference) == [("regression", "w"), ("divergence", "map")]
    uncleaned = violation("c", 1, checker="dcache", taints=False)
    assert judge([], [uncleaned], difference) == [("regression", "c"), ("divergence", "map")]
    loaded = Finding(DIVERGENCE, "result: cpu access", "", 1)
    verdict = JUDGE.judge([], [uncleaned], [loaded])
    assert [finding.kind for finding in verdict.findings] == ["regression"]


def test_unpredictable_values_are_not_compared() -> None:
    assert not Outcome("ok", 1).same_as(Outcome("ok", 2))
    assert Outcome("ok", 1, predictable=False).same_as(Outcome("ok", 2))
    assert not Outcome("ok", 1, predictable=False).same_as(Outcome("io", 1))
    assert Outcome("ok", 1, faults=1).same_as(Outcome("ok", 1, faults=3))


def test_known_bugs_have_a_reason_and_a_pattern() -> None:
    found = known_bug(KNOWN)
    assert found is not None
    assert found.id == "B21"
    assert known_bug("translation: f: x") is None
    for bug in known_bugs():
        assert bug.reason.endswith(".")
        assert bug.pattern.count(": ") == 2


@pytest.mark.parametrize(
    ("words", "text"),
    [
        ([], "no dirty page"),
        ([0, 0], "no dirty page"),
        ([1 << 17], "dirty page 17"),
        ([0xF], "dirty pages 0-3"),
        ([0x2000F, 0], "dirty pages 0-3, 17"),
        ([1 << 63, 1], "dirty pages 63-64"),
        ([(1 << 64) - 1, (1 << 64) - 1], "dirty pages 0-127"),
        ([0, 5], "dirty pages 64, 66"),
    ],
)
def test_a_dirty_log_reads_as_pages(words: list[int], text: str) -> None:
    assert str(Outcome("ok", words)) == f"ok {text}"


class MarksMore(Mmu):
    """Marks the slot's last page, too."""

    def user_mem_abort(
        self, vcpu: kvm_vcpu, fault_ipa: int, memslot: kvm_memory_slot, hva: int, fault_status: int
    ) -> int:
        ret = super().user_mem_abort(vcpu, fault_ipa, memslot, hva, fault_status)
        self.h.mark_page_dirty(vcpu.kvm, memslot.base_gfn + memslot.npages - 1)
        return ret


def test_a_difference_of_dirty_logs_names_pages() -> None:
    text = "s2fuzz 1\nvm\nslot a size=2M backing=anon log=on\n" + "cpu0 write a+{}K\n" * 3 + "log a get\n"
    program = parse(text.format(8, 12, 64))
    patched = Candidate("marks-more", Pgtable, MarksMore, "")
    original = candidate.get("original")
    (finding,) = Differential(original, patched).run(program).findings
    assert finding.reason == "original: ok dirty pages 2-3, 16; marks-more: ok dirty pages 2-3, 16, 511"
    rows = [row for section in record(program, original, patched) for row in section.rows]
    assert "result: dirty pages 2-3, 16" in [row.left.text for row in rows if row.left]


@pytest.mark.parametrize(
    ("checker", "at", "follows"), [("translation", 2, True), ("translation", 3, False), ("lifetime", 2, False)]
)
def test_a_leaf_judged_after_an_access_of_the_same_operation_is_its_cause(checker: str, at: int, follows: bool) -> None:
    access = Violation("isolation", "f", "read", 3, "r", frozenset([4096]), grave=True)
    leaf = Violation(checker, "f", "wrong frame", 3, "r", frozenset([4096]))
    access.at, leaf.at = 2, at
    assert cause_of(access, [access, leaf], lambda each: each is leaf, Granule(12)) is (leaf if follows else None)
    assert cause_of(access, [access, leaf], lambda _: False, Granule(12)) is None


@pytest.mark.parametrize("known", [False, True])
def test_accesses_of_one_operation_share_a_cause(known: bool) -> None:
    """Check that each access is compared with each earlier one only once, because there may be many."""
    granule = Granule(12)
    cause = Violation("lifetime", "f", "freed", 1, "r", table=2)
    # The access that walked through the table; later accesses use the TLB, which names no table.
    walked = Violation("isolation", "f", "read", 2, "r", frozenset([4096]), grave=True, table=2)
    later = [Violation("isolation", "f", "read", 2, "r", frozenset([4096]), grave=True) for _ in range(200)]
    looked: list[Violation] = []

    def excused(violation: Violation) -> bool:
        looked.append(violation)
        return known

    found = [cause_of(each, [cause, walked, *later], excused, granule) for each in later]
    assert found == [cause if known else None] * 200
    assert len(looked) <= 2 * 200
