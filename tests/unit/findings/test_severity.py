# SPDX-License-Identifier: GPL-2.0-only
"""The order of findings: every checker has its place, isolation and lifetime come first."""

from pathlib import Path

import pytest

from fuzz.checkers.registry import rule_of, rules
from fuzz.checkers.rule import Rule
from fuzz.findings.found import CRASH, comments_of
from fuzz.findings.record import FindingRecord, file_text, in_order, record_of
from fuzz.findings.severity import MEANINGS, RULES, Severity, severity, weight
from fuzz.judging.finding import Finding
from fuzz.language.text import parse

PROGRAM = parse("s2fuzz 1\nvm\nslot a size=4K backing=anon\ncpu0 read a+0\n")


def found(kind: str, signature: str) -> FindingRecord:
    return record_of(Finding(kind, signature, "", 0), PROGRAM, 1, 1)


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: rule.name)
def test_the_severity_of_a_rule_applies_to_its_signatures(rule: Rule) -> None:
    assert weight(f"{rule.name}: f: what nobody has thought of L3") == (rule.severity, rule.rank)


def test_a_rule_has_reasons_for_finer_patterns() -> None:
    """Check that a page missing from the log has another reason than a page that the host has taken back."""
    stays = "translation: f: still mapped after invalidation L3"
    translation = rule_of(stays)
    log = rule_of("dirty-log: f: not in the log")
    assert translation is not None
    assert log is not None
    assert translation.reason(stays) == translation.why
    assert translation.reason("translation: f: writable and not in the dirty log L3") == log.why != translation.why


@pytest.mark.parametrize(
    ("signature", "speaks_of", "other"),
    [
        (
            "tlb: stage2_attr_walker: leaf not flushed L3",
            "rights that the leaf has lost",
            "tlb: f: leaf not flushed L3",
        ),
        (
            "translation: f: illegal field L3",
            "the leaf means something else to the CPU",
            "translation: f: still mapped after invalidation L3",
        ),
        ("progress: f: too many steps", "only after far too much work", "progress: f: access does not complete"),
    ],
)
def test_a_reason_is_true_of_its_finding(signature: str, speaks_of: str, other: str) -> None:
    rule = rule_of(signature)
    assert rule is not None
    assert speaks_of in rule.reason(signature)
    assert speaks_of not in rule.reason(other) == rule.why


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: rule.name)
def test_reasons_belong_to_graded_patterns(rule: Rule) -> None:
    assert {pattern for pattern, _ in rule.reasons} <= {pattern for pattern, _, _ in rule.finer}


def test_no_two_patterns_have_the_same_weight() -> None:
    grades = [(level, rank) for _, level, rank in RULES]
    assert len(grades) == len(set(grades))


def test_every_level_is_used_and_explained() -> None:
    assert {level for _, level, _ in RULES} == set(Severity) == set(MEANINGS)


@pytest.mark.parametrize(
    ("signature", "level"),
    [
        ("isolation: f: access to a frame not owned, through the TLB L3", Severity.ISOLATION),
        ("translation: stage2_unmap_walker: still mapped after invalidation L3", Severity.ISOLATION),
        ("translation: f: writable and not in the dirty log L3", Severity.CORRUPTION),
        ("translation: f: change outside the range L2", Severity.CORRUPTION),
        ("lifetime: stage2_unmap_walker: freed before the flush", Severity.LIFETIME),
        ("refcount: f: too few references L2", Severity.LIFETIME),
        ("refcount: f: too many references L2", Severity.ACCOUNTING),
        ("dcache: f: table->block after a translation fault, not cleaned L2", Severity.CORRUPTION),
        ("dcache: f: device frame cleaned", Severity.CONTRACT),
        ("page-reference: f: marked accessed, not held after an access flag fault", Severity.LIFETIME),
        ("page-reference: f: frame still pinned after a translation fault", Severity.ACCOUNTING),
        ("page-reference: f: mapped, not marked accessed L3", Severity.CONTRACT),
        ("fault-order: f: mapped without mmu_notifier_retry() after a translation fault", Severity.LIFETIME),
        ("fault-order: f: marked dirty before it was mapped writable", Severity.CORRUPTION),
        ("dirty-log: f: write-protected before the log was installed L3", Severity.CORRUPTION),
        ("locking: f: root unlinked without mmu_lock", Severity.LIFETIME),
        ("lifetime: f: destroyed while the root is linked", Severity.LIFETIME),
        ("hyp: f: freed while in use L3", Severity.LIFETIME),
        ("hyp: f: wrong write permission L3", Severity.ISOLATION),
        ("contract: f: oops KeyError in g", Severity.HANG),
        ("contract: f: WARN", Severity.CONTRACT),
        ("tlb: stage2_unmap_walker: leaf not flushed L3", Severity.ISOLATION),
        ("tlb: stage2_unmap_walker: table not flushed L2", Severity.LIFETIME),
        ("tlb: stage2_attr_walker: leaf not flushed L3", Severity.STALE),
        ("tlb: stage2_unmap_walker: leaf flushed after mmu_lock was dropped L3", Severity.STALE),
        ("tlb: stage2_map_walker: table flushed after mmu_lock was dropped L2", Severity.STALE),
        ("tlb: stage2_map_walker: two sizes for one address, the other L3 L2", Severity.STALE),
        ("lifetime: f: store to a table before the flush that covers it L3", Severity.LIFETIME),
        ("dcache: f: unmapped, cleaned before the flush L3", Severity.CORRUPTION),
        ("locking: f: entry written without mmu_lock L3", Severity.LIFETIME),
        ("locking: gfn_to_pfn_prot: slots used outside of srcu", Severity.LIFETIME),
        ("locking: f: lock still held", Severity.HANG),
        ("hyp: f: not mapped", Severity.HANG),
        ("map", Severity.DIFFERENCE),
        ("result: cpu access", Severity.DIFFERENCE),
    ],
)
def test_levels(signature: str, level: Severity) -> None:
    assert severity(signature) == level


def test_class_comes_first_then_severity_then_signature() -> None:
    wanted = [
        found("regression", "isolation: f: a L3"),
        found("regression", "lifetime: f: a"),
        found("regression", "icache: f: a L2"),
        found("regression", "icache: f: a L3"),
        found("regression", "progress: f: a"),
        found("regression", "tlb: f: stale leaf L3"),
        found("regression", "leak: f: a"),
        found("regression", "ageing: f: a"),
        found("divergence", "map"),
        found("common", "isolation: f: a L3"),
        found("cured", "isolation: f: a L3"),
        found(CRASH, "KeyError in f"),
    ]
    assert in_order(wanted[::-1]) == wanted


def test_a_file_states_its_severity(tmp_path: Path) -> None:
    text = file_text(found("regression", "leak: f: a"), "original", "rfc-v1", tmp_path / "x.s2")
    assert comments_of(text)["severity"] == f"accounting, {MEANINGS[Severity.ACCOUNTING]}"
    assert "severity" not in comments_of(file_text(found(CRASH, "x"), "original", "rfc-v1", tmp_path / "x.s2"))


def test_comments_are_read() -> None:
    text = "# kind: common\n# reason: a: b # c\n#no colon\n\n# at: too late\n"
    assert comments_of(text) == {"kind": "common", "reason": "a: b # c"}
