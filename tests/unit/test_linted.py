# SPDX-License-Identifier: GPL-2.0-only
"""Ruff sees every module: no exclusion hides one from `make check`."""

import subprocess
import sys
from pathlib import Path
from typing import Final

from .console import ROOT

TREES: Final = ("reference", "candidate", "fuzz", "tests")


def test_ruff_checks_every_module() -> None:
    shown = subprocess.run(
        [sys.executable, "-m", "ruff", "check", "--force-exclude", "--show-files", "."],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    modules = {path for tree in TREES for path in (ROOT / tree).rglob("*.py")}
    assert modules
    assert modules - {Path(line) for line in shown.stdout.splitlines()} == set()
