# SPDX-License-Identifier: GPL-2.0-only
"""Sources of classes, read without running them: the place of a method, its parameters, its callers.

Compiled classes have no code objects; sources work for plain and compiled classes alike.
"""

import ast
import inspect
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

from reference.compiled.choice import HOME

from ..registry.source_paths import shown_module, shown_path, source_of

# Code below candidates that calls their methods from outside of their classes.
_CALLERS: Final = ("reference/*.py", "fuzz/execution/*.py")


@dataclass(frozen=True)
class Site:
    """A place that calls a method of this name, or passes it on.

    :param owner: the class that contains the place; None: none of the given classes
    :param function: the method that contains the place; "" outside of classes
    :param arguments: number of positional arguments; None: the method is passed on, not called
    :param keywords: names of the keyword arguments
    """

    file: str
    line: int
    owner: type | None
    function: str
    arguments: int | None
    keywords: tuple[str, ...]


def source_file(owner: type) -> Path:
    """Return the source of the module that defines a class."""
    return source_of(owner.__module__)


def shown_file(owner: type) -> str:
    """Return the file name of a class for messages: relative to the checkout or current directory, else the module."""
    return shown_module(owner.__module__)


@cache
def parsed(path: Path) -> ast.Module:
    """Return the syntax tree of a source; an empty one if it cannot be read."""
    try:
        return ast.parse(path.read_bytes())
    except (OSError, SyntaxError, ValueError):
        return ast.Module(body=[], type_ignores=[])


def class_body(owner: type) -> ast.ClassDef | None:
    """Return the definition of a class."""
    for node in ast.walk(parsed(source_file(owner))):
        if isinstance(node, ast.ClassDef) and node.name == owner.__name__:
            return node
    return None


def definition(owner: type, name: str) -> ast.FunctionDef | None:
    """Return the definition of a method."""
    body = class_body(owner)
    for node in body.body if body is not None else []:
        if isinstance(node, ast.FunctionDef) and node.name == name:
            return node
    return None


def method_line(owner: type, name: str) -> int:
    """Return the line of a method, or with "" the line of its class; 0 if it is not found."""
    found: ast.FunctionDef | ast.ClassDef | None = definition(owner, name) if name else class_body(owner)
    return 0 if found is None else found.lineno


def source_signature(owner: type, name: str) -> inspect.Signature | None:
    """Return the parameters of a method in its source, *self* included; None if it is not found."""
    found = definition(owner, name)
    if found is None:
        return None
    arguments = found.args
    kind = inspect.Parameter
    ordered = [*arguments.posonlyargs, *arguments.args]
    required = len(ordered) - len(arguments.defaults)
    parameters: list[inspect.Parameter] = []
    for at, each in enumerate(ordered):
        how = kind.POSITIONAL_ONLY if at < len(arguments.posonlyargs) else kind.POSITIONAL_OR_KEYWORD
        parameters.append(kind(each.arg, how, default=kind.empty if at < required else None))
    if arguments.vararg is not None:
        parameters.append(kind(arguments.vararg.arg, kind.VAR_POSITIONAL))
    for each, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True):
        parameters.append(kind(each.arg, kind.KEYWORD_ONLY, default=kind.empty if default is None else None))
    if arguments.kwarg is not None:
        parameters.append(kind(arguments.kwarg.arg, kind.VAR_KEYWORD))
    return inspect.Signature(parameters)


def sites(owners: tuple[type, ...], name: str) -> Iterator[Site]:
    """Return the sites that call or pass on a method of this name: in these classes, and in outside callers.

    A call that unpacks a list has no known argument count and is left out.
    """
    modules: dict[Path, dict[str, type]] = {}
    for owner in owners:
        modules.setdefault(source_file(owner), {})[owner.__name__] = owner
    outside = [path for pattern in _CALLERS for path in sorted(HOME.glob(pattern)) if path not in modules]
    for path in [*modules, *outside]:
        classes = modules.get(path, {})
        for node in parsed(path).body:
            if isinstance(node, ast.ClassDef) and path in modules and node.name not in classes:
                continue
            owner_of_node = classes.get(node.name) if isinstance(node, ast.ClassDef) else None
            for part in node.body if isinstance(node, ast.ClassDef) else [node]:
                function = part.name if isinstance(part, ast.FunctionDef) else ""
                yield from _sites_in(part, path, owner_of_node, function, name)


def _sites_in(part: ast.AST, path: Path, owner: type | None, function: str, name: str) -> Iterator[Site]:
    file = shown_path(path)
    called: set[int] = set()
    for node in ast.walk(part):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == name:
            called.add(id(node.func))
            spread = any(isinstance(each, ast.Starred) for each in node.args)
            # A call through super() concerns the base, not the override.
            upwards = isinstance(node.func.value, ast.Call) and ast.unparse(node.func.value) == "super()"
            if not spread and not upwards:
                keywords = tuple(each.arg for each in node.keywords if each.arg is not None)
                yield Site(file, node.lineno, owner, function, len(node.args), keywords)
    for node in ast.walk(part):
        if isinstance(node, ast.Attribute) and node.attr == name and id(node) not in called:
            yield Site(file, node.lineno, owner, function, None, ())
