# SPDX-License-Identifier: GPL-2.0-only
"""Scripts that fetch the prerequisites of `make real`, without packages:

one clear message, and nothing is left behind.
"""

import os
import subprocess
from pathlib import Path
from typing import Final

import pytest

from ..console import ROOT

# Programs that the scripts use, besides packages.
TOOLS: Final = (
    "bash",
    "env",
    "mkdir",
    "mktemp",
    "rm",
    "rmdir",
    "timeout",
    "cut",
    "sort",
    "tail",
    "ls",
    "tr",
    "cat",
    "awk",
)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Make a folder of programs with an apt that has no network and knows no package."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in TOOLS:
        found = next(Path(each, name) for each in ("/usr/bin", "/bin") if Path(each, name).exists())
        (folder / name).symlink_to(found)
    for name, text in (("apt-get", "echo no network >&2; exit 100"), ("apt-cache", "exit 0")):
        (folder / name).write_text(f"#!/bin/bash\n{text}\n")
        (folder / name).chmod(0o755)
    return folder


def run(place: Path, script: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """Run a script of .ci/ that finds these programs only."""
    environment = {"PATH": str(place), "HOME": str(place), "TMPDIR": str(place)}
    command = [str(ROOT / ".ci" / script), *arguments]
    return subprocess.run(command, env=environment, text=True, capture_output=True, check=False)


def test_no_kernel_package(place: Path, tmp_path: Path) -> None:
    done = run(place, "real-kernels", str(tmp_path / "kernels"))
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        "NOT FETCHED: kernels 6.1.* 6.12.* the newest of trixie-backports, because the package lists of arm64 cannot "
        "be read. To use your own image: s2fuzz real run --kernel PATH\n"
    )
    assert not (tmp_path / "kernels").exists()


def test_existing_kernels_are_kept(place: Path, tmp_path: Path) -> None:
    image = tmp_path / "kernels" / "6.1.9-cloud-arm64" / "vmlinuz"
    image.parent.mkdir(parents=True)
    image.write_bytes(b"x")
    done = run(place, "real-kernels", str(tmp_path / "kernels"))
    assert (done.returncode, done.stdout) == (0, "6.1.9-cloud-arm64\n")
    assert os.listdir(tmp_path / "kernels") == ["6.1.9-cloud-arm64"]


def test_no_package_of_a_tool(place: Path) -> None:
    done = run(place, "real-tools")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.splitlines()[-1].startswith("NOT INSTALLED: qemu-system-arm gcc-aarch64-linux-gnu")
    assert done.stderr.splitlines()[-1].endswith("; install them as root")
