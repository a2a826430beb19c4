# SPDX-License-Identifier: GPL-2.0-only
"""The code of the ports that has no counterpart in a C file; it is not mutated.

A statement is scaffolding if it names something that the C code does not have: the count of visited entries, the runs
of zeroes that walks skip, the numbers of callbacks, the events that report a walk to checkers. If a condition is
scaffolding, so is its body.
"""

import ast
from typing import Final

# Methods of the classes that are mutated.
METHODS: Final = frozenset({"__init__", "set_up", "dismantle", "load", "run_alone"})
# Variables, attributes and functions.
NAMES: Final = frozenset(
    {
        # Cost.
        "visited",
        # `reference.zero_runs`.
        "skips",
        "skip",
        "skipping",
        "skips_zeroes",
        "skips_without_leaf_cb",
        "skipping_callbacks",
        "zeroes_from",
        # Callbacks that are called by name.
        "number",
        "known",
        "walkers",
        # Data for reports, and the events of a walk.
        "walker_arg",
        "walk",
        "walk_table",
    }
)
# Inlined `reference.pgtable.Pgtable.load`, used while no other actor runs.
ALONE: Final = "alone"
# Functions of tlb.c that nothing calls here, since only later kernels and their trees use them. Unit tests check their
# instructions.
UNCALLED: Final = frozenset({"__kvm_tlb_flush_vmid_ipa_nsh__", "__kvm_tlb_flush_vmid_range__"})


def is_kernel_code(text: str, place: tuple[int, int]) -> bool:
    """Return whether the code at a place of a function's text is kernel code.

    :param place: line, from 1, and column
    """
    return not any(_covers(node, place) for node in ast.walk(ast.parse(text)) if _is_scaffolding(node))


def _is_scaffolding(node: ast.AST) -> bool:
    if not isinstance(node, ast.stmt) or isinstance(node, ast.FunctionDef):
        return False
    match node:
        case ast.If(test=head, body=body, orelse=[]) if not _names_scaffolding(head):
            # A condition whose body is all scaffolding.
            return all(_is_scaffolding(each) for each in body)
        case ast.If(test=head) | ast.While(test=head) | ast.For(iter=head):
            return _names_scaffolding(head)
        case _:
            return _names_scaffolding(node)


def _names_scaffolding(node: ast.AST) -> bool:
    for each in ast.walk(node):
        match each:
            case ast.Name(id=name) | ast.Attribute(attr=name) if name in NAMES:
                return True
    return False


def _covers(node: ast.AST, place: tuple[int, int]) -> bool:
    assert isinstance(node, ast.stmt)
    end = (node.end_lineno or 0, node.end_col_offset or 0)
    return (node.lineno, node.col_offset) <= place < end


class Shared(ast.NodeTransformer):
    """Loads entries only by `reference.pgtable.Pgtable.load`, as the C code has only one way to load."""

    def visit_IfExp(self, node: ast.IfExp) -> ast.AST:
        self.generic_visit(node)
        match node.test:
            case ast.Attribute(attr=name) if name == ALONE:
                return node.orelse
        return node
