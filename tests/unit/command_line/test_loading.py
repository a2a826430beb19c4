# SPDX-License-Identifier: GPL-2.0-only
"""Ctrl-C while the command is imported: it ends with one line and exit code 130, without a traceback."""

import os
import signal
import subprocess
import sys
from configparser import ConfigParser
from pathlib import Path

import pytest

from ..console import ROOT
from ..processes import interruptible, wait_for

# Replaces a standard library module that the command imports: creates a file to show that it runs, then sleeps.
_SLOW = """\
import os, time
os.close(os.open(os.environ["REACHED"], os.O_CREAT))
exec("time.sleep(600)")
"""


def script(folder: Path) -> list[str]:
    """Return the console script as pip writes it."""
    setup = ConfigParser()
    setup.read(ROOT / "setup.cfg")
    name, _, place = setup["options.entry_points"]["console_scripts"].strip().partition(" = ")
    module, _, function = place.partition(":")
    (folder / name).write_text(f"import sys\nfrom {module} import {function}\nsys.exit({function}())\n")
    return [sys.executable, str(folder / name)]


def interrupted(folder: Path, slow: str, command: list[str], ignored: tuple[int, ...] = ()) -> tuple[int, str, str]:
    """Send Ctrl-C to a command that is importing a module; return exit code, stdout, stderr.

    :param ignored: signals that the command ignores when it starts
    """
    path = folder / "path"
    path.mkdir()
    (path / f"{slow}.py").write_text(_SLOW)
    reached = folder / "reached"
    search = os.pathsep.join([str(path), str(ROOT)])
    process = subprocess.Popen(
        interruptible(command, ignored),
        env={**os.environ, "PYTHONPATH": search, "REACHED": str(reached)},
        cwd=folder,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    try:
        wait_for(lambda: reached.exists() or process.poll() is not None, f"the import of {slow}")
        for number in (signal.SIGINT, *(signal.SIGKILL for _ in ignored)):
            process.send_signal(number)
        out, err = process.communicate(timeout=60)
    finally:
        process.kill()
        process.wait()
    return process.returncode, out, err


# Modules that are imported by `fuzz`, by the command line, and by an action.
@pytest.mark.parametrize("slow", ["difflib", "argparse", "shlex"])
@pytest.mark.parametrize("how", ["script", "module"])
def test_ctrl_c_during_imports_is_one_line(tmp_path: Path, slow: str, how: str) -> None:
    start = script(tmp_path) if how == "script" else [sys.executable, "-m", "fuzz"]
    assert interrupted(tmp_path, slow, [*start, "list"]) == (130, "", "s2fuzz: interrupted\n")


def test_ctrl_c_that_is_ignored_stays_ignored(tmp_path: Path) -> None:
    """Start the command as a shell without job control does in the background: only SIGKILL ends it."""
    command = [sys.executable, "-m", "fuzz", "list"]
    assert interrupted(tmp_path, "difflib", command, (signal.SIGINT,)) == (-signal.SIGKILL, "", "")


def test_another_program_that_imports_us_keeps_its_ctrl_c(tmp_path: Path) -> None:
    code, out, err = interrupted(tmp_path, "difflib", [sys.executable, "-c", "import fuzz"])
    assert (code, out) == (-signal.SIGINT, "")
    assert err.endswith("KeyboardInterrupt\n")
