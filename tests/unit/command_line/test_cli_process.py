# SPDX-License-Identifier: GPL-2.0-only
"""The command line as a process: closed and full streams, foreign packages."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from ..console import MISSING_CLEAN, ROOT, process, refused


def test_as_a_module(tmp_path: Path) -> None:
    assert process("list", cwd=tmp_path, stdout=subprocess.DEVNULL).returncode == 0


def test_closed_pipe_is_silent(tmp_path: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    try:
        result = process("list", cwd=tmp_path, stdout=writer)
    finally:
        os.close(writer)
    assert (result.returncode, result.stderr) == (141, "")


def shell(command: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run a shell command line in which ``$S`` is s2fuzz, with its output buffered as usual."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "S": f"{sys.executable} -m fuzz", "PYTHONUNBUFFERED": ""}
    return subprocess.run(["sh", "-c", command], env=environment, cwd=cwd, text=True, capture_output=True, check=False)


@pytest.mark.parametrize("command", ["list", "--help", "run p.s2", "bench --programs 1"])
def test_closed_stdout_is_one_line(tmp_path: Path, command: str) -> None:
    (tmp_path / "p.s2").write_text(MISSING_CLEAN)
    result = shell(f"$S {command} >&-", tmp_path)
    refused((result.returncode, result.stdout, result.stderr), "cannot write the answer: stdout is closed")


@pytest.mark.parametrize("command", ["list", "--help"])
def test_full_stdout_is_one_line(tmp_path: Path, command: str) -> None:
    result = shell(f"$S {command} >/dev/full", tmp_path)
    refused((result.returncode, result.stdout, result.stderr), "cannot write the answer: No space left on device")


def test_closed_stderr_does_not_go_to_stdout(tmp_path: Path) -> None:
    result = shell("$S run nowhere.s2 2>&-", tmp_path)
    assert (result.returncode, result.stdout, result.stderr) == (2, "", "")


@pytest.mark.parametrize("closed", ["<&-", "2>&-", "<&- 2>&-"])
def test_a_session_needs_no_standard_input_or_error(tmp_path: Path, closed: str) -> None:
    session = "fuzz --candidate rfc-v1-fixed --programs 4 --workers 2 --out out"
    expected = shell(f"$S {session} 2>/dev/null", tmp_path)
    result = shell(f"$S {session} {closed}", tmp_path)
    assert result.returncode == expected.returncode
    assert "4 programs" in result.stdout


@pytest.mark.parametrize("name", ["reference", "candidate"])
def test_foreign_package(tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir()
    (tmp_path / name / "__init__.py").touch()
    result = process("list", path=tmp_path, cwd=tmp_path, stdout=subprocess.PIPE)
    refused((result.returncode, result.stdout, result.stderr), f"package {name!r} is another project's", str(tmp_path))
