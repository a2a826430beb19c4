# SPDX-License-Identifier: GPL-2.0-only
"""Sessions of pages, run like a reader would: commands in a shell, and their output compared with the page."""

import re
import subprocess
from pathlib import Path

from .pages import Session


def run(command: str, folder: Path) -> list[str]:
    """Return the lines that a command of a session prints; exit codes 0 and 1 are both results."""
    done = subprocess.run(["sh", "-c", command], cwd=folder, text=True, capture_output=True, check=False)
    assert done.returncode in (0, 1), done.stderr
    return [line.rstrip() for line in done.stdout.rstrip("\n").split("\n")]


def timeless(session: Session, lines: list[str]) -> list[str]:
    """Return the lines without times and rates; for QEMU output, also without its version and numbers."""
    text = re.sub(r"\bin [\d.]+ s\b", "in # s", "\n".join(lines))
    text = re.sub(r"[\d.]+ (programs|operations)/s", r"# \1/s", text)
    if session.command.startswith("s2fuzz hardware"):
        text = re.sub(r"[\d.]+", "#", re.sub(r"version .*?: ", "version #: ", text))
    return text.split("\n")


def position(part: list[str], lines: list[str], start: int) -> int:
    """Return the index of *part* in *lines*, searching from *start*, or -1."""
    places = range(start, len(lines) - len(part) + 1)
    return next((i for i in places if lines[i : i + len(part)] == part), -1)


def check_output(shown: list[str], lines: list[str]) -> None:
    """Check that the output has exactly the parts shown, which are separated by "...", in this order."""
    parts: list[list[str]] = [[]]
    for line in shown:
        if line == "...":
            parts.append([])
        else:
            parts[-1].append(line)
    end = 0
    for number, part in enumerate(parts):
        at = position(part, lines, end)
        assert at >= 0, part
        assert number or at == 0, "the first lines are others"
        end = at + len(part)
    assert parts[-1] == [] or end == len(lines) or lines[-len(parts[-1]) :] == parts[-1], "the last lines are others"
