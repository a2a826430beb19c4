# SPDX-License-Identifier: GPL-2.0-only
"""Facts: tuples of names, levels and bucketed counts, never of addresses; and their text."""

from typing import Final, TypeAlias

from reference.machine.descriptor import (
    AF_BIT,
    KIND_NAMES,
    LEAF,
    READ_BIT,
    TYPE_BIT,
    VALID_BIT,
    WRITE_BIT,
    XN_BIT,
    is_cacheable,
    kind,
)
from reference.machine.granule import Granule

Fact: TypeAlias = tuple[str | int, ...]

# First words of the facts that hold entries, as `compared_bits` leaves them.
ENTRY: Final = "entry"
HYP_ENTRY: Final = "hyp entry"
ACCESS: Final = "access"
MEETS: Final = "meets"
MEETS_LAST: Final = "meets at its end"

# What of an entry is told apart: valid, type, memory type, rights, access flag.
COMPARED: Final = VALID_BIT | TYPE_BIT | 0xF << 2 | READ_BIT | WRITE_BIT | AF_BIT | XN_BIT
# Stands for an entry that is neither valid nor 0: what break-before-make leaves.
BROKEN: Final = 2
# In which levels there are blocks is no matter here.
_GRANULE: Final = Granule(12)


def bucket(count: int, most: int) -> int:
    """0, 1, 2 for 2-3, 3 for 4-7 ... and *most* for all that is more."""
    return min(count.bit_length(), most)


def compared_bits(entry: int) -> int:
    """What facts have of an entry."""
    return entry & COMPARED if entry & VALID_BIT else BROKEN if entry else 0


def label(entry: int, level: int) -> str:
    """What `compared_bits` left of an entry, for people."""
    if entry & VALID_BIT and kind(entry, level, _GRANULE) == LEAF:
        rights = ("r" if entry & READ_BIT else "-") + ("w" if entry & WRITE_BIT else "-")
        rights += "-" if entry & XN_BIT else "x"
        return f"{rights}{'' if is_cacheable(entry) else ' uncached'}{'' if entry & AF_BIT else ' old'}"
    return _other(entry, level)


def _other(entry: int, level: int) -> str:
    """As `label`, where it does not matter what a leaf grants."""
    if not entry & VALID_BIT:
        return "broken" if entry else "empty"
    return KIND_NAMES[kind(entry, level, _GRANULE)]


def _change(old: int, new: int, level: int, moved: int) -> str:
    """What became of an entry; *moved*: it has another address."""
    if _other(old, level) != "leaf" or _other(new, level) != "leaf":
        return f"{label(old, level)} -> {label(new, level)}"
    found = [
        sign + name
        for sign, bits in (("+", new & ~old), ("-", old & ~new))
        for name, bit in (("r", READ_BIT), ("w", WRITE_BIT), ("xn", XN_BIT), ("af", AF_BIT))
        if bits & bit
    ]
    if is_cacheable(old) != is_cacheable(new):
        found.append("cached" if is_cacheable(new) else "uncached")
    if moved:
        found.append("moved")
    return f"leaf -> leaf {' '.join(found)}"


def text_of(fact: Fact) -> str:
    """A fact for people. What differs in nothing that it tells is the same."""
    what = fact[0]
    if what in (ENTRY, HYP_ENTRY):
        _, context, walker, *numbers = fact
        where = f"{context}: {walker}".strip()
        level, old, new, moved = map(int, numbers)
        if what == HYP_ENTRY:
            return f"{what}: {where}: {_other(old, level)} -> {_other(new, level)} L{level}"
        return f"{what}: {where}: {_change(old, new, level, moved)} L{level}"
    if what in (ACCESS, MEETS, MEETS_LAST):
        _, first, second, *numbers = fact
        level, entry = map(int, numbers)
        if what == ACCESS:
            return f"{what}: {first}: {second}: {label(entry, level)} L{level}"
        text = _other(entry, level)
        if text == "leaf":
            text += f"{' writable' if entry & WRITE_BIT else ''}{'' if entry & AF_BIT else ' old'}"
        return f"{what}: {first}: {text} L{level}"
    return ": ".join([str(part).strip() for part in fact if part != ""])
