# SPDX-License-Identifier: GPL-2.0-only
"""The declaration of an operation: everything that other modules know of its class, in one place.

A call of `declare` follows each class. The classes are compiled dataclasses, which
cannot hold such constants themselves: mypyc makes fields of them.
"""

from typing import Final, Literal, TypeAlias

# The alignment of offset and size of an operation: none, pages, the pages of one word of the dirty log.
Align: TypeAlias = Literal["byte", "page", "word"]
BYTE: Final = "byte"
PAGE: Final = "page"
WORD: Final = "word"

# The slots on which an operation makes sense: all; all except those of a guest_memfd; those with memory of the host's
# own; those of them whose pages can be moved and logged; and those of these without hugetlb.
Backings: TypeAlias = Literal["any", "mapped", "memory", "ram", "paged"]
ANY: Final = "any"
MAPPED: Final = "mapped"
MEMORY: Final = "memory"
RAM: Final = "ram"
PAGED: Final = "paged"

# Preconditions of an operation: the slot exists; it was deleted; its dirty log is on;
# the dirty log is cleared by a separate call (manual=on or set).
Need: TypeAlias = Literal["live", "deleted", "logged", "manual"]
LIVE: Final = "live"
DELETED: Final = "deleted"
LOGGED: Final = "logged"
MANUAL: Final = "manual"


class Declaration:
    """The declaration of an operation. The parameters are those of `declare`."""

    def __init__(
        self,
        position: int,
        form: str,
        align: Align,
        backings: Backings,
        needs: tuple[Need, ...],
        checkers: tuple[str, ...],
        by_events: bool,
        title: str,
    ) -> None:
        self.position = position
        self.form = form
        self.title = title
        self.align = align
        self.backings = backings
        self.needs = needs
        self.checkers = checkers
        self.by_events = by_events


# Operations that only some versions know have numbers in binary records from here on, and a mark there: random bytes
# and mutations do not make them.
OPTIONAL_FROM: Final = 192

# Keyed by the class of operations.
DECLARATIONS: Final[dict[type, Declaration]] = {}


def declare(
    kind: type,
    position: int,
    form: str,
    align: Align = BYTE,
    backings: Backings = ANY,
    needs: tuple[Need, ...] = (),
    checkers: tuple[str, ...] = (),
    by_events: bool = False,
    title: str = "",
) -> None:
    """Make a class an operation.

    :param kind: the class, a frozen dataclass
    :param position: its number in binary records. A new class takes the next one. No number ever changes, because
        the bytes that engines and corpora keep would change their meaning. An operation that only some versions know
        takes the next one from `OPTIONAL_FROM` on
    :param form: its line in a program. Words in lower case stand for themselves. SLOT+OFF stands for two values.
        The values are the fields of the class, in their order
    :param align: the alignment of its offset and size, if it has them
    :param backings: the slots on which it makes sense, if it has a slot
    :param needs: its preconditions
    :param checkers: the rules whose checkers distinguish it from other operations
    :param by_events: these checkers distinguish it only by its effect on the machine: notifications, new frame contents
    :param title: its name in findings; by default the words of its line that stand for themselves
    :raises ValueError: another class has the position
    """
    for other, known in DECLARATIONS.items():
        if known.position == position:
            raise ValueError(f"{kind.__name__}: position {position} is {other.__name__}'s; take the next free one")
    title = title or " ".join(word for word in form.replace("cpuN", "cpu").split() if word.isalpha() and word.islower())
    DECLARATIONS[kind] = Declaration(position, form, align, backings, needs, checkers, by_events, title)


def declaration_of(kind: type) -> Declaration:
    """Return the declaration of a class of operations."""
    return DECLARATIONS[kind]


def title_of(kind: type) -> str:
    """Return the name of a class of operations in findings, as in programs. A block has no declaration."""
    known = DECLARATIONS.get(kind)
    return kind.__name__.lower() if known is None else known.title
