# SPDX-License-Identifier: GPL-2.0-only
"""The declaration that a module of a candidate, or of a planted bug, ends in."""

from dataclasses import dataclass, field
from types import ModuleType
from typing import Final, NamedTuple, TypeVar

from reference.kvm_main import KvmMain
from reference.mmu import Mmu
from reference.pgtable import Pgtable
from reference.tlb import AnyTlb, TlbNvhe, TlbVhe

from ..tree import PREFIX

# The name that a module of each kind gives its declaration.
CANDIDATE: Final = "CANDIDATE"
BUG: Final = "BUG"
EXAMPLE: Final = 'CANDIDATE = Candidate("my-patch", PgtableMyPatch, MmuMyPatch, "where it comes from")'
# Place of a declaration that names none: behind all that do.
LAST: Final = 1_000_000


@dataclass(frozen=True)
class Candidate:
    """A pair (pgtable.c, mmu.c) under a name, and tlb.c below it.

    :param name: as on the command line; a version from a file goes by the name of the file instead
    :param origin: one line: what it is and where it comes from
    :param adds: methods that it adds on purpose, although their names are close to those of inherited ones
    :param order: place among the registered versions; those without one come last, in the order of their names
    :param main: kvm_main.c beneath them: the port of the original's, or a tree's own
    :param content: of a kernel tree: changes with what is compiled of it
    :param tlb: tlb.c: the port of the original's, or a class that derives from it
    :param nvhe: the same of a hypervisor below a kernel at EL1
    :param caps: what its machines have beside what programs ask for (`reference.capabilities`)
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
        """Its classes, one for each C file under test."""
        return self.pgtable, self.mmu, self.tlb

    @property
    def is_tree(self) -> bool:
        """True for a kernel tree, whose C code runs."""
        return self.name.startswith(PREFIX)

    def __post_init__(self) -> None:
        # One name alone is what a forgotten comma makes of a tuple.
        listed = (self.adds,) if isinstance(self.adds, str) else tuple(self.adds)
        object.__setattr__(self, "adds", listed)


class Bug(NamedTuple):
    """A planted bug.

    :param name: as on the command line
    :param base: name of the version that it is planted in, and is to be judged against
    :param signature: of the regression that is its own
    :param origin: one line: what is wrong and where that comes from
    :param order: place among the bugs: the more programs the random engine needs, the later
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
        """The name of the checker that is to report it."""
        return self.signature.partition(":")[0]


Declared = TypeVar("Declared", Candidate, Bug)


class DeclarationError(ValueError):
    """A module declares no version, or not as it must; one line.

    :param place: ``file:line``
    """

    def __init__(self, place: str, wrong: str) -> None:
        super().__init__(f"{place}: {wrong}")
        self.place = place


def declarations(module: ModuleType, kind: type[Declared], name: str, place: str) -> tuple[Declared, ...]:
    """The declarations of a module: one, or a tuple of them.

    :param kind: `Candidate` or `Bug`
    :param name: `CANDIDATE` or `BUG`
    :param place: ``file:line`` to name where something is wrong
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
            raise DeclarationError(place, f"{name} is a {type(each).__name__}: it must be a {kind.__name__}(...)")
        wrong = misuse(each)
        if wrong:
            raise DeclarationError(place, f"{name}: {wrong}")
    return found


def misuse(declared: Candidate | Bug) -> str:
    """Say what is wrong with the fields of a declaration, without a look at its classes; "" for nothing."""
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
