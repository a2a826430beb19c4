# SPDX-License-Identifier: GPL-2.0-only
"""Trials of mutants: each runs in a process of its own until something kills the mutant."""

import pytest

import candidate
from fuzz.language.text import parse
from fuzz.mutation import trial
from fuzz.mutation.programs import MutantPrograms

from .small_mutants import PROGRAM, mutant

UNMAP = "Pgtable.stage2_unmap_walker"
PUT = "self.k.put_page(self.k.virt_to_page(ptep))"


@pytest.fixture
def programs() -> MutantPrograms:
    """Make a corpus of two programs, of which only the second one unmaps."""
    made = MutantPrograms(candidate.get("original"), 1)
    made.waiting.clear()
    made.add("reads", parse("s2fuzz 1\nvm\nslot a size=2M backing=anon\ncpu0 read a+0\n"))
    made.add("unmaps", PROGRAM)
    made.corpus = 2
    return made


def test_first_program_that_distinguishes_is_named(programs: MutantPrograms) -> None:
    found = trial.MutantJudge(programs, 1).attempt(mutant(UNMAP, PUT, "pass"))
    assert found.killed.startswith("regression ")
    assert (found.by, found.programs, found.equal) == ("unmaps", 2, False)


def test_change_without_other_events_lives(programs: MutantPrograms) -> None:
    found = trial.MutantJudge(programs, 10).attempt(mutant(UNMAP, "childp = NULL", "childp = -1"))
    assert (found.killed, found.silent, found.equal) == ("", "", True)
    # Random programs follow the corpus.
    assert found.operations >= 10
    assert found.programs > 2


def test_python_that_c_would_refuse_is_killed(programs: MutantPrograms) -> None:
    found = trial.MutantJudge(programs, 1).attempt(mutant(UNMAP, PUT, "self.k.put_page(nobody)"))
    assert found.killed.startswith("mistake: ")


def test_worker_survives_its_mutants(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trial, "PATIENCE", 0.5)
    endless = mutant(UNMAP, "need_flush = True", "while True:\n            pass")
    wrong = mutant(UNMAP, PUT, "pass")
    found = {each.key: each for each in trial.attempts([endless, wrong], 1, 1, 1)}
    assert found[endless.key].killed == trial.HANGS
    assert found[wrong.key].killed.startswith("regression ")


def test_more_work_for_nothing_kills_at_the_end(programs: MutantPrograms) -> None:
    """Clean memory that is already clean: this is no mistake, and each program reports the extra work."""
    gone = "self.k.get_page(page)\n    data.phys"
    come = "self.k.get_page(page)\n    self.k.__flush_dcache_area__(self.k.__va__(phys), granule)\n    data.phys"
    found = trial.MutantJudge(programs, 10).attempt(mutant("Pgtable.stage2_map_walker_try_leaf", gone, come))
    assert found.killed.startswith(trial.COST + "bytes_cleaned ")
    assert (found.by, found.silent, found.operations >= 10) == ("reads", "", True)
