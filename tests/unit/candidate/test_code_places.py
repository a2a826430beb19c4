# SPDX-License-Identifier: GPL-2.0-only
"""The places of return addresses in a library."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from candidate.tree.building.errors import TreeError
from candidate.tree.runtime.code_places import TOOL, CodePlaces

pytestmark = pytest.mark.skipif(
    shutil.which("gcc") is None or shutil.which(TOOL) is None, reason="needs gcc and addr2line"
)


@pytest.fixture
def places(tmp_path: Path) -> Iterator[CodePlaces]:
    """The places of a library with one function."""
    (tmp_path / "a.c").write_text("int f(int x) { return x + 1; }\n")
    subprocess.run(["gcc", "-g", "-shared", "-o", "a.so", "a.c"], cwd=tmp_path, check=True)
    with closing(CodePlaces(tmp_path / "a.so")) as found:
        yield found


@pytest.fixture
def tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only folder in which processes find tools; it is empty."""
    folder = tmp_path / "tools"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    return folder


def address_of_f(places: CodePlaces) -> int:
    names = subprocess.run(["nm", places.library], capture_output=True, text=True, check=True).stdout
    (line,) = [line for line in names.splitlines() if line.endswith(" T f")]
    return int(line.split()[0], 16) + 1


def test_the_tool_does_not_get_the_terminals_signals(places: CodePlaces) -> None:
    """Check that Ctrl-C, which a terminal sends to the group, cannot end the tool: findings are reported after it."""
    assert str(places.at(address_of_f(places))[0]) == "f (a.c:1)"
    assert places.tool is not None
    assert os.getsid(places.tool.pid) == places.tool.pid != os.getsid(0)


def test_a_tool_that_has_ended_is_started_again(places: CodePlaces) -> None:
    address = address_of_f(places)
    places.at(address + 1)
    assert places.tool is not None
    places.tool.kill()
    places.tool.wait()
    assert str(places.at(address)[0]) == "f (a.c:1)"


def test_a_tool_that_always_ends_is_one_line(places: CodePlaces, tools: Path) -> None:
    tool = tools / TOOL
    tool.write_text("#!/bin/sh\n")
    tool.chmod(0o755)
    with pytest.raises(TreeError, match=r"^addr2line \S+a.so: it ends without an answer; build the tree again$"):
        places.at(1)


def test_a_missing_tool_is_one_line(places: CodePlaces, tools: Path) -> None:
    assert list(tools.iterdir()) == []
    with pytest.raises(TreeError, match=r"^addr2line: No such file or directory; install binutils$"):
        places.at(1)
