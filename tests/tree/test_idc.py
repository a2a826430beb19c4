# SPDX-License-Identifier: GPL-2.0-only
"""CPUs of a machine with ``dic=on`` also have ARM64_HAS_CACHE_IDC: code that depends on it runs and is judged."""

from pathlib import Path

import pytest

import candidate
from candidate.tree.building.source import PGTABLE
from fuzz.judging.differential import REGRESSION, Differential
from fuzz.language.text import parse

from .trees import planted, version

TEXT = "s2fuzz 1\nvm dic={}\nslot a size=64K backing=anon\ncpu0 write a+0\ncpu1 cache on\n"


@pytest.mark.parametrize("dic", ["on", "off"])
def test_a_flush_that_is_left_out(dic: str, tmp_path: Path) -> None:
    """No clean to the PoU is needed, but stage 2 must still be cleaned to the PoC."""
    text = "\tif (cpus_have_final_cap(ARM64_HAS_STAGE2_FWB))\n\t\treturn 0;\n\n\treturn kvm_pgtable_walk("
    instead = text.replace("FWB))", "FWB) || cpus_have_final_cap(ARM64_HAS_CACHE_IDC))")
    changed = planted("7.3", tmp_path / "tree", PGTABLE, text, instead)
    verdict = Differential(candidate.get(version("7.3")), candidate.get(changed)).run(parse(TEXT.format(dic)))
    found = [each.signature for each in verdict.findings if each.kind == REGRESSION]
    assert [name.partition(":")[0] for name in found] == (["dcache"] if dic == "on" else [])
