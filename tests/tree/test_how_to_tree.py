# SPDX-License-Identifier: GPL-2.0-only
"""docs/how-to/tree.md, followed to the letter, in a repository with the commit that the page describes."""

import re
from pathlib import Path

import pytest

from ..unit.console import ROOT, put_on_path
from ..unit.pages import sessions
from ..unit.sessions import check_output, run, timeless
from .repositories import put_dropped

PAGE = ROOT / "docs" / "how-to" / "tree.md"


def masked(lines: list[str], folder: Path) -> list[str]:
    """Mask numbers, commit names and the folder, which depend on the release of 6.12 and on the machine."""
    text = "\n".join(lines).replace(str(folder), "/home/you")
    return re.sub(r"\d+(\.\d+)*", "#", re.sub(r"\b[0-9a-f]{12}\b", "#", text)).split("\n")


@pytest.mark.usefixtures("common_cache")
def test_the_sessions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put_dropped(tmp_path / "linux")
    put_on_path(tmp_path, monkeypatch)
    for session in sessions(PAGE):
        lines = timeless(session, run(session.command, tmp_path))
        check_output(masked(timeless(session, session.output), tmp_path), masked(lines, tmp_path))
