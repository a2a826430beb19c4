# SPDX-License-Identifier: GPL-2.0-only
"""Runs git in somebody's repository, without its hooks, and whatever repository the caller is in."""

import os
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Final

# Seconds that it may take: a repository that has only a part of its objects fetches others.
_SECONDS: Final = 600
# What says which repository a hook, or `git rebase --exec`, is in: `git rev-parse --local-env-vars` without settings,
# which say among others whose repositories are safe.
_LOCAL: Final = frozenset(
    f"GIT_{name}"
    for name in (
        *("ALTERNATE_OBJECT_DIRECTORIES", "CONFIG", "OBJECT_DIRECTORY", "DIR"),
        *("WORK_TREE", "IMPLICIT_WORK_TREE", "GRAFT_FILE", "INDEX_FILE", "NO_REPLACE_OBJECTS", "REPLACE_REF_BASE"),
        *("PREFIX", "SHALLOW_FILE", "COMMON_DIR", "INTERNAL_SUPER_PREFIX"),
    )
)
_SETTINGS: Final = ("core.fsmonitor=false", "core.hooksPath=/dev/null", "core.sparseCheckout=false")


class GitError(Exception):
    """Git cannot be run, or fails; its first line.

    *remedy*: what allows it, "": nobody says
    """

    def __init__(self, words: str, remedy: str = "") -> None:
        super().__init__(words)
        self.remedy = remedy


def git(folder: Path, *arguments: str, variables: Mapping[str, str] | None = None) -> str:
    """Return the output of a git command.

    :param folder: where it runs
    :param variables: for its environment
    :raises GitError: it cannot be run, or fails
    """
    environment = {name: value for name, value in os.environ.items() if name not in _LOCAL}
    environment |= {"LC_ALL": "C", "GIT_TERMINAL_PROMPT": "0", "GIT_OPTIONAL_LOCKS": "0", **(variables or {})}
    settings = [word for setting in _SETTINGS for word in ("-c", setting)]
    try:
        done = subprocess.run(
            ["git", *settings, "-C", str(folder), *arguments],
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            timeout=_SECONDS,
        )
    except OSError as error:
        raise GitError(f"cannot run git: {error.strerror or error}") from None
    except subprocess.TimeoutExpired:
        raise GitError(f"git {arguments[0]} takes more than {_SECONDS} s") from None
    if done.returncode:
        said = done.stderr.strip() or f"git {arguments[0]} fails (exit code {done.returncode})"
        raise GitError(said.splitlines()[0].removeprefix("fatal: ").removeprefix("error: "), _remedy(said))
    return done.stdout


def _remedy(said: str) -> str:
    """Return the command that git names where a repository is somebody else's."""
    command = re.search(r"git config --global --add safe\.directory .*", said)
    return f"allowed: after `{command[0]}`" if command else ""
