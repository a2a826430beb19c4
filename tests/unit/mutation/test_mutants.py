# SPDX-License-Identifier: GPL-2.0-only
"""Mutants: small changes of one function each, and candidates that can run."""

from pathlib import Path

import pytest

import candidate
from candidate.registry.files import load
from fuzz.judging.differential import REGRESSION, Differential
from fuzz.mutation.functions import CLASSES, functions
from fuzz.mutation.mutants import Mutant, candidate_text, ordered
from fuzz.mutation.operators import changes, left_out
from fuzz.mutation.programs import MACHINES, on_machine
from fuzz.mutation.scaffolding import METHODS, UNCALLED
from fuzz.mutation.streams import record, same_events
from reference.capabilities import NO_VHE
from reference.tlb import AnyTlb

from .small_mutants import PROGRAM, mutant

FUNCTION = """\
def f(self, a):
    b = 1
    b = self.g(a)
    if a and b:
        self.h(a & b)
        return -1
    return b"""


def test_functions_are_functions_of_the_c_files() -> None:
    found = {each.title: each.text for each in functions()}
    for owner in CLASSES:
        methods = {name for name, value in vars(owner).items() if callable(value) and not name.startswith("__new")}
        titles = {f"{owner.__name__}.{name}" for name in methods - METHODS}
        assert {title for title in found if title.startswith(owner.__name__)} <= titles
    text = found["Mmu.kvm_age_hva_handler"]
    assert "assert" not in text
    assert "int:" not in text
    assert '"""' not in found["Mmu.__unmap_stage2_range__"]


def test_functions_that_nothing_calls_are_not_mutated() -> None:
    texts = [each.text for each in functions()]
    assert {name for name in UNCALLED if hasattr(AnyTlb, name)} == UNCALLED
    assert not any(name in text for name in UNCALLED for text in texts)


def test_our_own_bookkeeping_is_not_mutated() -> None:
    pytest.importorskip("cosmic_ray", reason="cosmic-ray is not installed")
    found = {each.title: each.text for each in functions()}
    # There is only one way to load an entry.
    assert "alone" not in found["Pgtable.__kvm_pgtable_visit__"]
    walk = found["Pgtable.__kvm_pgtable_walk__"]
    texts = [change.text for change in changes(walk)]
    assert "zeroes_from" in walk
    ours = [line for line in walk.splitlines() if "zeroes_from" in line or "visited" in line or "walk_table" in line]
    assert len(ours) == 3
    assert all(line in text for line in ours for text in texts)
    # The kernel's own lines beside them are mutated.
    assert any("idx += 1" not in text for text in texts)


@pytest.mark.parametrize("machine", MACHINES)
def test_mutant_of_tlb_c_is_distinguished_from_the_original(machine: str, tmp_path: Path) -> None:
    """Check that code shared by both files is changed in both; on a machine at EL1 the other file runs."""
    caps = MACHINES[machine]
    base = on_machine(candidate.get("original"), caps)
    for owner in ("TlbNvhe",) if caps & NO_VHE else ("AnyTlb", "TlbVhe"):
        name = "__tlb_switch_to_guest__" if owner == "TlbVhe" else "__kvm_tlb_flush_vmid_ipa__"
        gone = "self.__load_guest_stage2__(mmu)" if owner == "TlbVhe" else "self.__tlbi__(VMALLE1IS)"
        path = tmp_path / f"{owner}{caps}.py"
        path.write_text(candidate_text(mutant(f"{owner}.{name}", gone, "pass")))
        version = on_machine(load(path, str(path)), caps)
        assert same_events(base, base, PROGRAM, record(base, PROGRAM))
        assert not same_events(base, version, PROGRAM, record(base, PROGRAM))
        assert REGRESSION in {finding.kind for finding in Differential(base, version).run(PROGRAM).findings}


def test_each_statement_is_left_out_once() -> None:
    gone = {change.place[0] for change in left_out(FUNCTION)}
    # The first value of b and the returns must stay, because other names or later code depend on them.
    assert gone == {3, 4, 5}


def test_operators_of_the_library() -> None:
    pytest.importorskip("cosmic_ray", reason="cosmic-ray is not installed")
    made = list(changes(FUNCTION))
    texts = [change.text for change in made]
    assert len(set(texts)) == len(texts)
    assert FUNCTION not in texts
    by_operator = {change.operator: change.text for change in made}
    assert "if a or b:" in by_operator["ReplaceAndWithOr"]
    assert "self.h(a | b)" in by_operator["ReplaceBinaryOperator_BitAnd_BitOr"]
    assert "if not a and b:" in by_operator["AddNot"]
    assert not any("/" in text.replace("//", "") or "**" in text for text in texts)


def test_order_has_each_place_once_before_repeating_one() -> None:
    function = functions()[0]
    there = [Mutant(function, "x", (place, 0), f"{place} {turn}") for place in range(5) for turn in range(3)]
    order = ordered(there, 1)
    assert sorted(each.key for each in order) == sorted(each.key for each in there)
    assert {each.place for each in order[:5]} == {each.place for each in there}
    assert ordered(there, 1) == order
    assert ordered(there, 2) != order


def test_key_is_determined_by_the_change() -> None:
    one = mutant("Pgtable.stage2_unmap_walker", "self.k.put_page(self.k.virt_to_page(ptep))", "pass")
    other = mutant("Pgtable.stage2_unmap_walker", "need_flush = True", "pass")
    again = mutant("Pgtable.stage2_unmap_walker", "need_flush = True", "pass")
    assert one.key != other.key == again.key
    assert other.change == "need_flush = True => pass"


def test_mutant_is_a_candidate(tmp_path: Path) -> None:
    base = candidate.get("original")
    points = record(base, PROGRAM)
    assert same_events(base, base, PROGRAM, points)
    wrong = mutant("Pgtable.stage2_unmap_walker", "self.k.put_page(self.k.virt_to_page(ptep))", "pass")
    path = tmp_path / "wrong.py"
    path.write_text(candidate_text(wrong))
    version = load(path, str(path))
    assert not same_events(base, version, PROGRAM, points)
    assert REGRESSION in {finding.kind for finding in Differential(base, version).run(PROGRAM).findings}


def test_endless_mutant_is_stopped_when_it_exceeds_its_base(tmp_path: Path) -> None:
    base = candidate.get("original")
    endless = mutant("Mmu.stage2_apply_range", "addr = next", "pass")
    path = tmp_path / "endless.py"
    path.write_text(candidate_text(endless))
    assert not same_events(base, load(path, str(path)), PROGRAM, record(base, PROGRAM))
