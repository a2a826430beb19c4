# SPDX-License-Identifier: GPL-2.0-only
"""Commits of a git repository as trees: the files that a build reads are checked out into the user's cache folder.

The index and the work tree of the repository are not touched. The name of a folder has the commit and a digest of the
list of paths that are checked out, so its contents never change.
"""

import hashlib
import os
from contextlib import suppress
from pathlib import Path
from typing import Final

from reference.cache_folder import cache_folder, making_entry, remove_unused

from .errors import TreeError, cannot_write
from .git import GitError, git

# Separates the folder of a repository and a commit in the name of a tree.
AT: Final = "@"
# Paths that `candidate.tree.library` may read, or in which trees are compared (`candidate.tree.lines.outside`).
READ: Final = (
    *("Makefile", "Kconfig", "include", "virt", "lib/rbtree.c", "lib/interval_tree.c"),
    *("arch/arm64/Kconfig", "arch/arm64/kvm", "arch/arm64/include", "arch/arm64/tools"),
)
# Hexadecimal digits of a short name, as on the kernel's mailing lists; git uses more if the name is ambiguous.
_DIGITS: Final = 12
_UNFINISHED: Final = ".checking-out-"
# Part of the names of folders: a checkout by another version of this file has other paths, and is not used.
_WHAT: Final = hashlib.sha256("\0".join(READ).encode()).hexdigest()[:8]
_ALLOWED: Final = "allowed: FOLDER@COMMIT, with the top folder of a git repository, and a commit, tag or branch of it"


def parts_of(name: str) -> tuple[Path, str]:
    """Split the name of a tree into its folder and a commit; "" if it names no commit.

    An existing folder whose own name has an ``@`` is not split.
    """
    path = Path(name)
    with suppress(OSError, ValueError):
        # Other errors in a name are reported when the tree is opened.
        if not path.exists():
            words = name.split(AT)
            for count in range(1, len(words)):
                folder, commit = Path(AT.join(words[:count])), AT.join(words[count:])
                if words[0] and commit and folder.is_dir():
                    return folder, commit
    return path, ""


def short(repository: Path, commit: str) -> str:
    """Return the unique short name of a commit.

    :raises TreeError: as for `resolved`
    """
    full = resolved(repository, commit)
    with suppress(GitError):
        return git(repository, "rev-parse", f"--short={_DIGITS}", full).strip()
    return full


def resolved(repository: Path, commit: str) -> str:
    """Return the full name of the commit that a name, such as a branch, currently stands for.

    :raises TreeError: there is no such repository or commit; the message is one line
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
        # For a malformed name, git reports that it needs a single revision.
        why = none if "single revision" in str(error) else str(error)
        raise TreeError(f"{name}: {why}; {_deeper(repository)}{_ALLOWED}") from None
    if not found.isalnum():
        # An exclusion such as ``^main`` is a revision too.
        raise TreeError(f"{name}: {none}; {_ALLOWED}")
    return found


def _deeper(repository: Path) -> str:
    """Return advice for a shallow clone; "" if the repository is complete."""
    with suppress(GitError):
        if git(repository, "rev-parse", "--is-shallow-repository").strip() == "true":
            return "it is a shallow clone, and `git fetch --deepen=100` gets older commits; "
    return ""


def checked_out(repository: Path, commit: str) -> Path:
    """Return a folder with the files of a commit that a build reads; check them out if necessary.

    :param commit: its full name (`resolved`)
    :raises TreeError: it cannot be checked out; the message is one line
    """
    try:
        home = cache_folder("commits")
    except RuntimeError:
        raise TreeError("there is no home folder to check commits out in; allowed: one in XDG_CACHE_HOME") from None
    entry = home / f"{commit}-{_WHAT}"
    if not entry.is_dir():
        with making_entry(home, _UNFINISHED, entry.name, cannot_write) as work:
            # Another process may have checked it out while this one waited.
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
        # Mark the entry as recently used.
        os.utime(entry)
    return entry


def _check_out(repository: Path, commit: str, work: Path) -> None:
    """Check out the files that a build reads into *work*, with a temporary index.

    :raises GitError: a git command fails
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
