# SPDX-License-Identifier: GPL-2.0-only
"""Detection of code that may store to tables past the kernel layer, from its source. Never compiled itself.

A version may write ``self.mem[ptep] = 0``, as C can, where the kernel has ``WRITE_ONCE()``. Only a
`reference.machine.words.Words` sees a plain store. It makes each read slower and works only in plain Python,
since compiled code writes to a list directly. Therefore the source decides. Code that uses ``mem`` and ``words``,
the names of table memory, only to read entries in place cannot store to it. All other uses, such as
an alias or an argument, count as stores even if they are not.
"""

import ast
import inspect
import sys
from collections.abc import Iterable
from importlib.machinery import EXTENSION_SUFFIXES
from types import FunctionType, ModuleType
from typing import Final

# The names of table memory: `reference.pgtable.Pgtable.mem`, `words` of `reference.services.state`.
MEMORY: Final = ("mem", "words")
# Our own code, and modules that never use tables.
TRUSTED: Final = ("reference", "fuzz", "builtins", "typing", "abc")

_once: dict[type, bool] = {}
_together: dict[tuple[type, ...], bool] = {}


def plain_store(source: str | bytes) -> int:
    """Return the line of the first use of table memory that may be a plain store; 0 if there is none.

    :raises SyntaxError: the source is not Python
    """
    lines: list[int] = []
    harmless: set[ast.AST] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Load):
            harmless.add(node.value)
        elif isinstance(node, ast.Attribute) and node.attr in MEMORY and node not in harmless:
            lines.append(node.lineno)
        elif isinstance(node, ast.Constant) and node.value in MEMORY:
            # getattr(), setattr() and similar.
            lines.append(node.lineno)
    return min(lines, default=0)


def writes_once(*classes: type) -> bool:
    """Return whether classes, and what they call outside of `reference`, store only through the kernel layer."""
    known = _together.get(classes)
    if known is None:
        known = _together[classes] = all(_class_writes_once(each) for each in classes)
    return known


def _class_writes_once(each: type) -> bool:
    known = _once.get(each)
    if known is None:
        modules = {base.__module__ for base in each.__mro__}
        known = _modules_write_once(modules, {"candidate", *[_package(name) for name in modules]})
        _once[each] = known
    return known


def _modules_write_once(names: Iterable[str], packages: set[str]) -> bool:
    """Return whether these modules, and the modules of *packages* that they use, have no plain store."""
    left, seen = sorted(names), set(names)
    while left:
        name = left.pop()
        if _package(name) in TRUSTED:
            continue
        module = sys.modules.get(name)
        # Modules that `s2fuzz build` compiled have none.
        if module is None or not (_compiled(module) or _module_writes_once(module)):
            return False
        for used in _used(module):
            if used not in seen and _package(used) in packages:
                seen.add(used)
                left.append(used)
    return True


def _module_writes_once(module: ModuleType) -> bool:
    try:
        return not plain_store(inspect.getsource(module))
    except (OSError, TypeError, SyntaxError):
        # Without a source nothing is known.
        return False


def _compiled(module: ModuleType) -> bool:
    return str(getattr(module, "__file__", "")).endswith(tuple(EXTENSION_SUFFIXES))


def _used(module: ModuleType) -> set[str]:
    """Return the names of the modules that define a module's top-level names."""
    found: set[str] = set()
    for value in vars(module).values():
        if isinstance(value, ModuleType):
            found.add(value.__name__)
        elif isinstance(value, type | FunctionType):
            found.add(value.__module__)
    return found


def _package(name: str) -> str:
    return name.split(".")[0]
