# SPDX-License-Identifier: GPL-2.0-only
"""What people want to know of a tree; nothing that is built depends on it."""

import re
import subprocess
from typing import Final

from .source import Source

_NUMBER: Final = re.compile(r"^(VERSION|PATCHLEVEL|SUBLEVEL|EXTRAVERSION) *= *(\S*)", re.MULTILINE)
# What a build may read.
_READ: Final = ("arch/arm64", "include", "virt/kvm", "lib/rbtree.c", "lib/interval_tree.c")


def version(source: Source) -> str:
    """The version that the tree's Makefile says, for people only; "" if it says none."""
    try:
        text = (source.root / "Makefile").read_text(errors="replace")
    except OSError:
        return ""
    parts = dict(_NUMBER.findall(text))
    numbers = [parts[name] for name in ("VERSION", "PATCHLEVEL", "SUBLEVEL") if parts.get(name)]
    return ".".join(numbers) + parts.get("EXTRAVERSION", "") if numbers else ""


def commit(source: Source) -> str:
    """The commit that a git tree is at, with ``+`` behind if what a build reads differs from it; "" without git."""
    # A folder inside of another project's repository is not at that one's commit.
    if not (source.root / ".git").exists():
        return ""
    head = _git(source, "rev-parse", "HEAD")
    if head is None or head.returncode:
        return ""
    changed = _git(source, "diff", "--quiet", "HEAD", "--", *_READ)
    return head.stdout.strip() + ("+" if changed is None or changed.returncode else "")


def lines(source: Source, path: str) -> int:
    """How many lines a file has."""
    return source.text(path).count("\n")


def _git(source: Source, *arguments: str) -> subprocess.CompletedProcess[str] | None:
    command = ["git", "-c", "core.fsmonitor=false", "-C", str(source.root), *arguments]
    try:
        return subprocess.run(command, capture_output=True, text=True, errors="replace", check=False, timeout=60)
    except (OSError, subprocess.TimeoutExpired):
        return None
