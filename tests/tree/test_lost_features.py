# SPDX-License-Identifier: GPL-2.0-only
"""A tree that lacks a part of KVM which the reference has is told so, because no random program uses that part."""

from pathlib import Path

import pytest

from fuzz.command_line.changes import lacking, say_changes

from .trees import planted, version

HEADER = "arch/arm64/include/asm/kvm_host.h"


def test_a_changed_declaration_loses_a_feature(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    reference = version("6.12")
    changed = planted("6.12", tmp_path / "tree", HEADER, "#define kvm_has_mte(", "# define kvm_has_mte(")
    say_changes(reference, [changed])
    text = f"{changed} lacks what {reference} has: memory tagging (MTE); random programs do not use it"
    assert capsys.readouterr().err == f"s2fuzz: {text}\n"


def test_only_trees_are_compared() -> None:
    assert lacking(version("6.1"), "original") == []
    assert lacking(version("6.12"), version("6.12")) == []
