# SPDX-License-Identifier: GPL-2.0-only
"""Areas of the benchmark: every source file has one; samples count for the compiled function that ran."""

import os

import pytest

from fuzz.benchmark.areas import area_of, count

from ..console import ROOT


def test_samples_count_for_the_innermost_compiled_function() -> None:
    judging = "1 CPyDef_differential___Differential___run\n"
    stacks = [
        "1 PyLong_FromLong\n1 CPyDef_checkers___tlb___Tlb___quiet.part.0\n" + judging,
        "1 CPyPy_pgtable___Pgtable_____kvm_pgtable_walk__\n" + judging,
        "1 visit_decref\n1 gc_collect_main\n1 CPyDef_kernel_____mypyc__kvm_s2_mmu_setup\n" + judging,
        "1 _PyEval_EvalFrameDefault\n",
    ]
    modules = ["reference.pgtable", "reference.machine.tlb", "fuzz.checkers.tlb", "fuzz.judging.differential"]
    assert count(stacks, modules) == {"checker tlb": 1, "pgtable port": 1, "interpreter": 1}


@pytest.mark.parametrize("folder", ["reference", "reference/machine", "fuzz", "fuzz/checkers", "fuzz/judging"])
def test_every_source_file_has_an_area(folder: str) -> None:
    assert all(area_of(str(path)) for path in (ROOT / folder).glob("*.py"))
    assert area_of(os.__file__) == ""
