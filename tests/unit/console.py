# SPDX-License-Identifier: GPL-2.0-only
"""The console script under test: an example program, separate processes, and the form of a refusal."""

import os
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fuzz.command_line import cli

ROOT = Path(__file__).parents[2]
HEAD = "s2fuzz 1\nvm\nslot a size=4M backing=thp log=on\n"
# The confirmed bug of the review: a table becomes a block without being cleaned.
MISSING_CLEAN = HEAD + "host write a+0 2M\ncpu0 read a+4K mmu=off\nlog a off\ncpu1 read a+20K mmu=off\n"

# Exit code, stdout, stderr.
Result = tuple[int, str, str]


def refused(result: Result, *words: str) -> None:
    """Check exit code 2, an empty stdout, and one line on stderr that contains these words."""
    code, out, err = result
    assert (code, out) == (2, "")
    assert err.count("\n") == 1
    assert err.endswith("\n")
    assert "Traceback" not in err
    for word in words:
        assert word in err


def put_on_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put ``s2fuzz`` on PATH, as a script in a folder."""
    script = tmp_path / "bin" / "s2fuzz"
    script.parent.mkdir()
    script.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m fuzz "$@"\n')
    script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{script.parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))


def in_process(capture: pytest.CaptureFixture[str], *first: str) -> Callable[..., Result]:
    """Return a function that runs the console script in this process.

    :param first: arguments that precede those of the function
    """

    def run(*arguments: str) -> Result:
        code: object = None
        try:
            code = cli.main((*first, *arguments))
        except SystemExit as end:
            code = end.code
        assert isinstance(code, int)
        captured = capture.readouterr()
        return code, captured.out, captured.err

    return run


def process(*arguments: str, path: Path = ROOT, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run a command in a separate process, with *path* first on Python's."""
    environment = {**os.environ, "PYTHONPATH": f"{path}{os.pathsep}{ROOT}"}
    command = [sys.executable, "-m", "fuzz", *arguments]
    return subprocess.run(command, env=environment, text=True, stderr=subprocess.PIPE, check=False, **options)
