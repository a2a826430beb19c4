# SPDX-License-Identifier: GPL-2.0-only
"""The declaration at the end of a candidate's or planted bug's module."""

from dataclasses import dataclass, field
from types import ModuleType
from typing import Final, NamedTuple, TypeVar

from reference.kvm_main import KvmMain
from reference.mmu import Mmu
from reference.pgtable import Pgtable
from reference.tlb import AnyTlb, TlbNvhe, TlbVhe

from ..tree import PREFIX
from .errors import DeclarationError

# The name of the declaration in a module of each kind.
CANDIDATE: Final = "CANDIDATE"
BUG: Final = "BUG"
EXAMPLE: Final = 'CANDIDATE = Candidate("my-patch", PgtableMyPatch, MmuMyPatch, "where it comes from")'
# Default order of a declaration: after all that specify one.
LAST: Final = 1_000_000


@dataclass(frozen=True)
class Candidate:
    """A pair (pgtable.c, mmu.c) under a name, and the tlb.c below it.

    :param name: as on the command line; a version from a file is named by the file instead
    :param origin: one line: what it is and where it comes from
    :param adds: methods that it adds on purpose, although their names are close to inherited names
    :param order: position among the registered versions; versions without one come last, in the order of their names
    :param main: kvm_main.c beneath them: the port of the original's, or a tree's own
    :param content: for a kernel tree: changes with the sources that are compiled
    :param tlb: tlb.c: the port of the original's, or a class that derives from it
    :param nvhe: tlb.c of a hypervisor below a kernel at EL1
    :param caps: capabilities of its machines besides those that programs request (`reference.capabilities`)
    """

    name: str
    pgtable: type[Pgtable]
    mmu: type[Mmu]
    origin: str
    adds: tuple[str, ...] = ()
    order: int = field(default=LAST, compare=False)
    main: type[KvmMain] = KvmMain
    content: str = ""
    tlb: type[AnyTlb] = TlbVhe
    nvhe: type[AnyTlb] = TlbNvhe
    caps: int = 0

    @property
    def parts(self) -> tuple[type[Pgtable], type[Mmu], type[AnyTlb]]:
        """Return its classes, one for each C file under test."""
        return self.pgtable, self.mmu, self.tlb

    @property
    def is_tree(self) -> bool:
        """Return whether it is a kernel tree, whose C code runs."""
        return self.name.startswith(PREFIX)

    def __post_init__(self) -> None:
        # A plain string results if the author forgot the comma of a one-element tuple.
        listed = (self.adds,) if isinstance(self.adds, str) else tuple(self.adds)
        object.__setattr__(self, "adds", listed)


class Bug(NamedTuple):
    """A planted bug.

    :param name: as on the command line
    :param base: name of the version that it is planted in, and that it is compared with
    :param signature: of the regression that the bug causes
    :param origin: one line: what is wrong and where it comes from
    :param order: position among the bugs: the more programs the random engine needs, the later
    :param tlb: as in `Candidate`
    """

    name: str
    pgtable: type[Pgtable]
    mmu: type[Mmu]
    base: str
    signature: str
    origin: str
    order: int = LAST
    tlb: type[AnyTlb] = TlbVhe

    @property
    def checker(self) -> str:
        """Return the name of the checker that is expected to report it."""
        return self.signature.partition(":")[0]


Declared = TypeVar("Declared", Candidate, Bug)


def declarations(module: ModuleType, kind: type[Declared], name: str, place: str) -> tuple[Declared, ...]:
    """Return the declarations of a module: one, or a tuple of them.

    :param kind: `Candidate` or `Bug`
    :param name: `CANDIDATE` or `BUG`
    :param place: ``file:line`` for error messages
    :raises DeclarationError: there is none, or it cannot be used
    """
    if not hasattr(module, name):
        example = EXAMPLE if name == CANDIDATE else f"{name} = {kind.__name__}(...)"
        raise DeclarationError(place, f"no declaration: end the module with {example}")
    value = getattr(module, name)
    found: tuple[Declared, ...] = value if type(value) is tuple else (value,)
    if not found:
        raise DeclarationError(place, f"{name} is empty: give it a {kind.__name__}(...)")
    for each in found:
        if not isinstance(each, kind):
            found_type = type(each).__name__
            raise DeclarationError(place, f"{name} has the type {found_type}: it must be a {kind.__name__}(...)")
        wrong = misuse(each)
        if wrong:
            raise DeclarationError(place, f"{name}: {wrong}")
    return found


def misuse(declared: Candidate | Bug) -> str:
    """Explain what is wrong with the fields of a declaration, without examining its classes; "" if nothing is."""
    texts = {"name": declared.name, "origin": declared.origin}
    for name, text in texts.items():
        if not isinstance(text, str) or not text.strip():
            return f"{name} is {text!a}: it must be a non-empty string"
    if "/" in declared.name or declared.name.endswith(".py") or declared.name == "all" or " " in declared.name:
        return f"name is {declared.name!a}: it must consist of letters, digits and '-'"
    for name, value in (("pgtable", declared.pgtable), ("mmu", declared.mmu), ("tlb", declared.tlb)):
        if not isinstance(value, type):
            return f"{name} is {value!a}: it must be a class"
    return ""
