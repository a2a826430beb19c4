# SPDX-License-Identifier: GPL-2.0-only
"""Compiled exported programs in the initial file system of a machine that runs them."""

import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

from fuzz.real import initrd
from fuzz.real.machine import RealMachine
from fuzz.real.session import BOOT_PATIENCE, PLAY_PATIENCE


def archive_of(texts: Mapping[str, str], folder: Path) -> Path:
    """Return an initial file system with programs.

    :param texts: C files, keyed by program name
    :param folder: folder for all files that it creates
    """
    compiler = shutil.which(initrd.compiler())
    assert compiler is not None
    built: dict[str, bytes] = {}
    for name, text in texts.items():
        source = folder / f"{name}.c"
        source.write_text(text)
        subprocess.run([compiler, "-static", "-O1", "-o", str(folder / name), str(source)], check=True)
        built[name] = (folder / name).read_bytes()
    file = folder / "initrd.cpio"
    file.write_bytes(initrd.archive((initrd.make().parent / "init").read_bytes(), built))
    return file


def wait_until_ready(machine: RealMachine) -> None:
    """Wait until the machine accepts commands."""
    while not machine.line(BOOT_PATIENCE).startswith("READY "):
        pass


def executed(machine: RealMachine, name: str) -> tuple[int, list[str]]:
    """Run a program of the file system, and return its exit code and output."""
    machine.send(f"EXEC /{name}\n")
    said: list[str] = []
    while not (line := machine.line(PLAY_PATIENCE)).startswith("EXIT "):
        said.append(line)
    return int(line.split()[1]), said
