# SPDX-License-Identifier: GPL-2.0-only
"""The trees that tests run on."""

import os
from pathlib import Path

import pytest


def tree(name: str) -> str:
    """The name, as a version, of a tree in the folder S2FUZZ_TREES; the test is skipped where there is none."""
    folder = os.environ.get("S2FUZZ_TREES", "")
    path = Path(folder) / name
    if not folder or not path.is_dir():
        pytest.skip(f"no kernel tree {name}: set S2FUZZ_TREES to a folder that holds it")
    return f"tree:{path}"
