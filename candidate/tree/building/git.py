# SPDX-License-Identifier: GPL-2.0-only
"""Runs git in a user's repository, without its hooks, and regardless of the repository that the caller is in."""

import os
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Final

# Time limit in seconds: a partial clone fetches missing objects.
_SECONDS: Final = 600
# Variables by which git tells a hook, or `git rebase --exec`, which repository it is in: those of `git rev-parse
# --local-env-vars` except the ones for settings, which include safe.directory.
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
    """Raised when git cannot be run, or fails; the message is the first line of git's error.

    *remedy*: what to do, such as how to allow the command; "" if git names no way
    """

    def __init__(self, words: str, remedy: str = "") -> None:
        super().__init__(words)
        self.remedy = remedy


def git(folder: Path, *arguments: str, variables: Mapping[str, str] | None = None) -> str:
    """Run a git command, and return its output.

    :param folder: where it runs
    :param variables: additional environment variables
    :raises GitError: git cannot be run, or fails
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
        raise GitError(
            f"cannot run git: {error.strerror or error}", "install it (Debian: apt-get install git)"
        ) from None
    except subprocess.TimeoutExpired:
        raise GitError(f"git {arguments[0]} timed out after {_SECONDS} s") from None
    if done.returncode:
        said = done.stderr.strip() or f"git {arguments[0]} failed (exit code {done.returncode})"
        raise GitError(said.splitlines()[0].removeprefix("fatal: ").removeprefix("error: "), _remedy(said))
    return done.stdout


def _remedy(said: str) -> str:
    """Return the command that git suggests if a repository belongs to another user; "" if it suggests none."""
    command = re.search(r"git config --global --add safe\.directory .*", said)
    return f"allowed: after `{command[0]}`" if command else ""
