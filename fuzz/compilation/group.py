# SPDX-License-Identifier: GPL-2.0-only
"""The compiled modules: everything imported to generate and judge programs, and all of candidate/."""

import ast
from functools import cache
from pathlib import Path
from typing import Final

from reference.compiled import choice as native
from reference.stores import plain_store

# The other modules are found from the imports of these.
ROOTS: Final = (
    "fuzz/judging/differential.py",
    "fuzz/generation/generator.py",
    "fuzz/generation/mutations.py",
)
# Always plain Python: modules that are imported before the choice, that work on files only, that find data files beside
# themselves, that add methods to an existing class or inspect classes, whose objects are pickled between processes,
# that compiled code must call through Python, and enumerations.
PLAIN: Final = frozenset(
    {
        *(
            "reference/compiled/annotations.py",
            "reference/compiled/choice.py",
            "reference/cache_folder.py",
            "fuzz/distribution.py",
            "fuzz/suggestions.py",
        ),
        *("fuzz/judging/known.py", "fuzz/judging/cost.py", "fuzz/judging/finding.py"),
        *("reference/machine/words.py", "reference/stores.py", "reference/progress_observer.py"),
        *("fuzz/checkers/severity.py", "fuzz/checkers/declared_methods.py"),
    }
)
PACKAGES: Final = ("reference", "candidate", "fuzz")


def sources() -> list[str]:
    """Return the sources of the group as paths below the checkout, sorted.

    Packages (``__init__.py``) stay interpreted: they are small, and hold registries.
    """
    found: set[str] = set()
    plain = PLAIN | interpreted().keys()
    left = [*ROOTS, *sorted(native.candidate_sources())]
    while left:
        source = left.pop()
        if source not in found:
            found.add(source)
            left += imported(source)
    plain |= {source for source in found if source.endswith("__init__.py") or source.startswith(native.UNCOMPILED)}
    return sorted(found - plain)


def interpreted() -> dict[str, str]:
    """Return the modules of candidate/ that stay plain Python, and why: they may store to tables without WRITE_ONCE.

    Compiled code would hide such a store (`reference.stores`). A compiled class cannot
    derive from an interpreted one, so modules that import such a module stay plain as well.
    """
    modules = sorted(native.candidate_sources())
    reasons: dict[str, str] = {}
    for source in modules:
        line = plain_store((native.HOME / source).read_bytes())
        if line:
            reasons[source] = f"line {line} may store to a table without WRITE_ONCE"
    uses = {source: imported(source) for source in modules}
    left = list(reasons)
    while left:
        plain = left.pop()
        for source in modules:
            if source not in reasons and plain in uses[source]:
                reasons[source] = f"it imports {plain}"
                left.append(source)
    return dict(sorted(reasons.items()))


def imported(source: str) -> list[str]:
    """Return our own sources that a module imports."""
    package = tuple(source.split("/")[:-1])
    modules = imported_modules((native.HOME / source).read_bytes(), package)
    return [file for module in modules for file in files_of(module)]


@cache
def imported_modules(text: bytes, package: tuple[str, ...]) -> tuple[str, ...]:
    """Return the names of all modules that a source imports, including names that may or may not be modules.

    :param text: the source; parsing takes most of the time here, so results are cached
    :param package: package of the module
    """
    found: list[str] = []
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) + 1 - node.level] if node.level else ()
            module = ".".join([*base, *([node.module] if node.module else [])])
            found += [module, *(f"{module}.{alias.name}" for alias in node.names)]
    return tuple(found)


def files_of(module: str) -> list[str]:
    """Return the source of a module, if it is ours: a file, or the ``__init__.py`` of a package."""
    path = Path(*module.split("."))
    if path.parts[0] not in PACKAGES:
        return []
    choices = (path.with_suffix(".py"), path / "__init__.py")
    return [choice.as_posix() for choice in choices if (native.HOME / choice).is_file()]
