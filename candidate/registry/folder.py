# SPDX-License-Identifier: GPL-2.0-only
"""The versions that the modules of a folder declare: to add one, add a module with a declaration."""

import sys
from importlib import import_module
from pathlib import Path

from reference.compiled.choice import HOME

from .declaration import BUG, CANDIDATE, Bug, Candidate, Declared, declarations
from .errors import DeclarationError


def declared_in(package: str, kind: type[Declared], name: str) -> list[Declared]:
    """Return the declarations of all modules of a package, in their `order`.

    If two have the same order, or none, a version comes after the versions that it derives from. A module whose
    name begins with ``_`` is a helper of others and declares nothing.

    :param name: name of the declaration in its module
    :raises DeclarationError: a module has none, or a name is taken
    """
    folder = HOME.joinpath(*package.split("."))
    found: list[tuple[Declared, str]] = []
    for path in sorted(folder.glob("*.py")):
        if not path.name.startswith("_"):
            place = f"{path.relative_to(HOME).as_posix()}:1"
            module = import_module(f"{package}.{path.stem}")
            found += [(each, place) for each in declarations(module, kind, name, place)]
    found.sort(key=lambda pair: (pair[0].order, depth(pair[0].pgtable, pair[0].mmu, pair[0].tlb), pair[0].name))
    names: dict[str, str] = {}
    for each, place in found:
        if each.name in names:
            raise DeclarationError(place, f"{each.name!r} is the name of another version: {names[each.name]}")
        names[each.name] = place
    return [each for each, _ in found]


def declared_by(path: Path) -> str:
    """Return the name of the registered version or planted bug that a file of the folders declares; "" for other files.

    :param path: absolute, without symbolic links
    """
    for package, name in (("candidate", CANDIDATE), ("candidate.bugs", BUG)):
        if path.parent == HOME.joinpath(*package.split(".")):
            value = getattr(sys.modules.get(f"{package}.{path.stem}"), name, None)
            first = value[0] if type(value) is tuple else value
            return first.name if isinstance(first, Candidate | Bug) else ""
    return ""


def depth(*classes: type) -> int:
    """Return the number of classes that *classes* derive from: larger than that of any of their bases."""
    return sum(len(each.__mro__) for each in classes)
