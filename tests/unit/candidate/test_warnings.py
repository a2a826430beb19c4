# SPDX-License-Identifier: GPL-2.0-only
"""The C code of the runtime compiles without a warning."""

import shutil
import subprocess
from pathlib import Path
from typing import Final

import pytest

from candidate.tree.building.plan import HOST_FLAGS, NATIVE

# Models of kernel functions have parameters that they need not read.
WARNINGS: Final = ("-Wall", "-Wextra", "-Wno-unused-parameter", "-Werror")


@pytest.mark.skipif(shutil.which("gcc") is None, reason="takes gcc")
@pytest.mark.parametrize("defined", [(), ("-DSHIM_SANITIZE",)], ids=["plain", "sanitize"])
def test_runtime_has_no_warnings(defined: tuple[str, ...], tmp_path: Path) -> None:
    """A build has no such flags: another version of gcc may warn about more."""
    files = [str(file) for file in sorted(NATIVE.glob("rt_*.c"))]
    assert files
    flags = (*HOST_FLAGS, *WARNINGS, *defined, "-DSHIM_GRANULE_SHIFT=12", f"-I{NATIVE}")
    done = subprocess.run(["gcc", *flags, "-c", *files], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
