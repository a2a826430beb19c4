# SPDX-License-Identifier: GPL-2.0-only
"""A change without a line that counts ran if a function ran whose machine code it changes."""

from pathlib import Path
from typing import Final

import pytest

import candidate
from candidate.tree.building.source import PGTABLE
from fuzz.coverage.exercised import exercise
from fuzz.exit_codes import BAD_INPUT, FINE
from fuzz.judging.differential import Differential
from fuzz.language.text import parse

from .trees import planted, version

TREE: Final = "6.12"
# The initialiser of the walker of ageing; gcc gives it no line of its own.
WALKER: Final = "\t\t.cb\t\t= stage2_age_walker,\n\t\t.arg\t\t= &data,\n\t\t.flags\t\t= KVM_PGTABLE_WALK_LEAF,\n"
CHANGED: Final = WALKER.replace("_LEAF", "_LEAF | KVM_PGTABLE_WALK_SKIP_CMO")
READ: Final = "s2fuzz 1\nvm cpus=1\nslot a size=64K backing=anon\ncpu0 read a+0\n"
AGE: Final = f"{READ}host testage a+0\n"
FUNCTION: Final = "kvm_pgtable_stage2_test_clear_young"


def test_a_constant_in_an_initialiser(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from fuzz.command_line.cli import main

    copy = planted(TREE, tmp_path / "tree", PGTABLE, WALKER, CHANGED)
    for text, functions in ((READ, []), (AGE, [FUNCTION])):
        verdict = Differential(candidate.get(version(TREE)), candidate.get(copy)).run(parse(text))
        found = exercise(version(TREE), copy, verdict.counts)
        assert found is not None
        assert (found.lines, len(found.codeless), found.functions) == (0, 1, functions)
        assert found.exercised == bool(functions)
        program = tmp_path / "p.s2"
        program.write_text(text)
        code = main(["run", str(program), "--reference", version(TREE), "--candidate", copy])
        out = capsys.readouterr().out
        assert code == (FINE if functions else BAD_INPUT)
        assert ("not exercised" in out) == (not functions)
        assert (f"{FUNCTION}() ran, and its machine code differs" in out) == bool(functions)
