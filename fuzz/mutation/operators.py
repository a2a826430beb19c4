# SPDX-License-Identifier: GPL-2.0-only
"""The changes that turn a function into mutants.

cosmic-ray provides the changes of expressions. It has none that leaves out a statement, so this module adds one.
"""

import ast
import copy
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

from .scaffolding import is_kernel_code

LEFT_OUT: Final = "LeaveOut"
# Operators of cosmic-ray that change nothing here, or choose at random.
_UNFIT: Final = ("ExceptionReplacer", "RemoveDecorator", "VariableReplacer", "VariableInserter")
# Operators whose results are not integers or too large to compute, and identity of numbers, which C does not
# have: kernel code cannot contain them.
_NO_KERNEL: Final = ("_Div", "_Pow", "_Is", "_IsNot")


class Change(NamedTuple):
    """A change of a function.

    :param operator: name of the operator that makes it
    :param place: line and column of the changed code in the text of the function
    :param text: text of the whole changed function
    """

    operator: str
    place: tuple[int, int]
    text: str


def changes(text: str) -> Iterator[Change]:
    """Make all changes of kernel code in a function that yield different code, each result once.

    :param text: as returned by `fuzz.mutation.functions.plain`
    :raises ImportError: cosmic-ray is not installed
    """
    seen = {text}
    for change in (*left_out(text), *of_expressions(text)):
        try:
            tree = ast.parse(change.text)
        except SyntaxError:
            continue
        normal = ast.unparse(tree)
        if normal not in seen:
            seen.add(normal)
            if is_kernel_code(text, change.place):
                yield change._replace(text=normal)


def of_expressions(text: str) -> Iterator[Change]:
    """Apply every operator of cosmic-ray wherever it fits."""
    from cosmic_ray.operators.provider import OperatorProvider

    provider = OperatorProvider()
    there = nodes(text)
    for name in provider:
        if name in _UNFIT or name.endswith(_NO_KERNEL):
            continue
        operator = provider[name]()
        for number, node in enumerate(there):
            for index, (start, _) in enumerate(operator.mutation_positions(node)):
                yield Change(name, start, applied(text, number, operator, index))


def applied(text: str, number: int, operator: Any, index: int) -> str:
    """Return a text after a change of one node of its tree; the change may replace the node.

    :param number: index of the node among `nodes`
    :param operator: operator of cosmic-ray
    :param index: index of the change, among those of this node
    """
    there = nodes(text)
    tree, node = there[0], there[number]
    above = node.parent
    new = operator.mutate(node, index)
    if new is not node and above is not None:
        above.children = [new if each is node else each for each in above.children if each is not node or new]
    code: str = tree.get_code()
    return code


def nodes(text: str) -> list[Any]:
    """Return all nodes of the parso tree of a text, its root first."""
    from cosmic_ray.ast import ast_nodes, get_ast

    return [*ast_nodes(get_ast(text))]


def left_out(text: str) -> Iterator[Change]:
    """Leave out each statement that is not needed to give all names values."""
    tree = ast.parse(text)
    for at, node in enumerate(ast.walk(tree)):
        if isinstance(node, ast.stmt) and dispensable(node, tree):
            other = copy.deepcopy(tree)
            gone = next(each for number, each in enumerate(ast.walk(other)) if number == at)
            yield Change(LEFT_OUT, (node.lineno, node.col_offset), ast.unparse(_Without(gone).visit(other)))


class _Without(ast.NodeTransformer):
    """Replaces one statement by ``pass``."""

    def __init__(self, gone: ast.AST) -> None:
        self.gone = gone

    def visit(self, node: ast.AST) -> Any:
        return ast.Pass() if node is self.gone else self.generic_visit(node)


def dispensable(node: ast.stmt, tree: ast.AST) -> bool:
    """Return whether a statement can be left out: a call, a change of state, or an if statement."""
    match node:
        case ast.Expr(value=ast.Call()) | ast.AugAssign() | ast.If():
            return True
        case ast.Assign(targets=[ast.Attribute()]):
            return True
        case ast.Assign(targets=[ast.Name(id=name)]):
            # An earlier value remains.
            stores = [each.lineno for each in ast.walk(tree) if isinstance(each, ast.Name) and stored(each, name)]
            return min(stores) < node.lineno
    return False


def stored(name: ast.Name, wanted: str) -> bool:
    """Return whether an occurrence of a name is an assignment to *wanted*."""
    return name.id == wanted and isinstance(name.ctx, ast.Store)
