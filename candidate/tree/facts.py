# SPDX-License-Identifier: GPL-2.0-only
"""Facts about a tree, for people. Its version number also decides traits of the host model. No build needs them."""

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final

from .building import symbols
from .building.git import GitError, git
from .building.probes import optional
from .building.reach import UnreachedFeature, unreachable
from .building.source import ARM, COMPILED, TreeSource
from .library import BuiltTree
from .lines.c_text import function_around, without_comments

# All classes of symbols, in the order in which they are shown.
KINDS: Final = (*symbols.CLASSES, symbols.UNKNOWN)
_NUMBER: Final = re.compile(r"^(VERSION|PATCHLEVEL|SUBLEVEL|EXTRAVERSION) *= *(\S*)", re.MULTILINE)
# Folders of KVM.
_KVM: Final = (f"{ARM}/kvm", "virt/kvm")
# Paths that a build may read.
_READ: Final = ("arch/arm64", "include", "virt/kvm", "lib/rbtree.c", "lib/interval_tree.c")


@dataclass(frozen=True)
class TreeFacts:
    """The facts about a tree that builds.

    :param tree: its name as given by the user
    :param version: the version in its Makefile; "" if there is none
    :param commit: its commit; "" if it is no git tree; ends in ``+`` if files were changed
    :param compiled: compiled C file -> number of lines
    :param read: number of other files of the tree that were read
    :param probes: names of the probes that match
    :param kinds: symbol outside of its files -> one of `KINDS`
    :param uses: unknown symbol -> the places in the compiled files that name it, as far as they are found
    :param defined: unknown symbol -> the file of KVM that defines it and is not compiled, if one is found
    :param idle: the symbols that no request of the driver can call
    :param unreached: C file -> its functions that no request of the driver can call
    :param failed: C file with functions that the tree may need -> why it does not compile here
    :param features: parts that no operation can reach
    """

    tree: str
    version: str
    commit: str
    compiled: dict[str, int]
    read: int
    probes: list[str]
    kinds: dict[str, str]
    uses: dict[str, list[str]]
    defined: dict[str, str]
    idle: list[str]
    unreached: dict[str, list[str]]
    failed: dict[str, str]
    features: list[UnreachedFeature]

    def named(self, kind: str) -> list[str]:
        """Return the symbols of a class."""
        return [name for name, each in self.kinds.items() if each == kind]

    def optional(self) -> list[str]:
        """Return the parts of KVM that this tree has and some trees lack, under the names that users know."""
        return optional(self.probes)

    def refused(self) -> dict[str, list[str]]:
        """Return the refused symbols that a request of the driver may call: reason -> names."""
        found: dict[str, list[str]] = {}
        for name in self.named(symbols.REFUSED):
            if name not in self.idle:
                found.setdefault(symbols.reason(name), []).append(name)
        return found


def facts(source: TreeSource, built: BuiltTree) -> TreeFacts:
    """Return the facts about a tree and the library that was built from it."""
    record = built.record
    paths = [*(path for path in COMPILED if path in record["files"]), *record["added"]]
    compiled = {path: source.text(path).count("\n") for path in paths}
    unknown = [name for name, kind in record["symbols"].items() if kind == symbols.UNKNOWN]
    return TreeFacts(
        source.name,
        version(source),
        commit(source),
        compiled,
        len(record["files"]) - len(compiled),
        record["probes"],
        record["symbols"],
        uses(source, paths, unknown),
        definitions(source, compiled, unknown),
        record["idle"],
        record["unreached"],
        record["failed"],
        unreachable(source, {name for names in record["unreached"].values() for name in names}),
    )


def uses(source: TreeSource, paths: Sequence[str], names: Sequence[str]) -> dict[str, list[str]]:
    """Return the places in functions of some files that name symbols: ``virt/kvm/kvm_main.c:12, in kvm_init()``.

    A call in a macro of a header is not found.

    :returns: symbol -> places
    """
    found: dict[str, list[str]] = {name: [] for name in names}
    words = {name: re.compile(rf"\b{re.escape(name)}\b") for name in names}
    for path in paths if names else ():
        lines = without_comments(source.text(path)).splitlines()
        for name, places in found.items():
            word = words[name]
            numbers = [number for number, line in enumerate(lines, 1) if word.search(line)]
            around = [(number, function_around(lines, number)) for number in numbers]
            places += [f"{path}:{number}, in {function}()" for number, function in around if function]
    return found


def definitions(source: TreeSource, compiled: Collection[str], names: Sequence[str]) -> dict[str, str]:
    """Return the files of KVM outside of the compiled ones that define functions.

    :param compiled: paths of the compiled files
    :param names: of the functions
    :returns: function -> path of the file; the functions of other parts of Linux are missing
    """
    found: dict[str, str] = {}
    starts = {
        name: re.compile(rf"^[a-z][^;{{}}=()#]*\b{re.escape(name)}\([^;{{}}]*\)\s*{{", re.MULTILINE) for name in names
    }
    for folder in _KVM if names else ():
        for file in sorted((source.root / folder).rglob("*.c")):
            path = file.relative_to(source.root).as_posix()
            if path in compiled:
                continue
            text = without_comments(file.read_text(errors="replace"))
            found |= {name: path for name, start in starts.items() if name in text and start.search(text)}
    return found


def version(source: TreeSource) -> str:
    """Return the version in the tree's Makefile, for people and for `host_since`; "" if there is none."""
    try:
        text = (source.root / "Makefile").read_text(errors="replace")
    except OSError:
        return ""
    parts = dict(_NUMBER.findall(text))
    numbers = [parts[name] for name in ("VERSION", "PATCHLEVEL", "SUBLEVEL") if parts.get(name)]
    return ".".join(numbers) + parts.get("EXTRAVERSION", "") if numbers else ""


def host_since(number: str, major: int, minor: int) -> bool:
    """Return whether a version is MAJOR.MINOR or later; for host memory management, which is not compiled.

    :param number: the result of `version`
    """
    found = re.match(r"(\d+)\.(\d+)", number)
    return found is not None and (int(found[1]), int(found[2])) >= (major, minor)


def commit(source: TreeSource) -> str:
    """Return the commit of a git tree, followed by ``+`` if files that a build reads were changed; "" without git."""
    if source.commit:
        return source.commit
    # A folder inside another project's repository does not have that project's commit.
    if not (source.root / ".git").exists():
        return ""
    try:
        head = git(source.root, "rev-parse", "HEAD").strip()
        # Not `git diff`, which either writes the index or reports touched files as changed.
        changed = git(source.root, "status", "--porcelain", "--untracked-files=no", "--no-renames", "--", *_READ)
    except GitError:
        return ""
    return f"{head}+" if changed else head
