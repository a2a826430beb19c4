# SPDX-License-Identifier: GPL-2.0-only
"""The declaration of an operation: all that others know of its class, in one place.

A call of `declare` stands below each class. The classes are compiled dataclasses, which
cannot hold such constants themselves: mypyc makes fields of them.
"""

from typing import Final, Literal, TypeAlias

# What offset and size of an operation are multiples of: nothing, pages, the pages of a word of the dirty log.
Align: TypeAlias = Literal["byte", "page", "word"]
BYTE: Final = "byte"
PAGE: Final = "page"
WORD: Final = "word"

# The slots that an operation makes sense on: all; all but those of a guest_memfd; those with memory of the host's own;
# of these, those whose pages can be moved and logged; of these, those of no hugetlb.
Backings: TypeAlias = Literal["any", "mapped", "memory", "ram", "paged"]
ANY: Final = "any"
MAPPED: Final = "mapped"
MEMORY: Final = "memory"
RAM: Final = "ram"
PAGED: Final = "paged"

# What must be so where an operation stands: the slot exists; it was deleted; its dirty log is on;
# the dirty log is cleared by a call of its own (manual=on or set).
Need: TypeAlias = Literal["live", "deleted", "logged", "manual"]
LIVE: Final = "live"
DELETED: Final = "deleted"
LOGGED: Final = "logged"
MANUAL: Final = "manual"


class Declaration:
    """The declaration of an operation; the parameters are those of `declare`."""

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


# Of each class of operations.
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
    :param position: its number in binary records. A new class takes the next one, and no number changes:
        what engines and corpora keep as bytes would mean something else
    :param form: its line in a program. Words in lower case stand for themselves, SLOT+OFF is two values;
        the values are the fields of the class, in their order
    :param align: what its offset and size are multiples of, if it has such
    :param backings: the slots that it makes sense on, if it has a slot
    :param needs: what must be so where it stands
    :param checkers: the rules whose checkers interpret it: they tell it from others
    :param by_events: they tell it by what it does to the machine alone: notifications, new contents of frames
    :param title: what findings call it; by default the words of its line that stand for themselves
    :raises ValueError: another class has the position
    """
    for other, known in DECLARATIONS.items():
        if known.position == position:
            raise ValueError(f"{kind.__name__}: position {position} is {other.__name__}'s; take the next free one")
    title = title or " ".join(word for word in form.replace("cpuN", "cpu").split() if word.isalpha() and word.islower())
    DECLARATIONS[kind] = Declaration(position, form, align, backings, needs, checkers, by_events, title)


def declaration_of(kind: type) -> Declaration:
    """The declaration of a class of operations."""
    return DECLARATIONS[kind]


def title_of(kind: type) -> str:
    """Say what findings call operations of a class: as programs do; a block is none that is declared."""
    known = DECLARATIONS.get(kind)
    return kind.__name__.lower() if known is None else known.title
