# SPDX-License-Identifier: GPL-2.0-only
"""Facts about a tree, for people; its number decides traits of the host model too. No build needs them."""

import re
from dataclasses import dataclass
from typing import Final

from ..build import BuiltTree
from . import symbols
from .git import GitError, git
from .reach import UnreachedFeature, unreachable
from .source import DIRTY_RING, GUEST_MEMFD, INTERVAL_TREE, KVM_MAIN, MMU, NESTED, PGTABLE, RBTREE, TLB, TreeSource

_NUMBER: Final = re.compile(r"^(VERSION|PATCHLEVEL|SUBLEVEL|EXTRAVERSION) *= *(\S*)", re.MULTILINE)
# What is compiled, and what a program can come to.
_COMPILED: Final = (PGTABLE, MMU, NESTED, TLB, KVM_MAIN, DIRTY_RING, GUEST_MEMFD, RBTREE, INTERVAL_TREE)
# What a build may read.
_READ: Final = ("arch/arm64", "include", "virt/kvm", "lib/rbtree.c", "lib/interval_tree.c")


@dataclass(frozen=True)
class TreeFacts:
    """The facts about a tree that builds.

    :param tree: as it was given
    :param version: as its Makefile says; "" if that says none
    :param commit: "" if it is no git tree; ``+`` behind it: with changes
    :param compiled: the C files that are compiled -> how many lines they have
    :param read: how many of its other files were read
    :param probes: names of what it declares
    :param kinds: symbol outside of its files -> class of `candidate.tree.building.symbols`
    :param idle: those of them that nothing the driver does can call
    :param unreached: C file -> functions of it likewise
    :param features: what no operation can reach, in words
    """

    tree: str
    version: str
    commit: str
    compiled: dict[str, int]
    read: int
    probes: list[str]
    kinds: dict[str, str]
    idle: list[str]
    unreached: dict[str, list[str]]
    features: list[UnreachedFeature]

    def named(self, kind: str) -> list[str]:
        """The symbols of a class."""
        return [name for name, each in self.kinds.items() if each == kind]

    def refused(self) -> dict[str, list[str]]:
        """Reason -> the refused symbols that something the driver does may call."""
        found: dict[str, list[str]] = {}
        for name in self.named(symbols.REFUSED):
            if name not in self.idle:
                found.setdefault(symbols.reason(name), []).append(name)
        return found


def facts(source: TreeSource, built: BuiltTree) -> TreeFacts:
    """The facts of a tree and of what it was built to."""
    record = built.record
    compiled = {path: source.text(path).count("\n") for path in _COMPILED if path in record["files"]}
    return TreeFacts(
        source.name,
        version(source),
        commit(source),
        compiled,
        len(record["files"]) - len(compiled),
        record["probes"],
        record["symbols"],
        record["idle"],
        record["unreached"],
        unreachable(source, {name for names in record["unreached"].values() for name in names}),
    )


def version(source: TreeSource) -> str:
    """The version that the tree's Makefile says, for people, and for `host_since`; "" if it says none."""
    try:
        text = (source.root / "Makefile").read_text(errors="replace")
    except OSError:
        return ""
    parts = dict(_NUMBER.findall(text))
    numbers = [parts[name] for name in ("VERSION", "PATCHLEVEL", "SUBLEVEL") if parts.get(name)]
    return ".".join(numbers) + parts.get("EXTRAVERSION", "") if numbers else ""


def host_since(number: str, major: int, minor: int) -> bool:
    """Tell whether memory management is that of a version or a later one: it is no part of what is compiled.

    :param number: from `version`
    """
    found = re.match(r"(\d+)\.(\d+)", number)
    return found is not None and (int(found[1]), int(found[2])) >= (major, minor)


def commit(source: TreeSource) -> str:
    """The commit that a git tree is at, with ``+`` behind if what a build reads differs from it; "" without git."""
    if source.commit:
        return source.commit
    # A folder inside of another project's repository is not at that one's commit.
    if not (source.root / ".git").exists():
        return ""
    try:
        head = git(source.root, "rev-parse", "HEAD").strip()
        # Not `git diff`, which writes the index, or else takes what was touched for changed.
        changed = git(source.root, "status", "--porcelain", "--untracked-files=no", "--no-renames", "--", *_READ)
    except GitError:
        return ""
    return f"{head}+" if changed else head
