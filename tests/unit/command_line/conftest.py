# SPDX-License-Identifier: GPL-2.0-only
"""Fixtures for tests of the command line."""

from pathlib import Path

import pytest

from ..console import in_process
from .calls import Call


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Call:
    """Return a function that runs a command in this process, in an empty directory."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("S2FUZZ_DEBUG", raising=False)

    return in_process(capsys)
