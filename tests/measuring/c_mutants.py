# SPDX-License-Identifier: GPL-2.0-only
"""Small changes of C functions, to measure the checkers on kernel trees.

tree-sitter finds the places: it needs no preprocessor, and accepts C as kernel developers write it.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import tree_sitter_c
from tree_sitter import Language, Node, Parser

from fuzz.mutation.mutants import in_turns

# Replacements of an operator.
OPERATORS: Final = {
    "&&": ("||",),
    "||": ("&&",),
    "==": ("!=",),
    "!=": ("==",),
    "<": ("<=", ">="),
    ">": (">=", "<="),
    "<=": ("<", ">"),
    ">=": (">", "<"),
    "+": ("-",),
    "-": ("+",),
    "&": ("|",),
    "|": ("&",),
    "<<": (">>",),
}


@dataclass(frozen=True)
class CMutant:
    """A function with one change.

    :param file: path below the top of the tree
    :param function: name of the changed function
    :param line: line of the change, from 1
    :param operator: mutation operator that made it
    :param start: offset of the replaced bytes; *end*: offset after them
    :param old: the replaced bytes; *new*: their replacement
    """

    file: str
    function: str
    line: int
    operator: str
    start: int
    end: int
    old: str
    new: str

    def applied(self, source: bytes) -> str:
        """Return the text of the file with the change."""
        return (source[: self.start] + self.new.encode() + source[self.end :]).decode()

    def __str__(self) -> str:
        old = " ".join(self.old.split())
        return f"{self.file}:{self.line} {self.function} ({self.operator}): {old} => {self.new or 'nothing'}"


def mutants(file: str, source: bytes) -> list[CMutant]:
    """Return all mutants of the functions of a C file."""
    root = Parser(Language(tree_sitter_c.language())).parse(source).root_node
    return [mutant for function in functions(root) for mutant in changes(file, source, *function)]


def functions(node: Node) -> Iterator[tuple[str, Node]]:
    """Yield the functions below a node: names and bodies."""
    if node.type == "function_definition":
        body, name = node.child_by_field_name("body"), node.child_by_field_name("declarator")
        while name is not None and name.type != "identifier":
            # The declarator of a pointer contains another one without a field name.
            name = name.child_by_field_name("declarator") or next(iter(name.named_children), None)
        if body is not None and name is not None:
            yield text(name), body
        return
    for child in node.children:
        yield from functions(child)


def changes(file: str, source: bytes, function: str, node: Node) -> Iterator[CMutant]:
    """Yield the mutants of a function, below a node of its body."""

    def changed(operator: str, place: Node, new: str, end: int = 0) -> CMutant:
        start, stop = place.start_byte, end or place.end_byte
        old = source[start:stop].decode()
        return CMutant(file, function, place.start_point.row + 1, operator, start, stop, old, new)

    if node.type == "expression_statement":
        yield changed("delete statement", node, ";")
    elif node.type == "if_statement":
        condition = node.child_by_field_name("condition")
        assert condition is not None
        yield changed("negate", condition, f"(!{text(condition)})")
        if node.child_by_field_name("alternative") is None:
            yield changed("delete statement", node, ";")
    elif node.type == "binary_expression":
        sign = node.child_by_field_name("operator")
        assert sign is not None
        for new in OPERATORS.get(text(sign), ()):
            yield changed("replace operator", sign, new)
    elif node.type == "unary_expression" and text(node).startswith("!"):
        yield changed("negate", node, "", node.start_byte + 1)
    elif node.type == "number_literal":
        yield changed("change number", node, f"({text(node)} + 1)")
    elif node.type in ("true", "false"):
        yield changed("negate", node, "false" if node.type == "true" else "true")
    for child in node.children:
        yield from changes(file, source, function, child)


def text(node: Node) -> str:
    """Return the source text of a node."""
    assert node.text is not None
    return node.text.decode()


def ordered(there: Sequence[CMutant], seed: int) -> list[CMutant]:
    """Return mutants in random order, one of each line first."""
    return in_turns(there, lambda mutant: (mutant.file, mutant.line), repr, seed)
