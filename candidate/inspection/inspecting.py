# SPDX-License-Identifier: GPL-2.0-only
"""Comparison of a candidate with the version that it derives from."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from reference.mmu import Mmu
from reference.pgtable import Pgtable
from reference.tlb import AnyTlb

from ..registry.errors import RefusedCandidateError
from .methods import Method, is_constant, methods
from .names import near_names
from .signatures import counts, exchanged, misfit_of_base, misfit_of_call, names_of, signature
from .sources import Site, method_line, shown_file, sites

# The C files of a candidate's classes.
_FILES: Final = ("pgtable.c", "mmu.c", "tlb.c")


@dataclass(frozen=True)
class Changes:
    """The changes that a candidate makes.

    :param bases: names of the versions that its classes derive from; one name if they are the same
    :param overrides: names of the methods that it overrides, in the order of its modules
    :param adds: names of the methods that it adds
    :param sets: names of the constants that it declares with other values
    :param files: for a name that it overrides in one C file and adds to another: these two files
    """

    candidate: str
    bases: tuple[str, ...]
    overrides: tuple[str, ...]
    adds: tuple[str, ...]
    sets: tuple[str, ...] = ()
    files: dict[str, tuple[str, str]] = field(default_factory=dict)

    def text(self) -> str:
        """Return one line for messages."""
        base = " and ".join(self.bases)
        if not self.overrides and not self.adds and not self.sets:
            return f"{self.candidate} changes nothing" + ("" if base == self.candidate else f" of {base}")
        on = f"{self.candidate} (on {base})"
        overridden = [f"{each} of {self.files[each][0]}" if each in self.files else each for each in self.overrides]
        added = [f"{each} to {self.files[each][1]}" if each in self.files else each for each in self.adds]
        sets = f"; sets {', '.join(self.sets)}" if self.sets else ""
        return f"{on} overrides {', '.join(overridden) or 'nothing'}; adds {', '.join(added) or 'nothing'}{sets}"


class Inspected:
    """One class of a candidate, compared with its base.

    :param own: the class
    :param registered: class -> name of the version that first registered it
    """

    def __init__(self, own: type, registered: dict[type, str]) -> None:
        self.own = own
        self.base = next((each for each in own.__mro__ if each in registered), object)
        self.base_name = registered.get(self.base, "nothing")
        # The candidate's own part: the class, and classes mixed in from elsewhere.
        self.classes = [each for each in own.__mro__ if each not in self.base.__mro__]
        self.inherited = methods(self.base.__mro__)
        mine = methods(self.classes)
        self.overridden = {name: each for name, each in mine.items() if name in self.inherited}
        self.added = {name: each for name, each in mine.items() if name not in self.inherited}
        # Constants, such as ``COUNTS_NON_ZERO``; declaring one again with the same value changes nothing.
        self.constants = [
            name
            for owner in self.classes
            for name, value in vars(owner).items()
            if is_constant(name, value) and getattr(self.base, name, value) != value
        ]

    @property
    def place(self) -> str:
        """Return ``file:line`` of the class."""
        line = method_line(self.own, "")
        return f"{shown_file(self.own)}:{line}" if line else shown_file(self.own)

    @property
    def changes(self) -> bool:
        """Return whether it replaces methods or constants of its base."""
        return bool(self.constants or self.overridden)


class Inspection:
    """A candidate, compared with its base.

    :param name: name of the candidate
    :param adds: names of added methods that its declaration lists
    :param registered: class -> name of the version that first registered it; the candidate's own classes only if
        another version registered them
    """

    def __init__(
        self, name: str, pgtable: type, mmu: type, tlb: type, adds: tuple[str, ...], registered: dict[type, str]
    ) -> None:
        self.name = name
        self.adds = adds
        self.parts = [Inspected(pgtable, registered), Inspected(mmu, registered), Inspected(tlb, registered)]
        if not self.parts[-1].classes:
            # Most candidates do not change tlb.c; then its class gives no base.
            self.parts.pop()

    def changes(self) -> Changes:
        """Return the changes that a candidate makes."""
        overridden = {name: file for each, file in zip(self.parts, _FILES, strict=False) for name in each.overridden}
        added = {name: file for each, file in zip(self.parts, _FILES, strict=False) for name in each.added}
        return Changes(
            self.name,
            tuple(dict.fromkeys(each.base_name for each in self.parts)),
            tuple(overridden),
            tuple(added),
            tuple(dict.fromkeys(name for each in self.parts for name in each.constants)),
            {name: (overridden[name], added[name]) for name in overridden if name in added},
        )

    def check(self) -> None:
        """Check that the candidate is what its author thinks.

        :raises RefusedCandidateError: it is not
        """
        foreign = [
            each
            for each, kind in zip(self.parts, (Pgtable, Mmu, AnyTlb), strict=False)
            if not issubclass(each.own, kind)
        ]
        if foreign:
            kinds = " and ".join(f"{each.place}: {each.own.__name__}" for each in foreign)
            wants = "first a class that derives from Pgtable, then one that derives from Mmu"
            wants += ", and tlb= one that derives from AnyTlb" if len(self.parts) > 2 else ""
            raise RefusedCandidateError(f"candidate {self.name!r} is refused: {kinds}; declare {wants}")
        wrong = [*self.misspelt(), *self.incompatible()]
        unknown = [name for name in self.adds if all(name not in each.added for each in self.parts)]
        added = [name for each in self.parts for name in each.added]
        for name in unknown:
            near = near_names(name, added)
            hint = f" (did you mean {near[0]!r}?)" if near else ""
            wrong.append(f"{self.parts[0].place}: adds= lists {name!r}, but it adds no method of this name{hint}")
        if not wrong:
            wrong = self.unchanged()
        if wrong:
            raise RefusedCandidateError(f"candidate {self.name!r} is refused: {'; '.join(wrong)}")

    def misspelt(self) -> Iterator[str]:
        """Report methods that were meant to override another."""
        for each in self.parts:
            for name, method in each.added.items():
                near = [] if name in self.adds else near_names(name, each.inherited)
                if near:
                    yield (
                        f"{method.place}: {name} overrides nothing, did you mean {' or '.join(near)}? "
                        f"use that name, or adds=({name!r},) in the declaration"
                    )

    def unchanged(self) -> list[str]:
        """Report a candidate whose own classes override nothing."""
        subclasses = [each for each in self.parts if each.classes]
        if not subclasses or any(each.changes for each in self.parts):
            return []
        first = next((each for each in subclasses if each.added), subclasses[0])
        wanted = f"functions of {' or '.join(each.base.__name__ for each in subclasses)} under their own names"
        return [f"{first.place}: it overrides nothing of {first.base_name}; override {wanted}"]

    def incompatible(self) -> Iterator[str]:
        """Report overrides that cannot take the calls of inherited code."""
        for each in self.parts:
            for name, method in each.overridden.items():
                why = self.misfit(method, each.inherited[name])
                if why:
                    yield f"{method.place}: {name} cannot take the calls of inherited code: {why}"

    def misfit(self, method: Method, base: Method) -> str:
        """Explain why an override cannot take a call of inherited code; "" if it can take all."""
        own, old = signature(method), signature(base)
        if own is None or old is None:
            return ""
        wrong_places = any(misfit_of_call(own, old, each, ()) for each in counts(old)) or exchanged(own, old)
        if not wrong_places and set(names_of(old)) <= own.parameters.keys():
            return ""
        calls = list(sites(self.sources(), method.name))
        live = [each for each in calls if self.runs(each) and (wrong_places or each.keywords)]
        if wrong_places and not calls:
            # A method without a visible caller is called as the base declares it.
            return misfit_of_base(own, old)
        for site in live:
            count = len(names_of(old)) if site.arguments is None else site.arguments
            why = misfit_of_call(own, old, count, site.keywords) or exchanged(own, old)
            if why:
                return f"{site.file}:{site.line} {why}"
        return ""

    def sources(self) -> tuple[type, ...]:
        """Return the classes whose code is inherited."""
        return tuple(dict.fromkeys(owner for each in self.parts for owner in each.base.__mro__ if owner is not object))

    def runs(self, site: Site) -> bool:
        """Return whether the call is in code that the candidate has not overridden."""
        if site.owner is None:
            return True
        for each in self.parts:
            if site.owner in each.base.__mro__:
                base = each.inherited.get(site.function)
                return site.function not in each.overridden and base is not None and base.owner is site.owner
        return False
