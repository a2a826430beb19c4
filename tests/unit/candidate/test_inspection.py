# SPDX-License-Identifier: GPL-2.0-only
"""The changes of a candidate, and the candidates that are refused."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import candidate
from candidate import RefusedCandidateError
from candidate.bugs import BUGS
from candidate.inspection.names import near_names, one_edit_away
from candidate.inspection.sources import source_signature
from candidate.rfc_v1 import MmuRfcV1, PgtableRfcV1
from candidate.v5_12_9 import PgtableV5_12_9
from reference.compiled import choice as native
from reference.mmu import Mmu
from reference.pgtable import Pgtable
from reference.tlb import TlbVhe

ROOT = Path(__file__).parents[3]


@pytest.fixture(autouse=True)
def registry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Drop the versions that a test registers."""
    monkeypatch.setattr(candidate, "_REGISTRY", dict(candidate._REGISTRY))
    monkeypatch.setattr(candidate, "_CHANGES", {})


def changes(
    pgtable: type = Pgtable, mmu: type = Mmu, adds: tuple[str, ...] = (), tlb: type = TlbVhe
) -> candidate.Changes:
    candidate.register("mine", pgtable, mmu, "a test", adds=adds, tlb=tlb)
    return candidate.changes("mine")


def refusal(pgtable: type = Pgtable, mmu: type = Mmu, adds: tuple[str, ...] = (), tlb: type = TlbVhe) -> str:
    with pytest.raises(RefusedCandidateError) as refused:
        changes(pgtable, mmu, adds, tlb)
    assert "\n" not in str(refused.value)
    return str(refused.value)


def adding(base: type, *names: str) -> type:
    """Make a class that has functions of these names."""
    return type("Adding", (base,), {name: lambda self, *_: 0 for name in names})


@pytest.mark.parametrize("name", [*candidate.names(), *(bug.name for bug in BUGS)])
def test_all_shipped_versions_are_accepted_and_change_something(name: str) -> None:
    found = candidate.changes(name)
    assert bool(found.overrides) == (name != "original")
    assert found.bases == (name,) or name not in found.bases


def test_the_base_is_the_parent_version() -> None:
    found = candidate.changes("rfc-v1")
    assert (found.bases, found.overrides, found.adds) == (("rfc-v1-3",), ("user_mem_abort",), ())
    assert found.text() == "rfc-v1 (on rfc-v1-3) overrides user_mem_abort; adds nothing"
    assert candidate.changes("v5.12.9").overrides == ("__kvm_pgtable_visit__",)
    assert candidate.changes("rfc-v1-3").adds == ("stage2_coalesce_tables_into_block",)
    v5_14 = candidate.changes("v5.14")
    # No function of the kernel has this name.
    assert v5_14.sets == ("COUNTS_NON_ZERO",)
    assert not set(v5_14.sets) & set(v5_14.overrides)
    assert v5_14.text().endswith("; sets COUNTS_NON_ZERO")
    assert "invalidate_icache_guest_page of mmu.c; adds " in v5_14.text()
    assert "invalidate_icache_guest_page to pgtable.c; sets " in v5_14.text()
    assert candidate.changes("bug-nested-put").bases == ("rfc-v1-fixed",)


def test_the_original_changes_nothing_and_so_does_its_other_name() -> None:
    assert candidate.changes("original").text() == "original changes nothing"
    assert changes().text() == "mine changes nothing of original"


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("kvm_pgtable_stage2_unmp", "kvm_pgtable_stage2_unmap"),
        ("kvm_pgtable_stage2_unmaap", "kvm_pgtable_stage2_unmap"),
        ("kvm_pgtable_stage2_unmpa", "kvm_pgtable_stage2_unmap"),
        ("kvm_pgtable_stage3_unmap", "kvm_pgtable_stage2_unmap"),
        ("kvm_pgtable_Stage2_unmap", "kvm_pgtable_stage2_unmap"),
        ("_kvm_pgtable_stage2_unmap", "kvm_pgtable_stage2_unmap"),
        ("kvm_pgtable_stage2unmap", "kvm_pgtable_stage2_unmap"),
        ("__kvm_pgtable_visit", "__kvm_pgtable_visit__"),
        # This is how Python stores the name in this class.
        ("_Adding__kvm_pgtable_visit", "__kvm_pgtable_visit__"),
        ("kvm_pgtable_visit", "__kvm_pgtable_visit__"),
    ],
)
def test_a_misspelt_override(name: str, meant: str) -> None:
    """Check it also in a class with a valid override."""
    bad = adding(Pgtable, name, "kvm_pgtable_stage2_flush")
    shown = name.removeprefix("_Adding")
    assert f"{shown} overrides nothing, did you mean {meant}? use that name, or adds=" in refusal(bad)
    assert changes_as("other", bad, (shown,)).adds == (shown,)


