# SPDX-License-Identifier: GPL-2.0-only
"""The score of many trials of mutants."""

import json
from pathlib import Path

import pytest

from fuzz.mutation import equivalents, score
from fuzz.mutation.trials_file import MutantTrialsError, open_trials

from .small_mutants import mutant
from .trials import trial

KILLED = trial("a", "regression tlb: x", "b05-slot-move")
LATE = trial("b", "divergence map", "random 7")
SAME = trial("c")
SILENT = trial("d", silent="s2fuzz 1\n")
# Declared equivalent, but with other events.
HARMLESS = trial("h", silent="s2fuzz 1\n")


@pytest.fixture(autouse=True)
def _declared(monkeypatch: pytest.MonkeyPatch) -> None:
    reasons = dict.fromkeys([equivalents.name_of(each) for each in (SAME, SILENT, HARMLESS)], "no reader")
    other = frozenset([equivalents.name_of(HARMLESS)])
    for module in (score, equivalents):
        monkeypatch.setattr(module, "declared", lambda: reasons)
        monkeypatch.setattr(module, "harmless", lambda: other)


def test_equivalent_mutants_are_declared_and_have_the_same_events() -> None:
    found = score.score([KILLED, LATE, SAME, SILENT, trial("e")])
    assert (found.mutants, found.killed, found.by_corpus, found.equivalents) == (5, 2, 1, 1)
    # A mutant that is declared equivalent, but has other events, counts as alive.
    assert [each.key for each in found.alive] == ["d", "e"]
    assert found.contradicted == 1
    assert found.share == 0.5
    assert score.score([SAME]).share is None


def test_mutants_killed_by_cost_are_counted_separately() -> None:
    dear = trial("x", "cost: flushes_vmid 2, not 1", "random 3")
    found = score.score([KILLED, dear])
    assert (found.killed, found.by_cost, found.share) == (2, 1, 1.0)
    section = score.page([KILLED, dear]).split("## By cost alone")[1].split("## Alive")[0]
    assert "| Mmu.f | `x => pass` | flushes_vmid 2, not 1 |" in section
    assert "`a => pass`" not in section


def test_harmless_mutant_counts_as_equivalent_and_is_listed_separately() -> None:
    found = score.score([KILLED, SAME, HARMLESS])
    assert (found.equivalents, found.contradicted, found.alive) == (2, 0, ())
    equal, harmless = score.page([KILLED, SAME, HARMLESS]).split("## Equivalent")[1].split("## Harmless")
    assert ("`c => pass`" in equal, "`h => pass`" in equal) == (True, False)
    assert ("`c => pass`" in harmless, "`h => pass`" in harmless) == (False, True)
    assert "on at least 100 operations" in equal
    # A finding contradicts the declaration.
    assert score.score([trial("h", "regression tlb: x")]).contradicted == 1


def test_page_and_text_name_mutants_that_are_alive() -> None:
    trials = [KILLED, SAME, SILENT]
    page = score.page(trials)
    assert "| LeaveOut | 3 | 1 | 1 |" in page
    assert "| Mmu.f | LeaveOut | `d => pass` | other events, no finding |" in page
    assert "| Mmu.f | `c => pass` | no reader |" in page
    assert "alive: Mmu.f (LeaveOut): d => pass" in score.text(score.score(trials))
    assert "\nNone.\n" in score.page([KILLED])


def test_kept_trials_are_continued(tmp_path: Path) -> None:
    path = str(tmp_path / "trials.jsonl")
    one = mutant("Mmu.stage2_apply_range", "addr = next", "pass")
    other = mutant("Mmu.stage2_wp_range", "self.stage2_apply_range_resched", "self.stage2_apply_range")
    kept = open_trials(path)
    assert kept.remaining([one, other], 100) == [one, other]
    kept.add(trial(one.key, operations=50))
    kept.add(trial(other.key, "regression tlb: x", operations=1))
    again = open_trials(path)
    assert again.remaining([one, other], 50) == []
    assert again.remaining([one, other], 100) == [one]
    again.add(trial(one.key, operations=100))
    assert open_trials(path).remaining([one, other], 100) == []
    assert [each.operations for each in open_trials(path).of([other, one])] == [1, 100]


def test_file_without_trials_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "trials.jsonl"
    path.write_text(json.dumps({"key": "a"}) + "\n")
    with pytest.raises(MutantTrialsError, match="line 1 is not a trial"):
        open_trials(str(path))


def test_every_declared_equivalent_is_a_mutant_with_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("cosmic_ray", reason="cosmic-ray is not installed")
    from fuzz.mutation.mutants import mutants

    monkeypatch.undo()
    entries = equivalents.declared()
    names = [(each.function.title, each.operator, each.change, each.key) for each in mutants()]
    there = {*names, *((*name[:3], "") for name in names)}
    assert [each for each in entries if each not in there] == []
    assert all(len(reason.split()) > 3 for reason in entries.values())
