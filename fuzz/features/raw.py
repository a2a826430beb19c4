# SPDX-License-Identifier: GPL-2.0-only
"""Raw features, which are tuples of names, levels and bucketed counts without addresses, and their text."""

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

# No number is below -1 (`fuzz.features.hash_table`).
RawFeature: TypeAlias = tuple[str | int, ...]

# First words of raw features that hold entries, reduced by `compared_bits`.
ENTRY: Final = "entry"
HYP_ENTRY: Final = "hyp entry"
ACCESS: Final = "access"
MEETS: Final = "meets"
MEETS_LAST: Final = "meets at its end"

# The bits of entries that are compared: valid, type, memory type, rights, access flag.
COMPARED: Final = VALID_BIT | TYPE_BIT | 0xF << 2 | READ_BIT | WRITE_BIT | AF_BIT | XN_BIT
# Represents an entry that is neither valid nor 0, as break-before-make leaves it.
BROKEN: Final = 2
# Any granule will do: the levels that have blocks do not matter here.
_GRANULE: Final = Granule(12)


def bucket(count: int, most: int) -> int:
    """Return 0, 1, 2 for 2-3, 3 for 4-7 and so on, at most *most*."""
    return min(count.bit_length(), most)


def compared_bits(entry: int) -> int:
    """Return the bits of an entry that raw features contain."""
    return entry & COMPARED if entry & VALID_BIT else BROKEN if entry else 0


def label(entry: int, level: int) -> str:
    """Return the text of an entry reduced by `compared_bits`."""
    if entry & VALID_BIT and kind(entry, level, _GRANULE) == LEAF:
        rights = ("r" if entry & READ_BIT else "-") + ("w" if entry & WRITE_BIT else "-")
        rights += "-" if entry & XN_BIT else "x"
        return f"{rights}{'' if is_cacheable(entry) else ' uncached'}{'' if entry & AF_BIT else ' old'}"
    return _other(entry, level)


def _other(entry: int, level: int) -> str:
    """Return the text of an entry without the rights of a leaf."""
    if not entry & VALID_BIT:
        return "broken" if entry else "empty"
    return KIND_NAMES[kind(entry, level, _GRANULE)]


def _change(old: int, new: int, level: int, moved: int) -> str:
    """Return the text of a change of an entry; *moved*: its address changed."""
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


def text_of(raw: RawFeature) -> str:
    """Return the text of a raw feature. Raw features with the same text count as one."""
    what = raw[0]
    if what in (ENTRY, HYP_ENTRY):
        _, context, walker, *numbers = raw
        where = f"{context}: {walker}".strip()
        level, old, new, moved = map(int, numbers)
        if what == HYP_ENTRY:
            return f"{what}: {where}: {_other(old, level)} -> {_other(new, level)} L{level}"
        return f"{what}: {where}: {_change(old, new, level, moved)} L{level}"
    if what in (ACCESS, MEETS, MEETS_LAST):
        _, first, second, *numbers = raw
        level, entry = map(int, numbers)
        if what == ACCESS:
            return f"{what}: {first}: {second}: {label(entry, level)} L{level}"
        text = _other(entry, level)
        if text == "leaf":
            text += f"{' writable' if entry & WRITE_BIT else ''}{'' if entry & AF_BIT else ' old'}"
        return f"{what}: {first}: {text} L{level}"
    return ": ".join([str(part).strip() for part in raw if part != ""])
