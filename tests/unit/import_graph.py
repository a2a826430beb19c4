# SPDX-License-Identifier: GPL-2.0-only
"""The imports among our modules, and the layers that the table of packages gives them."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

ROOT: Final = Path(__file__).parents[2]
TREES: Final = ("reference", "candidate", "fuzz")


class Import(NamedTuple):
    """An import of one module by another.

    :param runs: whether it is executed at import time: not in a function, not for type annotations alone
    """

    user: str
    used: str
    runs: bool


def layers(text: str) -> list[str]:
    """Return the packages that a page lists, from the bottom up."""
    return re.findall(r"^\| `((?:reference|candidate|fuzz)[a-z_.]*)` \|", text, re.MULTILINE)


def modules(root: Path) -> dict[str, Path]:
    """Return all modules of the three trees by name."""
    found: dict[str, Path] = {}
    for tree in TREES:
        for path in (root / tree).rglob("*.py"):
            found[".".join(path.relative_to(root).with_suffix("").parts).removesuffix(".__init__")] = path
    return found


def imports(root: Path) -> Iterator[Import]:
    """Yield every import of one of our modules by another."""
    ours = modules(root)
    for name, path in ours.items():
        package = name if path.name == "__init__.py" else name.rpartition(".")[0]
        for node, runs in statements(ast.parse(path.read_text()), True):
            for used in targets(node, package):
                module = used if used in ours else used.rpartition(".")[0]
                if module in ours and module != name:
                    yield Import(name, module, runs)


def statements(node: ast.AST, runs: bool) -> Iterator[tuple[ast.Import | ast.ImportFrom, bool]]:
    """Yield the import statements of a tree, each with whether it is executed at import time."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import | ast.ImportFrom):
            yield child, runs
        typing = isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test)
        function = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        yield from statements(child, runs and not typing and not function)


def targets(node: ast.Import | ast.ImportFrom, package: str) -> list[str]:
    """Return the absolute names that a statement imports.

    :param package: the package that contains the statement
    """
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    parts = package.split(".")
    base = parts[: len(parts) - node.level + 1] if node.level else []
    base += [node.module] if node.module else []
    return [".".join([*base, alias.name]) for alias in node.names]


def layer_of(module: str, order: list[str]) -> str:
    """Return the package of the table that contains a module; "" for none."""
    return max((each for each in order if f"{module}.".startswith(f"{each}.")), key=len, default="")
