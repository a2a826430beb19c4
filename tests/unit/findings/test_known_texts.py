# SPDX-License-Identifier: GPL-2.0-only
"""The text of a finding on known bugs: of the version that has them, and where that version is gone."""

import pytest

from fuzz.findings.found import known_text
from fuzz.judging.differential import Finding
from fuzz.judging.known import known_bugs


def test_known_bug_is_explained_only_where_the_reference_has_it() -> None:
    bug = known_bugs()[0]
    signature = bug.pattern.replace("*", "")
    assert known_text(Finding("common", signature, ""), "original").startswith(
        f"known bug {bug.id} of the original: {bug.reason}"
    )
    assert known_text(Finding("regression", signature, ""), "original") == (
        f"different from known bug {bug.id}, which has the same signature: the original does not show this"
    )
    assert known_text(Finding("regression", signature, ""), "v5.12.9") == ""
    memory = "memcache: stage2_map_walker: allocation without a top-up after a permission fault L3"
    assert "different from known bugs M1, M2 and M3, which have the same signature: the original" in known_text(
        Finding("regression", memory, ""), "original"
    )
    assert known_text(Finding("cured", signature, ""), "v5.12.9") == ""
    hints = "lifetime: stage2_unmap_walker: freed before the flush"
    said = known_text(Finding("regression", hints, ""), "v5.12.9")
    assert "known bug B21, which has the same signature: v5.12.9 does not show this" in said
    assert known_text(Finding("common", "dcache: nowhere: nothing", ""), "original") == ""


@pytest.mark.parametrize("reference", ["tree:/nowhere", "tree:/nowhere@v6.12", "nothing", "./nowhere.py"])
def test_findings_of_a_missing_version_can_be_read(reference: str) -> None:
    signature = "page-reference: kvm_handle_guest_abort: marked accessed, not held after an access flag fault"
    assert known_text(Finding("regression", signature, ""), reference) == ""
    said = known_text(Finding("common", signature, ""), reference)
    assert said.startswith(f"cannot tell whether it is a known bug of {reference}: ")
    assert "allowed" not in said


def test_the_reason_names_the_known_bug_that_explains_a_finding() -> None:
    signature = known_bugs()[0].pattern.replace("*", "")
    assert (
        known_text(Finding("common", signature, "a reason; the condition of known bug B05 did not hold"), "original")
        == ""
    )
    follows = f"a reason; it follows from {signature}"
    assert known_text(Finding("common", "isolation: f: x", follows), "original").startswith(
        "known bug B05 of the original: "
    )
