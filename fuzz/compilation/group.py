# SPDX-License-Identifier: GPL-2.0-only
"""The modules that are compiled: all that making and judging programs imports, and all of candidate/."""

import ast
from functools import cache
from pathlib import Path
from typing import Final

from reference.compiled import choice as native
from reference.stores import plain_store

# The rest is found from these.
ROOTS: Final = (
    "fuzz/judging/differential.py",
    "fuzz/generation/generator.py",
    "fuzz/generation/mutations.py",
)
# Plain Python for good: modules that are imported before the choice, that find their data beside
# themselves, that give a class methods when it is there already, whose objects pass between processes (pickle),
# that compiled code must reach through Python, and enumerations.
PLAIN: Final = frozenset(
    {
        *(
            "reference/compiled/annotations.py",
            "reference/compiled/choice.py",
            "fuzz/distribution.py",
            "fuzz/suggestions.py",
        ),
        *("fuzz/judging/known.py", "fuzz/judging/cost.py", "fuzz/judging/finding.py"),
        *("reference/machine/words.py", "reference/stores.py", "reference/progress.py"),
        "fuzz/checkers/severity.py",
    }
)
PACKAGES: Final = ("reference", "candidate", "fuzz")


def sources() -> list[str]:
    """Sources of the group as paths below the checkout, sorted.

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
    """The modules of candidate/ that stay plain Python, and why: those that may store to tables without WRITE_ONCE.

    Compiled, such a store would not be seen (`reference.stores`). A class cannot be
    compiled on one that is not, so what imports such a module stays plain as well.
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
    """The sources of ours that a module imports."""
    package = tuple(source.split("/")[:-1])
    modules = imported_modules((native.HOME / source).read_bytes(), package)
    return [file for module in modules for file in files_of(module)]


@cache
def imported_modules(text: bytes, package: tuple[str, ...]) -> tuple[str, ...]:
    """Names of all modules that a source may import, those that only might be modules included.

    :param text: the source; parsing it is what takes the time here, so the answer is kept
    :param package: of the module
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
    """The source of a module, if it is ours: a file, or the ``__init__.py`` of a package."""
    path = Path(*module.split("."))
    if path.parts[0] not in PACKAGES:
        return []
    choices = (path.with_suffix(".py"), path / "__init__.py")
    return [choice.as_posix() for choice in choices if (native.HOME / choice).is_file()]
