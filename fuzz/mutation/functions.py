# SPDX-License-Identifier: GPL-2.0-only
"""The functions to mutate, as plain text that formatting and comments do not affect."""

import ast
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from candidate.registry.source_paths import source_of
from reference.mmu import Mmu
from reference.pgtable import Pgtable
from reference.tlb import AnyTlb, TlbNvhe, TlbVhe

from .scaffolding import METHODS, UNCALLED, Shared

# The classes to mutate, which hold the functions of the C files.
CLASSES: Final[tuple[type, ...]] = (Pgtable, Mmu, AnyTlb, TlbVhe, TlbNvhe)


@dataclass(frozen=True, slots=True)
class Function:
    """A function of the original.

    :param owner: name of its class
    :param text: its text without annotations, docstrings, comments and assertions
    """

    owner: str
    name: str
    text: str

    @property
    def title(self) -> str:
        """Return class and name."""
        return f"{self.owner}.{self.name}"


class _Plain(ast.NodeTransformer):
    """Removes parts that have no effect at run time."""

    def visit_arg(self, node: ast.arg) -> ast.arg:
        node.annotation = None
        return node

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.Assign | None:
        return None if node.value is None else ast.Assign([node.target], node.value, lineno=node.lineno)

    def visit_Assert(self, node: ast.Assert) -> None:
        return None

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.FunctionDef:
        node.returns = None
        if ast.get_docstring(node) is not None:
            node.body = node.body[1:]
        self.generic_visit(node)
        return node


def plain(node: ast.FunctionDef) -> str:
    """Return the text of a function; functions that differ only in parts without effect have the same text."""
    return ast.unparse(ast.fix_missing_locations(Shared().visit(_Plain().visit(node))))


def functions() -> list[Function]:
    """Return all functions, in the order of the files."""
    return [each for owner in CLASSES for each in of_class(owner.__name__, source_of(owner.__module__))]


def of_class(owner: str, source: Path) -> list[Function]:
    """Return the functions of a class.

    :param source: the file that defines it
    """
    tree = ast.parse(source.read_bytes())
    body = next(node.body for node in tree.body if isinstance(node, ast.ClassDef) and node.name == owner)
    there = [node for node in body if isinstance(node, ast.FunctionDef) and node.name not in METHODS | UNCALLED]
    functions = [Function(owner, node.name, plain(node)) for node in there]
    return [each for each in functions if "raise NotImplementedError" not in each.text]