def changes_as(name: str, pgtable: type, adds: tuple[str, ...]) -> candidate.Changes:
    # The registered class itself must not be used again.
    candidate.register(name, type(pgtable.__name__, (Pgtable,), dict(vars(pgtable))), Mmu, "a test", adds=adds)
    return candidate.changes(name)


def test_a_name_similar_to_no_function_is_an_addition() -> None:
    found = changes(adding(Pgtable, "kvm_pgtable_stage2_flush", "stage2_helper", "kvm_pgtable_stage2_unmap_all"))
    assert found.overrides == ("kvm_pgtable_stage2_flush",)
    assert found.adds == ("stage2_helper", "kvm_pgtable_stage2_unmap_all")


def test_adds_may_list_existing_methods_only() -> None:
    bad = adding(Pgtable, "kvm_pgtable_stage2_flush", "stage2_helper")
    assert "adds= lists 'stage2_helpr', but it adds no method of this name (did you mean 'stage2_helper'?)" in refusal(
        bad, adds=("stage2_helpr",)
    )


def test_the_line_names_all_mistakes() -> None:
    told = refusal(adding(Pgtable, "kvm_pte_vaild"), adding(Mmu, "user_mem_abot"))
    assert "kvm_pte_valid?" in told
    assert "user_mem_abort?" in told


@pytest.mark.parametrize("base", [Pgtable, PgtableRfcV1])
def test_nothing_overridden(base: type) -> None:
    assert "it overrides nothing of " in refusal(type("Mine", (base,), {}))


def test_only_helpers_override_nothing() -> None:
    told = refusal(adding(Pgtable, "stage2_helper"), type("Mine", (MmuRfcV1,), {"__init__": lambda *_: None}))
    assert "it overrides nothing of original; override functions of Pgtable or MmuRfcV1 under their own names" in told


def test_one_unchanged_class_is_fine() -> None:
    found = changes(adding(Pgtable, "kvm_pgtable_stage2_flush"), type("Mine", (Mmu,), {}))
    assert found.overrides == ("kvm_pgtable_stage2_flush",)


def test_tlb_c_is_compared_with_its_base() -> None:
    found = changes(tlb=adding(TlbVhe, "__kvm_tlb_flush_vmid__"))
    assert found.text() == "mine (on original) overrides __kvm_tlb_flush_vmid__; adds nothing"
    assert candidate.changes("bug-tlb-level").overrides == ("__tlbi_level__",)
    assert candidate.changes("v5.14").bases == ("v5.12.9",)


def test_a_misspelt_override_of_tlb_c() -> None:
    wrong = adding(TlbVhe, "__kvm_tlb_flush_vmid_ip__", "__tlbi__")
    assert "__kvm_tlb_flush_vmid_ip__ overrides nothing, did you mean __kvm_tlb_flush_vmid_ipa__" in refusal(tlb=wrong)


def test_a_class_that_is_no_tlb_c() -> None:
    said = refusal(tlb=adding(Mmu, "kvm_age_hva"))
    assert said.endswith("one that derives from Mmu, and tlb= one that derives from AnyTlb")


def test_helpers_of_the_other_file_are_fine() -> None:
    found = changes(adding(Pgtable, "stage2_helper"), adding(Mmu, "user_mem_abort"))
    assert (found.overrides, found.adds) == (("user_mem_abort",), ("stage2_helper",))


def test_functions_of_a_mixin_count_as_its_own() -> None:
    class Helpers:
        def kvm_pgtable_stage2_flush(self, pgt: object, addr: int, size: int) -> int:
            return 0

    assert changes(type("Mine", (Helpers, PgtableV5_12_9), {})).overrides == ("kvm_pgtable_stage2_flush",)


def test_swapped_classes_are_refused() -> None:
    assert "first a class that derives from Pgtable, then one" in refusal(Mmu, Pgtable)


class Fewer(Pgtable):
    def stage2_map_walker_try_leaf(self, addr: Any, end: Any, level: Any, data: Any) -> Any:  # type: ignore[override]
        return 0


class More(Pgtable):
    def kvm_pgtable_stage2_unmap(self, pgt: Any, addr: Any, size: Any, flags: Any) -> Any:  # type: ignore[override]
        return 0


class Exchanged(Pgtable):
    def stage2_map_walker_try_leaf(self, addr: Any, end: Any, ptep: Any, level: Any, data: Any) -> Any:  # type: ignore[override]
        return 0


class ByNameOnly(Pgtable):
    def stage2_map_walker_try_leaf(self, addr: Any, end: Any, level: Any, ptep: Any, *, data: Any) -> Any:  # type: ignore[override]
        return 0


class PassedOn(Pgtable):
    def stage2_free_walker(self, addr: Any, end: Any, level: Any, ptep: Any, flag: Any) -> Any:  # type: ignore[override]
        return 0


class FromOutside(Pgtable):
    def kvm_pgtable_hyp_map(self, pgt: Any, addr: Any, size: Any, phys: Any) -> Any:  # type: ignore[override]
        return 0


