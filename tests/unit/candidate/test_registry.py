# SPDX-License-Identifier: GPL-2.0-only
"""The registered versions: found in the folder by their declarations, in the declared order."""

from pathlib import Path
from types import ModuleType

import pytest

import candidate
from candidate.bugs import BUGS
from candidate.registry.declaration import BUG, CANDIDATE, Bug, Candidate, declarations
from candidate.registry.errors import DeclarationError
from candidate.registry.folder import declared_in, depth
from candidate.rfc_v1 import MmuRfcV1, PgtableRfcV1
from candidate.rfc_v1_1 import MmuRfcV1_1, PgtableRfcV1_1
from reference.mmu import Mmu
from reference.pgtable import Pgtable

# Verdicts, statistics and corpora depend on this order: append new versions, or explain why not.
SHIPPED = ["original", "rfc-v1-1", "rfc-v1-3", "rfc-v1", "rfc-v1-fixed", "rfc-v2", "v5.12.9", "v5.14", "v6.6-range"]
PLANTED = [
    *("bug-never-cacheable", "bug-tlb-incomplete", "bug-root-get", "bug-tlb-vmid", "bug-unmap-late"),
    *("bug-unmap-clean", "bug-one-page", "bug-leaf-get"),
]


def test_the_order_of_the_versions() -> None:
    assert candidate.names()[: len(SHIPPED)] == SHIPPED
    assert [bug.name for bug in BUGS][: len(PLANTED)] == PLANTED
    orders = [bug.order for bug in BUGS]
    assert orders == sorted(set(orders))


def test_every_module_of_the_folders_is_registered() -> None:
    assert [each.name for each in declared_in("candidate", Candidate, CANDIDATE)] == candidate.names()
    bugs = {each.pgtable.__module__ for each in declared_in("candidate.bugs", Bug, BUG)}
    files = (Path(str(candidate.bugs.__file__)).parent).glob("*.py")
    assert bugs == {f"candidate.bugs.{each.stem}" for each in files if each.stem != "__init__"}


def test_a_base_comes_before_derived_versions() -> None:
    """Check that the order holds even where it is not declared."""
    assert depth(PgtableRfcV1_1, MmuRfcV1_1) < depth(PgtableRfcV1, MmuRfcV1)


def test_a_single_name_in_adds_is_taken_as_a_tuple() -> None:
    made = Candidate("mine", Pgtable, Mmu, "a test", "helper")  # type: ignore[arg-type]
    assert made.adds == ("helper",)


def test_a_module_may_declare_several() -> None:
    module = ModuleType("mine")
    module.CANDIDATE = (Candidate("a", Pgtable, Mmu, "a"), Candidate("b", Pgtable, Mmu, "b"))  # type: ignore[attr-defined]
    assert [each.name for each in declarations(module, Candidate, CANDIDATE, "mine.py:1")] == ["a", "b"]
    module.CANDIDATE = ()  # type: ignore[attr-defined]
    with pytest.raises(DeclarationError, match=r"mine\.py:1: CANDIDATE is empty"):
        declarations(module, Candidate, CANDIDATE, "mine.py:1")
