# SPDX-License-Identifier: GPL-2.0-only
"""Each kind of operation has a runner, and checkers distinguish exactly the operations that declare it."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass, make_dataclass, replace
from pathlib import Path
from typing import Any

import pytest

import candidate
from fuzz.checkers.registry import CHECKERS
from fuzz.execution.executor import Executor
from fuzz.execution.unhandled import UnhandledOperationError
from fuzz.language import operations
from fuzz.language.operations import (
    OPERATIONS,
    GuestAccess,
    HypMap,
    OnCpu,
    SlotCreate,
    SlotMove,
    SlotRange,
    TableMap,
    TablePlace,
    TableRange,
    declaration_of,
)
from fuzz.language.text import parse
from fuzz.reports.watched import run_all
from reference.compiled import choice as native

ROOT = Path(__file__).parents[3]
PROGRAM = parse("s2fuzz 1\nvm\nslot a size=64K backing=anon\n")
# Operations that `fuzz.language.operations.fail_of` treats specially.
FAILING = {GuestAccess, SlotCreate, SlotMove, TableMap, HypMap}


def asking() -> dict[str, set[str]]:
    """Return, for each module of `fuzz.checkers`, the checkers that use its code.

    A checker uses the code of its own module and of its base classes' modules; functions are used by the checkers of
    the modules that import them.
    """
    found: dict[str, set[str]] = {}
    for path in (ROOT / "fuzz" / "checkers").glob("*.py"):
        module = f"fuzz.checkers.{path.stem}"
        names = {each.rule.name for each in CHECKERS if any(base.__module__ == module for base in each.__mro__)}
        found.setdefault(path.stem, set()).update(names)
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and node.level == 1 and any(each.name.islower() for each in node.names):
                found.setdefault(str(node.module), set()).update(names)
    return found


def told_apart() -> Iterator[tuple[type, str]]:
    """Yield each class that a checker's module tests with `isinstance`, including subclasses, with the checker."""
    checkers = asking()
    for path in sorted((ROOT / "fuzz" / "checkers").glob("*.py")):
        tree, names = ast.parse(path.read_text()), checkers[path.stem]
        for node in ast.walk(tree):
            if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name):
                continue
            asked: set[type] = set()
            if node.func.id == "isinstance":
                for part in ast.walk(node.args[1]):
                    # The class is named directly, or as an attribute of its module.
                    word = part.id if isinstance(part, ast.Name) else getattr(part, "attr", "")
                    kind = getattr(operations, word, None)
                    asked |= {each for each in OPERATIONS if isinstance(kind, type) and issubclass(each, kind)}
            elif node.func.id == "fail_of":
                asked = set(FAILING)
            for each in asked:
                for name in names:
                    yield each, name


def test_checkers_distinguish_exactly_the_declared_operations() -> None:
    found: dict[type, set[str]] = {}
    for kind, name in told_apart():
        found.setdefault(kind, set()).add(name)
    wrong = []
    for kind in OPERATIONS:
        declared = declaration_of(kind)
        asked = found.get(kind, set())
        named = set() if declared.by_events else set(declared.checkers)
        file = f"declare({kind.__name__}, ...) in {kind.__module__.replace('.', '/')}.py"
        if asked - named:
            more = ", and remove by_events=True" if declared.by_events else ""
            why = "the code of these checkers tests for the class"
            wrong.append(f"{file}: put {each_of(asked - named)} into checkers={more}: {why}")
        if named - asked:
            wrong.append(
                f"{file}: remove {each_of(named - asked)} from checkers=: their code does not test for the class; "
                "or declare by_events=True if these checkers see the effect of the operation"
            )
    assert not wrong, "\n".join(wrong)


def each_of(names: set[str]) -> str:
    """Return names for a message."""
    return ", ".join(sorted(names))


@dataclass(frozen=True, slots=True)
class NewOfSlot:
    """An operation without a runner."""

    slot: str = "a"


def new_operations() -> list[Any]:
    """Return one operation without a runner for each family; compiled classes cannot have interpreted subclasses."""
    found: list[Any] = [NewOfSlot()]
    if not native.CHOICE.mypyc:
        place = [("slot", str, "a"), ("offset", int, 0)]
        found.append(make_dataclass("NewOnCpu", place, bases=(OnCpu,), frozen=True)(0))
        for base, values in ((SlotRange, ("a", 0, 4096)), (TableRange, ("a", 0, 4096)), (TablePlace, ("a", 0))):
            found.append(make_dataclass(f"New{base.__name__}", [], bases=(base,), frozen=True)(*values))
    return found


NEW = new_operations()


@pytest.mark.parametrize("op", NEW, ids=lambda op: type(op).__name__)
def test_an_operation_without_a_runner_is_an_error(op: Any) -> None:
    executor = Executor(candidate.get("original"), replace(PROGRAM, operations=(op,)))
    executor.create()
    # Compiled code refuses an object of an unknown class.
    with pytest.raises((TypeError, AttributeError) if native.CHOICE.mypyc else UnhandledOperationError):
        executor.step(0)


def test_an_operation_without_a_runner_is_an_internal_error() -> None:
    original = candidate.get("original")
    program = replace(PROGRAM, operations=(NEW[-1],))
    (run,) = run_all([("p.s2", program)], original, [candidate.get("v5.12.9")])
    assert run.word == "error"
    assert type(NEW[-1]).__name__ in run.error or native.CHOICE.mypyc