class FromTheOtherFile(Pgtable):
    def kvm_pgtable_stage2_mkold(self, pgt: Any) -> Any:  # type: ignore[override]
        return 0


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        (Fewer, "reference/pgtable.py:"),
        (More, "passes (pgt, addr, size), it takes (pgt, addr, size, flags)"),
        (Exchanged, "passes level where it takes ptep"),
        (ByNameOnly, "reference/pgtable.py:"),
        (PassedOn, "reference/pgtable.py:"),
        (FromOutside, "fuzz/execution/hyp_operations.py:"),
        (FromTheOtherFile, "reference/mmu.py:"),
    ],
)
def test_an_override_that_cannot_take_the_calls(bad: type, said: str) -> None:
    line = next(value.__code__.co_firstlineno for value in vars(bad).values() if hasattr(value, "__code__"))
    told = refusal(bad)
    assert f"tests/unit/candidate/test_inspection.py:{line}: " in told
    assert "cannot take the calls of inherited code" in told
    assert said in told


class Renamed(Pgtable):
    def stage2_map_walker_try_leaf(
        self, start: Any, stop: Any, level: Any, ptep: Any, state: Any, *, extra: Any = 0
    ) -> Any:
        return 0


class Anything(Pgtable):
    def stage2_map_walker_try_leaf(self, *args: Any) -> Any:
        return 0


class WithItsCallers(Pgtable):
    """Takes one more parameter, which its only caller passes."""

    def stage2_map_walker_try_leaf(self, addr: Any, end: Any, level: Any, ptep: Any, data: Any, flush: Any) -> Any:  # type: ignore[override]
        return 0

    def stage2_map_walk_leaf(self, addr: Any, end: Any, level: Any, ptep: Any, data: Any) -> Any:
        return self.stage2_map_walker_try_leaf(addr, end, level, ptep, data, True)


class Static(Pgtable):
    @staticmethod
    def kvm_pte_valid(pte: Any) -> Any:
        return pte & 1 != 0


@pytest.mark.parametrize("good", [Renamed, Anything, WithItsCallers, Static])
def test_an_override_that_can(good: type) -> None:
    assert changes(good).overrides


def test_signatures_are_read_from_the_source_too() -> None:
    """Read the source, because compiled methods may have no signature of their own."""
    found = source_signature(Pgtable, "stage2_map_walker_try_leaf")
    assert found is not None
    assert list(found.parameters) == ["self", "addr", "end", "level", "ptep", "data"]
    assert source_signature(Pgtable, "nothing") is None


@pytest.mark.parametrize(
    ("a", "b", "near"),
    [
        ("abc", "abc", False),
        ("abc", "ab", True),
        ("abc", "axbc", True),
        ("abc", "acb", True),
        ("abc", "bca", False),
        ("abcd", "badc", False),
        ("abc", "xbc", True),
        ("abc", "xyc", False),
        ("", "a", True),
        ("ab", "abcd", False),
    ],
)
def test_one_edit(a: str, b: str, near: bool) -> None:
    assert one_edit_away(a, b) == one_edit_away(b, a) == near


def test_the_same_letters_rank_before_an_edit() -> None:
    assert near_names("_kvm_pgtable_walk", ["kvm_pgtable_wal", "kvm_pgtable_walk"]) == ["kvm_pgtable_walk"]
    assert near_names("stage2_umap", ["stage2_map", "stage2_unmap", "other"]) == ["stage2_map", "stage2_unmap"]


_LOOK = """
import json, sys
import candidate
from candidate.rfc_v1_fixed import PgtableRfcV1Fixed
from reference.mmu import Mmu
from reference.pgtable import Pgtable
class Bad(PgtableRfcV1Fixed):
    def stage2_coalesce_table_into_block(self): pass
    def stage2_map_walker_try_leaf(self, addr): pass
candidate.register("mine", Bad, Mmu, "a test")
told = [candidate.changes(name).text() for name in [*candidate.names()[:-1], *candidate._BUGS]]
try:
    candidate.changes("mine")
except candidate.RefusedCandidateError as error:
    told.append(str(error))
print(json.dumps(told))
"""


def looked(pure: str) -> list[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "S2FUZZ_PURE": pure}
    told = subprocess.run([sys.executable, "-c", _LOOK], env=environment, check=True, stdout=subprocess.PIPE)
    found: list[str] = json.loads(told.stdout)
    return found


def test_plain_classes() -> None:
    told = looked("1")
    assert told[:-1] == [candidate.changes(name).text() for name in [*candidate.names(), *(bug.name for bug in BUGS)]]
    assert "did you mean stage2_coalesce_tables_into_block?" in told[-1]
    assert "reference/pgtable.py:" in told[-1]


@pytest.mark.skipif(not native.choose().mypyc, reason="no compiled build: run `s2fuzz build`")
def test_compiled_classes() -> None:
    assert looked("0") == looked("1")
