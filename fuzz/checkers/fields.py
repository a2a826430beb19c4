# SPDX-License-Identifier: GPL-2.0-only
"""Texts for descriptor fields with wrong values, for reasons of findings: name, value and allowed values.

Names and encodings follow the Arm ARM, D8.3 to D8.5.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Final, TypeAlias

from reference.machine.descriptor import MEMATTR_NAMES, memattr
from reference.machine.stage1 import MAIR_NAMES, attribute_index

SH_NAMES: Final = {0b00: "non-shareable", 0b01: "reserved", 0b10: "outer shareable", 0b11: "inner shareable"}
S2AP_NAMES: Final = {0b00: "no access", 0b01: "read-only", 0b10: "write-only", 0b11: "read-write"}
XN_NAMES: Final = {0b00: "executable", 0b01: "at EL0 only", 0b10: "never executable", 0b11: "at EL1 only"}
INDEX_NAMES: Final = dict(enumerate(MAIR_NAMES))
# Single bits that KVM leaves clear.
STAGE2_BITS: Final = {11: "FnXS", 53: "XN[0]"}
STAGE1_BITS: Final = {11: "nG", 50: "GP", 51: "DBM", 52: "Contiguous", 53: "PXN"}

Names: TypeAlias = Mapping[int, str]


def field_text(name: str, width: int, value: int, allowed: Iterable[int], names: Names) -> str:
    """Return a field with its value and the allowed values: ``SH is 0b00 (non-shareable), allowed: 0b11 (...)``."""
    values = " or ".join([value_text(width, each, names) for each in allowed])
    return f"{name} is {value_text(width, value, names)}, allowed: {values}"


def value_text(width: int, value: int, names: Names) -> str:
    """Return a field value, with its meaning if known."""
    meaning = names.get(value, "")
    return f"{value:#0{width + 2}b}" + (f" ({meaning})" if meaning else "")


def set_bits(bits: int, names: Names) -> Iterator[str]:
    """Yield a text for each bit that is set and must be clear."""
    for bit in range(64):
        if bits >> bit & 1:
            name = f"{names[bit]}, bit {bit}," if bit in names else f"bit {bit}"
            yield f"{name} is 1, allowed: 0"


def type_text(entry: int, level: int) -> str:
    """Return the text for the lowest two bits of an entry that is neither table nor leaf at its level."""
    names = {0b01: "reserved", 0b11: "page"} if level == 3 else {0b01: "block", 0b11: "table"}
    return field_text(f"descriptor type at level {level}", 2, entry & 3, [0b11], names)


def shareability(entry: int) -> str:
    """Return the text for the SH field of a leaf that is not inner shareable."""
    return field_text("SH", 2, entry >> 8 & 3, [0b11], SH_NAMES)


def memory_type(entry: int, allowed: Iterable[int]) -> str:
    """Return the text for the MemAttr field of a stage-2 leaf."""
    return field_text("MemAttr", 4, memattr(entry), allowed, MEMATTR_NAMES)


def write_permission(entry: int) -> str:
    """Return the text for the S2AP field of a leaf that must not be writable."""
    return field_text("S2AP", 2, entry >> 6 & 3, [0b01, 0b00], S2AP_NAMES)


def execute_permission(entry: int) -> str:
    """Return the text for the XN field of a stage-2 leaf that must not be executable."""
    return field_text("XN", 2, entry >> 53 & 3, [0b10], XN_NAMES)


def attribute(entry: int, allowed: int) -> str:
    """Return the text for the AttrIndx field of a leaf of EL2's stage 1."""
    return field_text("AttrIndx", 3, attribute_index(entry), [allowed], INDEX_NAMES)


def one_bit(entry: int, bit: int, name: str, meanings: tuple[str, str]) -> str:
    """Return the text for a one-bit field that must have its other value.

    :param meanings: meanings of 0 and of 1
    """
    value = entry >> bit & 1
    return field_text(name, 1, value, [1 - value], dict(enumerate(meanings)))
