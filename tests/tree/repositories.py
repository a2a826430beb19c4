# SPDX-License-Identifier: GPL-2.0-only
"""Git repositories of kernel trees to test with."""

import subprocess
from pathlib import Path
from typing import Final

from candidate.tree.building.commits import READ
from candidate.tree.building.source import PGTABLE

from .trees import real_tree

WHO: Final = ("-c", "user.name=n", "-c", "user.email=e@example.org")
# The end of stage2_unmap_put_pte() in 6.12. If its put is missing, a program with a discard shows the mistake.
_PUT: Final = "\tmm_ops->put_page(ctx->ptep);\n}\n\nstatic bool stage2_pte_cacheable"


def git(folder: Path, *arguments: str) -> str:
    """Run a git command; return its output."""
    command = ["git", *WHO, "-C", str(folder), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def commit_all(folder: Path, message: str) -> str:
    """Commit the contents of the work tree; return the name of the commit."""
    git(folder, "add", ".")
    git(folder, "commit", "--quiet", "-m", message)
    return git(folder, "rev-parse", "HEAD")


def put_dropped(folder: Path) -> Path:
    """Make a repository with two commits of the files of 6.12 that a build reads: unchanged, and with a put dropped."""
    folder.mkdir()
    git(folder, "init", "--quiet", "--initial-branch=master")
    for path in READ:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        subprocess.run(["cp", "-a", str(real_tree() / path), str(folder / path)], check=True)
    commit_all(folder, "as it is")
    text = (folder / PGTABLE).read_text()
    assert _PUT in text
    (folder / PGTABLE).write_text(text.replace(_PUT, _PUT.partition("\n")[2]))
    commit_all(folder, "a put dropped")
    return folder
