# SPDX-License-Identifier: GPL-2.0-only
"""A warning has the text of its condition or, if the condition is a constant, of its message."""

from pathlib import Path
from typing import Final

import candidate
from candidate.tree.building.source import MMU
from fuzz.judging.differential import Differential
from fuzz.language.text import parse

from .trees import planted, version

TREE: Final = "6.12"
FAULT: Final = "\tif (fault_is_perm && !write_fault && !exec_fault) {\n"
WARNS: Final = '\tWARN_ONCE(1, "No place for %d\\n", 7);\n\tWARN(!fault_is_perm, "No permission\\n");\n'
PROGRAM: Final = parse("s2fuzz 1\nvm cpus=1\nslot a size=64K backing=anon\ncpu0 read a+0\n")


def test_the_text_of_a_warning(tmp_path: Path) -> None:
    copy = planted(TREE, tmp_path / "tree", MMU, FAULT, WARNS + FAULT)
    verdict = Differential(candidate.get(version(TREE)), candidate.get(copy)).run(PROGRAM)
    reasons = [finding.reason for finding in verdict.findings] + [each.reason for _, each in verdict.consequences]
    for text in ("No place for %d", "!fault_is_perm"):
        assert any(f"user_mem_abort warns ({text})" in reason for reason in reasons)
