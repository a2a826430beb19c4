# SPDX-License-Identifier: GPL-2.0-only
"""No test replaces a constant or function that compiled code has inlined or calls directly: it would not notice."""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Final

from candidate.inspection.sources import parsed
from fuzz.compilation.group import imported_modules, sources

ROOT: Final = Path(__file__).parents[2]
COMPILED: Final = {source.removesuffix(".py").replace("/", "."): source for source in sources()}


@cache
def fixed_names(module: str) -> set[str]:
    """Return the names of a compiled module that compiled code does not look up when it runs.

    They are the constants, classes and undecorated functions that the module defines, or imports from another one.
    """
    package = tuple(module.split(".")[:-1])
    found = set[str]()
    for node in parsed(ROOT / COMPILED[module]).body:
        if isinstance(node, ast.ClassDef) or (isinstance(node, ast.FunctionDef) and not node.decorator_list):
            found.add(node.name)
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            found |= {node.target.id} if "Final" in ast.unparse(node.annotation) else set()
        elif isinstance(node, ast.ImportFrom):
            origin = imported_modules(ast.unparse(node).encode(), package)[0]
            known = fixed_names(origin) if origin in COMPILED else set()
            found |= {alias.asname or alias.name for alias in node.names if alias.name in known}
    return found


def replaced(text: bytes) -> Iterator[tuple[str, str]]:
    """Return the module and name of each ``setattr(module, "NAME", ...)`` and ``setattr("module.NAME", ...)``."""
    tree = ast.parse(text)
    modules = {
        alias.asname or alias.name: f"{node.module}.{alias.name}"
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and not node.level
        for alias in node.names
    }
    # Tests that are skipped in compiled form may replace anything.
    bodies = [node for node in tree.body if not any("CHOICE.mypyc" in text for text in decorators(node))]
    for node in (each for body in bodies for each in ast.walk(body)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "setattr":
            match node.args:
                case [ast.Name(id=owner), ast.Constant(value=str(name)), _]:
                    yield modules.get(owner, ""), name
                case [ast.Constant(value=str(place)), _]:
                    module, _, name = place.rpartition(".")
                    yield module, name


def decorators(node: ast.stmt) -> list[str]:
    """Return the decorators of a function."""
    return [ast.unparse(each) for each in node.decorator_list] if isinstance(node, ast.FunctionDef) else []


def unnoticed(text: bytes) -> list[str]:
    """Return the replaced names of a test that compiled code does not look up."""
    return [f"{module}.{name}" for module, name in replaced(text) if module in COMPILED and name in fixed_names(module)]


def test_compiled_code_notices_what_tests_replace() -> None:
    wrong = {str(path): unnoticed(path.read_bytes()) for path in (ROOT / "tests/unit").rglob("*.py")}
    assert {path: names for path, names in wrong.items() if names} == {}, (
        "replace a file, an environment variable, or what a module calls that is not compiled (tests/README.md)"
    )


def test_names_that_compiled_code_has_fixed() -> None:
    text = (
        b"from fuzz.generation import generator, shortages\nfrom fuzz.judging import verdict\n"
        b'm.setattr(shortages, "_SHORT", 0)\nm.setattr("fuzz.generation.shortages.may_fail", f)\n'
        b'm.setattr(generator, "with_shortage", f)\nm.setattr(generator, "random", f)\nm.setattr(verdict, "has", f)\n'
        b'@mark.skipif(native.CHOICE.mypyc)\ndef test_x(m): m.setattr(shortages, "_SHORT", 0)\n'
    )
    found = ["fuzz.generation.shortages._SHORT", "fuzz.generation.generator.with_shortage"]
    assert sorted(unnoticed(text)) == sorted([*found, "fuzz.generation.shortages.may_fail"])
