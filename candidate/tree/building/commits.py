# SPDX-License-Identifier: GPL-2.0-only
"""Commits of a git repository as trees: what a build reads of one is checked out into the user's cache folder.

The index and the work tree of the repository are not touched. A folder is named after its commit and after what
is checked out of one, so it never changes.
"""

import hashlib
import os
from contextlib import suppress
from pathlib import Path
from typing import Final

from .cache_folder import cache_folder, making_entry, remove_unused
from .errors import TreeError, cannot_write
from .git import GitError, git

# Between the folder of a repository and a commit, in the name of a tree.
AT: Final = "@"
# What `candidate.tree.build` may read of a tree, and what trees are compared by (`candidate.tree.lines.outside`).
READ: Final = (
    *("Makefile", "Kconfig", "include", "virt", "lib/rbtree.c", "lib/interval_tree.c"),
    *("arch/arm64/Kconfig", "arch/arm64/kvm", "arch/arm64/include", "arch/arm64/tools"),
)
# Hexadecimal digits of a short name, as in mails to the kernel's lists; more where two commits have the same.
_DIGITS: Final = 12
_UNFINISHED: Final = ".checking-out-"
# Part of the names of folders: what another version of this file has checked out does not do.
_WHAT: Final = hashlib.sha256("\0".join(READ).encode()).hexdigest()[:8]
_ALLOWED: Final = "allowed: FOLDER@COMMIT, with the top folder of a git repository, and a commit, tag or branch of it"


def parts_of(name: str) -> tuple[Path, str]:
    """Split the name of a tree into its folder, and a commit; "": what is in the folder.

    A folder whose own name has an ``@`` counts as a folder.
    """
    path = Path(name)
    with suppress(OSError, ValueError):
        # What else is wrong with a name is told by who opens the tree.
        if not path.exists():
            words = name.split(AT)
            for count in range(1, len(words)):
                folder, commit = Path(AT.join(words[:count])), AT.join(words[count:])
                if words[0] and commit and folder.is_dir():
                    return folder, commit
    return path, ""


def short(repository: Path, commit: str) -> str:
    """Return the short name of a commit, by which no other one is called.

    :raises TreeError: as of `resolved`
    """
    full = resolved(repository, commit)
    with suppress(GitError):
        return git(repository, "rev-parse", f"--short={_DIGITS}", full).strip()
    return full


def resolved(repository: Path, commit: str) -> str:
    """Return the full name of a commit, as it is now: a branch moves.

    :raises TreeError: there is no such repository or commit; one line
    """
    name = f"{repository}{AT}{commit}"
    try:
        if inside := git(repository, "rev-parse", "--show-prefix").strip():
            raise TreeError(f"{name}: {repository} is the folder {inside} of a git repository; {_ALLOWED}")
    except GitError as error:
        raise TreeError(f"{name}: {error}; {error.remedy or _ALLOWED}") from None
    none = f"{repository} has no commit {commit!r}"
    try:
        found = git(repository, "rev-parse", "--verify", "--end-of-options", f"{commit}^{{commit}}").strip()
    except GitError as error:
        # Of a name that is none, git says that it needs a single revision.
        why = none if "single revision" in str(error) else str(error)
        raise TreeError(f"{name}: {why}; {_deeper(repository)}{_ALLOWED}") from None
    if not found.isalnum():
        # All but the ancestors of a commit, ``^main``, is a revision too.
        raise TreeError(f"{name}: {none}; {_ALLOWED}")
    return found


def _deeper(repository: Path) -> str:
    """Return what helps where a repository does not have all ancestors of its commits; "": it has."""
    with suppress(GitError):
        if git(repository, "rev-parse", "--is-shallow-repository").strip() == "true":
            return "it is a shallow clone, and `git fetch --deepen=100` gets older commits; "
    return ""


def checked_out(repository: Path, commit: str) -> Path:
    """Return a folder with what a build reads of a commit.

    :param commit: its full name (`resolved`)
    :raises TreeError: it cannot be checked out; one line
    """
    try:
        home = cache_folder("commits")
    except RuntimeError:
        raise TreeError("there is no home folder to check commits out in; allowed: one in XDG_CACHE_HOME") from None
    entry = home / f"{commit}-{_WHAT}"
    if not entry.is_dir():
        with making_entry(home, _UNFINISHED, entry.name, cannot_write) as work:
            # Another process may have done it while this one waited.
            if not entry.is_dir():
                try:
                    _check_out(repository, commit, work)
                except GitError as error:
                    name = f"{repository}{AT}{commit[:12]}"
                    raise TreeError(f"{name}: cannot be checked out into {home}: {error}") from None
                work.chmod(0o755)
                work.rename(entry)
        remove_unused(home)
    with suppress(OSError):
        # Says that it is in use.
        os.utime(entry)
    return entry


def _check_out(repository: Path, commit: str, work: Path) -> None:
    """Check what a build reads out into *work*, with an index of its own.

    :raises GitError: that fails
    """
    index = work / ".index"
    where = git(repository, "rev-parse", "--absolute-git-dir").strip()
    into = ("--git-dir", where, "--work-tree", str(work), "-c", "core.bare=false")
    files = []
    for line in git(repository, "ls-tree", "-z", commit, "--", *READ).split("\0"):
        words, _, path = line.partition("\t")
        if " tree " in words:
            # `git checkout` would fetch the files of a partial clone one by one.
            command = ("read-tree", "-u", f"--prefix={path}/", f"{commit}:{path}")
            git(work, *into, *command, variables={"GIT_INDEX_FILE": str(index)})
        elif path:
            files.append(path)
    if files:
        git(work, *into, "checkout", "-q", commit, "--", *files, variables={"GIT_INDEX_FILE": str(index)})
    index.unlink(missing_ok=True)
