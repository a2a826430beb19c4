# SPDX-License-Identifier: GPL-2.0-only
"""VTCR_EL2: the size of physical addresses, and the dirty state that the machine does not model."""

from pathlib import Path

import candidate
from candidate.tree.building.source import PGTABLE
from fuzz.judging.differential import REGRESSION, Differential
from fuzz.language.text import parse

from .trees import planted, version

PROGRAM = parse("s2fuzz 1\nvm cpus=1\nslot a size=4K backing=anon\ncpu0 read a+0\n")


def test_tables_above_what_vtcr_allows(tmp_path: Path) -> None:
    # PS stays 0, which means 32 bits: every walk ends at the root, whatever the fault has mapped.
    text = "\tvtcr |= kvm_get_parange(mmfr0) << VTCR_EL2_PS_SHIFT;\n"
    copy = planted("6.12", tmp_path / "tree", PGTABLE, text, "")
    found = Differential(candidate.get(version()), candidate.get(copy)).run(PROGRAM).findings
    assert [(each.kind, each.signature) for each in found] == [
        (REGRESSION, "progress: kvm_handle_guest_abort: access does not complete")
    ]


def test_dirty_state_of_the_hardware_has_no_verdict(tmp_path: Path) -> None:
    copy = planted("6.12", tmp_path / "tree", PGTABLE, "vtcr |= VTCR_EL2_HA;", "vtcr |= VTCR_EL2_HA | VTCR_EL2_HD;")
    verdict = Differential(candidate.get(version()), candidate.get(copy)).run(PROGRAM)
    assert verdict.refused == "dirty state that the hardware manages (VTCR_EL2.HD)"
