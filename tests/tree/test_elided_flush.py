# SPDX-License-Identifier: GPL-2.0-only
"""Kernels with CONFIG_KVM_ELIDE_TLB_FLUSH_IF_YOUNG need not flush pages that are made old."""

from pathlib import Path
from typing import Final

import candidate
from fuzz.judging.differential import COMMON, REGRESSION, Differential
from fuzz.language.text import parse

from .trees import planted, version

PROGRAM: Final = parse("s2fuzz 1\nvm\nslot a size=64K backing=anon\ncpu0 read a+0\nhost age a+0 4K flush=on\n")


def signatures(reference: str, changed: str, kind: str) -> list[str]:
    verdict = Differential(candidate.get(reference), candidate.get(changed)).run(PROGRAM)
    assert not verdict.refused
    return [each.signature for each in verdict.findings if each.kind == kind and each.signature.startswith("ageing: ")]


def test_selecting_the_option(tmp_path: Path) -> None:
    text = "\tselect KVM_COMMON\n"
    selected = f"{text}\tselect KVM_ELIDE_TLB_FLUSH_IF_YOUNG\n"
    eliding = planted("7.3", tmp_path / "tree", "arch/arm64/kvm/Kconfig", text, selected)
    assert signatures(version("7.3"), version("7.3"), COMMON) == []
    assert signatures(eliding, eliding, COMMON) == []
    # A patch that selects the option is a regression.
    (found,) = signatures(version("7.3"), eliding, REGRESSION)
    assert "cleared without flush" in found
