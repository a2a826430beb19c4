# SPDX-License-Identifier: GPL-2.0-only
"""docs/how-to/tree.md, followed to the letter, in a repository that has the commit that it tells of."""

import re
from pathlib import Path

import pytest

from ..unit.console import ROOT, put_on_path
from ..unit.pages import sessions
from ..unit.sessions import check_output, run, timeless
from .repositories import put_dropped

PAGE = ROOT / "docs" / "how-to" / "tree.md"


def any_numbers(lines: list[str], folder: Path) -> list[str]:
    """Lines without numbers, names of commits and folders: another 6.12 has its own."""
    text = "\n".join(lines).replace(str(folder), "/home/you")
    return re.sub(r"\d+(\.\d+)*", "#", re.sub(r"\b[0-9a-f]{12}\b", "#", text)).split("\n")


@pytest.mark.usefixtures("common_cache")
def test_the_sessions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put_dropped(tmp_path / "linux")
    put_on_path(tmp_path, monkeypatch)
    for session in sessions(PAGE):
        lines = timeless(session, run(session.command, tmp_path))
        check_output(any_numbers(timeless(session, session.output), tmp_path), any_numbers(lines, tmp_path))
