# SPDX-License-Identifier: GPL-2.0-only
"""The methods of plain or compiled classes, under the names that their authors wrote."""

import inspect
from collections.abc import Iterable
from dataclasses import dataclass
from types import GetSetDescriptorType, MemberDescriptorType
from typing import Final

from .sources import method_line, shown_file

# Names that Python or mypyc adds to a class, and the constructor; no kernel function has these names.
_PYTHON: Final = frozenset(
    {
        *dir(type("Empty", (), {})),
        *("__internal_mypyc_setup", "__setstate__", "__getstate__", "__mypyc_attrs__", "__annotations__"),
        *("__slots__", "__orig_bases__", "__parameters__", "__firstlineno__", "__static_attributes__"),
    }
)


@dataclass(frozen=True)
class Method:
    """A method or constant of one of a candidate's classes.

    :param owner: the class whose body has it
    :param name: as its author wrote it, even if Python mangled it
    """

    owner: type
    name: str
    value: object

    @property
    def place(self) -> str:
        """Return ``file:line`` of its definition, as far as known."""
        code = getattr(inspect.unwrap(self.value) if callable(self.value) else self.value, "__code__", None)
        line = getattr(code, "co_firstlineno", 0) or method_line(self.owner, self.name)
        return f"{shown_file(self.owner)}:{line}" if line else shown_file(self.owner)


def written(owner: type, name: str) -> str:
    """Return a name as a class's author wrote it: Python mangles two leading underscores without trailing ones."""
    prefix = f"_{owner.__name__.lstrip('_')}__"
    return name[len(prefix) - 2 :] if name.startswith(prefix) else name


def is_method(value: object) -> bool:
    """Return whether an entry of a class's dictionary can be called on its instances."""
    if isinstance(value, (type, GetSetDescriptorType, MemberDescriptorType, property)):
        return False
    return callable(value) or isinstance(value, (staticmethod, classmethod))


def methods(classes: Iterable[type]) -> dict[str, Method]:
    """Return the methods of classes by name without the constructor; earlier classes take precedence."""
    found: dict[str, Method] = {}
    for owner in classes:
        for name, value in vars(owner).items():
            if name not in _PYTHON and is_method(value):
                found.setdefault(written(owner, name), Method(owner, written(owner, name), value))
    return found


def is_constant(name: str, value: object) -> bool:
    """Return whether an entry of a class's dictionary is a value that its author gave the class."""
    return name not in _PYTHON and not is_method(value)
