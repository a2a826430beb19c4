# SPDX-License-Identifier: GPL-2.0-only
"""Mistakes in a candidate's Python, as distinct from crashes of kernel code.

A C compiler would refuse a patch that uses an unbound name, a missing module, a
call with the wrong arguments, an attribute that no class has, or a value of the
wrong Python type. Such an exception says nothing about the patch, so nothing is
judged. A failure on None (a NULL pointer) or outside the arena, and a structure
taken for another one (a ``void *``), are crashes of the kernel: findings.
"""

import ast
import re
from types import TracebackType
from typing import Final

from candidate import Candidate
from candidate.inspection.sources import method_line, parsed, shown_file, source_file
from candidate.registry.source_paths import shown_module
from reference.pgtable import Pgtable
from reference.services.structs import kvm_s2_mmu

from ..suggestions import suggestion

# The arguments of a call do not fit the callee: the messages of Python and mypyc.
_CALL: Final = re.compile(
    r"takes (no|exactly|at most|at least|from|\d+) .*argument|takes no arguments|missing (a |\d+ )?required|"
    r"unexpected keyword argument|multiple values for|expected (at (least|most) )?\d+ arguments?, got|"
    r"positional-only argument|invalid keyword argument"
)
_CALLED: Final = re.compile(r"(?:(\w+)\.)?(\w+)\(\)")
# A value is of another class than compiled code expects: the message of mypyc.
_OTHER: Final = re.compile(r"(?:\w+\.)*(\w+) object expected; got (?:\w+\.)*(\w+)")
_NONE: Final = re.compile(r"\bNone(Type)?\b")
# Always a mistake of the author of the line.
_OF_THE_LINE: Final = (NameError, ImportError, SyntaxError, SystemExit)


class CandidateMistakeError(Exception):
    """A candidate's Python has a mistake. One line: its file and line, the error, the remedy.

    :param number: of the session's program that met it; 0: there is none
    """

    def __init__(self, text: str, number: int = 0) -> None:
        super().__init__(text)
        self.number = number


def mistake_of(error: BaseException, version: Candidate) -> str:
    """Return the line of a `CandidateMistakeError`; "" if an exception is no mistake in the Python of *version*.

    :param error: raised while kernel code ran
    """
    if not isinstance(error, (*_OF_THE_LINE, AttributeError, TypeError)):
        return ""
    place, last_is_own = own_place(error.__traceback__, version)
    if isinstance(error, _OF_THE_LINE):
        return mistake_text(place, error) if last_is_own else ""
    text = str(error)
    if isinstance(error, TypeError) and _CALL.search(text):
        return mistake_text(place or called_place(text, version), error)
    if _NONE.search(text) or confuses_structures(error, version):
        return ""
    return mistake_text(place, error)


def mistake_at_start(error: BaseException, version: Candidate) -> str:
    """Do as `mistake_of` for an exception of a constructor. That is no kernel code, so every exception counts."""
    place, _ = own_place(error.__traceback__, version)
    return mistake_text(place, error) or mistake_of(error, version)


def mistake_text(place: str, error: BaseException) -> str:
    """Return the line of a mistake; "" where *place* is ""."""
    if not place:
        return ""
    about = f"{error}{suggestion(error)}".strip()
    wrong = " ".join(f"{type(error).__name__}: {about}".split()) if about else type(error).__name__
    return f"{place}: {wrong}; a mistake in the candidate's Python, nothing was judged; fix that line"


def own_place(trace: TracebackType | None, version: Candidate) -> tuple[str, bool]:
    """Return ``file:line`` of the innermost code of *version* that an exception passed, and whether that raised it."""
    modules = own_modules(version)
    place = ""
    last = False
    while trace is not None:
        module: str = trace.tb_frame.f_globals.get("__name__", "")
        last = module in modules or (module.startswith("candidate.") and not module.startswith("candidate.tree."))
        if last:
            place = f"{shown_module(module)}:{trace.tb_lineno}"
        trace = trace.tb_next
    return place, last


def own_modules(version: Candidate) -> set[str]:
    """Return the modules of the classes of *version*, except those of the original."""
    classes = [each for part in version.parts for each in part.__mro__]
    own = {each.__module__ for each in classes if each.__module__.partition(".")[0] not in ("reference", "builtins")}
    # The modules that run a kernel tree are ours.
    return {module for module in own if not module.startswith("candidate.tree.")}


def called_place(text: str, version: Candidate) -> str:
    """Return ``file:line`` of the method of *version* that an exception's text names as called; "" if it is none."""
    found = _CALLED.search(text)
    if found is None:
        return ""
    own = own_modules(version)
    for each in (cls for part in version.parts for cls in part.__mro__):
        if each.__module__ in own and found.group(2) in vars(each) and found.group(1) in (None, each.__name__):
            return f"{shown_file(each)}:{method_line(each, found.group(2)) or 1}"
    return ""


def confuses_structures(error: BaseException, version: Candidate) -> bool:
    """Return whether a walker took its argument (a ``void *``) for another structure.

    Plain Python notices when the walker uses a field that only the other structure has, and compiled code when it
    calls the walker.
    """
    kind = type(getattr(error, "obj", None))
    fields: dict[str, set[str]] = {}
    for each in (Pgtable, kvm_s2_mmu, kind, *version.pgtable.__mro__):
        fields.update(structures(each))
    passed = {name: known for name, known in fields.items() if name.endswith("_data") or name == "kvm_s2_mmu"}
    if isinstance(error, TypeError):
        found = _OTHER.fullmatch(str(error))
        return found is not None and found.group(1) in passed and found.group(2) in passed
    others = [field for name, known in passed.items() if name != kind.__name__ for field in known]
    return kind.__name__ in passed and getattr(error, "name", "") in others


def structures(beside: type) -> dict[str, set[str]]:
    """Return the fields of the structures (classes with only a constructor) in the module of a class."""
    found: dict[str, set[str]] = {}
    if beside.__module__ == "builtins":
        return found
    for node in parsed(source_file(beside)).body:
        if isinstance(node, ast.ClassDef):
            functions = [each for each in node.body if isinstance(each, ast.FunctionDef)]
            if [each.name for each in functions] == ["__init__"]:
                found[node.name] = {
                    target.attr
                    for target in ast.walk(functions[0])
                    if isinstance(target, ast.Attribute) and isinstance(target.ctx, ast.Store)
                }
    return found
