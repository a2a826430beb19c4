# SPDX-License-Identifier: GPL-2.0-only
"""Tables and questions as text: a file for `s2fuzz hardware check`, and differences as text.

::

    s2fuzz tables 1
    tables granule=4K ia=40 start=1 pa=48 fwb=off stage1=wb root=0x47000000
    0x47000008 0x0000000080000441
    ask read 0x40000000

``stage1`` is the memory type of stage 1, which is off: ``wb`` or ``device``. ``vtcr=``
may override VTCR_EL2 for QEMU. Then come each word that is not zero, by its physical
address, and each question: ``read``, ``write``, ``fetch`` or ``fetch-el0``. A
pointer to a table must point to one of these tables, or to 0x80000000 and above, where there is
no memory: below, QEMU has memory and devices that our walk does not know.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from reference.machine.arena import unwrap, wrap
from reference.machine.descriptor import INVALID, LEAF, TABLE, XN_BIT, XN_LOW_BIT, describe, kind

from . import layout
from .expectation import in_words
from .session import Difference
from .setting import Setting, fault_of
from .tables import ADDRESS_BITS, ASK_NAMES, Ask, Tables, address_of, question, split, word_index

HEADER: Final = "s2fuzz tables 1"
SIZES: Final = {"4K": 12, "16K": 14, "64K": 16}
_SIZE_NAMES: Final = {shift: name for name, shift in SIZES.items()}
_KEYS: Final = ("granule", "ia", "start", "pa", "fwb", "stage1", "root", "vtcr")
_MAX_FILE: Final = 16 << 20
# Bits 51:48 of the address in a descriptor of 64K pages.
_UPPER_ADDRESS: Final = 0xF << 12


class TablesError(Exception):
    """A file that is refused: file, line, the error, and what is allowed."""


def print_tables(tables: Tables, questions: list[int], comments: list[str]) -> str:
    """Return the file that asks these questions again."""
    lines = [HEADER, *[f"# {comment}" for comment in comments], f"tables {_settings(tables)}"]
    lines += [f"{address_of(index):#x} {unwrap(word):#018x}" for index, word in sorted(tables.entries.items())]
    for asked in questions:
        ask, ipa = split(asked)
        lines.append(f"ask {ASK_NAMES[ask]} {ipa:#x}")
    return "\n".join(lines) + "\n"


def _settings(tables: Tables) -> str:
    """Return the words of a ``tables`` line."""
    setting = tables.setting
    fields = [
        f"granule={_SIZE_NAMES[setting.page_shift]} ia={setting.ia_bits} start={setting.start_level}",
        f"pa={setting.pa_bits} fwb={'on' if setting.fwb else 'off'} stage1={'wb' if setting.cached else 'device'}",
        f"root={address_of(tables.root):#x}",
    ]
    if tables.vtcr != setting.vtcr():
        fields.append(f"vtcr={tables.vtcr:#x}")
    return " ".join(fields)


@dataclass(frozen=True)
class TablesFile:
    """A file that was read.

    :param name: name as given
    """

    name: str
    tables: Tables


def load(name: str) -> TablesFile:
    """Return the tables and questions of a file.

    :raises TablesError: it cannot be read or is refused
    """
    try:
        with Path(name).open("rb") as file:
            data = file.read(_MAX_FILE + 1)
    except (OSError, ValueError) as error:
        wrong = getattr(error, "strerror", None) or str(error)
        raise TablesError(f"{name}: {wrong}; name a file of tables") from None
    if len(data) > _MAX_FILE:
        raise TablesError(f"{name}: more than {_MAX_FILE >> 20}M; name a file of tables")
    return TablesFile(name, parse(data.decode("ascii", errors="replace"), name))


def parse(text: str, name: str) -> Tables:
    """Return the tables and questions of a text.

    :param name: name of the file, for messages
    :raises TablesError: the text is refused
    """
    tables: Tables | None = None
    begun = False
    for number, line in enumerate(text.splitlines(), 1):
        words = line.partition("#")[0].split()
        if not words:
            continue
        try:
            if not begun:
                if " ".join(words) != HEADER:
                    raise ValueError(f"{line.strip()[:40]!a}; allowed: {HEADER!r} as the first line")
                begun = True
            elif tables is None:
                tables = _tables(words)
            elif words[0] == "ask":
                tables.questions.append(_question(words))
            else:
                index, word = _entry(words)
                tables.entries[index] = word
        except ValueError as error:
            raise TablesError(f"{name}:{number}: {error}") from None
    if tables is None or not tables.questions:
        missing = repr(HEADER) if not begun else "a line 'tables ...'" if tables is None else "a line 'ask ...'"
        raise TablesError(f"{name}: the file ends early; allowed: {missing} and the rest")
    return tables


def _number(text: str, what: str) -> int:
    """Return a hexadecimal number of up to 64 bits.

    :raises ValueError: it is not one
    """
    if not re.fullmatch(r"0x[0-9a-fA-F]{1,16}", text):
        raise ValueError(f"{what} {text[:40]!a}; allowed: 0x and up to 16 hexadecimal digits")
    return int(text, 16)


def _tables(words: list[str]) -> Tables:
    form = " ".join(f"{key}=..." for key in _KEYS)
    given = dict(word.partition("=")[::2] for word in words[1:])
    if words[0] != "tables" or not set(_KEYS[:-1]) <= given.keys() <= set(_KEYS) or len(given) != len(words) - 1:
        raise ValueError(f"{' '.join(words)[:40]!a}; allowed: tables {form} (vtcr= may be left out)")
    for key, allowed in (("granule", SIZES), ("fwb", ("off", "on")), ("stage1", ("wb", "device"))):
        if given[key] not in allowed:
            raise ValueError(f"{key}={given[key][:40]!a}; allowed: {', '.join(allowed)}")
    for key in ("ia", "start", "pa"):
        if not re.fullmatch(r"[0-9]{1,2}", given[key]):
            raise ValueError(f"{key}={given[key][:40]!a}; allowed: a whole number")
    setting = Setting(
        SIZES[given["granule"]],
        int(given["ia"]),
        int(given["start"]),
        int(given["pa"]),
        given["fwb"] == "on",
        given["stage1"] == "wb",
    )
    wrong = fault_of(setting)
    if wrong:
        raise ValueError(wrong)
    root = _number(given["root"], "root")
    size = setting.root_pages << setting.page_shift
    # A root that is out of range is never read.
    if root >> setting.pa_bits == 0 and not _within(root, size):
        raise ValueError(f"root {root:#x}; allowed: {_where(size)}")
    return Tables(setting, word_index(root), _number(given["vtcr"], "vtcr") if "vtcr" in given else setting.vtcr())


def _within(address: int, size: int) -> bool:
    return layout.TABLES <= address <= layout.TABLES + layout.TABLES_SIZE - size and address % size == 0


def _where(size: int) -> str:
    end = layout.TABLES + layout.TABLES_SIZE
    return f"multiples of {size:#x} from {layout.TABLES:#x} to {end - size:#x}"


def _entry(words: list[str]) -> tuple[int, int]:
    if len(words) != 2 or not words[0].startswith("0x"):
        raise ValueError(f"{' '.join(words)[:40]!a}; allowed: ADDRESS WORD, or ask {'|'.join(ASK_NAMES)} ADDRESS")
    address = _number(words[0], "address")
    if not _within(address, 8):
        raise ValueError(f"address {address:#x}; allowed: {_where(8)}")
    return word_index(address), wrap(_number(words[1], "word"))


def _question(words: list[str]) -> int:
    if len(words) != 3 or words[1] not in ASK_NAMES:
        raise ValueError(f"{' '.join(words)[:40]!a}; allowed: ask {'|'.join(ASK_NAMES)} ADDRESS")
    ask = ASK_NAMES.index(words[1])
    ipa = _number(words[2], "address")
    if ipa >> ADDRESS_BITS or (ask >= Ask.FETCH and ipa & 3):
        aligned = ", a multiple of 4 to fetch from" if ask >= Ask.FETCH else ""
        raise ValueError(f"address {ipa:#x}; allowed: below 2^{ADDRESS_BITS}{aligned}")
    return question(ask, ipa)


def path(tables: Tables, ipa: int) -> list[tuple[int, int, int]]:
    """Return the path to an address: level, index and word of each entry, up to the first that is not a table."""
    setting = tables.setting
    granule = setting.granule
    regime = tables.regime
    found: list[tuple[int, int, int]] = []
    if ipa >> setting.ia_bits:
        return found
    level = setting.start_level
    index = tables.root + (ipa >> granule.level_shift(level))
    while level < 4 and 0 <= index < layout.TABLES_SIZE >> 3:
        word = tables.entries.get(index, 0)
        found.append((level, index, word))
        if kind(word, level, granule) != TABLE:
            break
        level += 1
        index = word_index(regime.address(word)) + (ipa >> granule.level_shift(level) & granule.entries - 1)
    return found


def show(difference: Difference) -> list[str]:
    """Return a difference as lines: the question, then the path through the tables as each side sees it."""
    tables = difference.tables
    ask, ipa = split(difference.asked)
    ours = in_words(difference.asked, difference.expected)
    theirs = in_words(difference.asked, difference.answer)
    lines = [
        f"{ASK_NAMES[ask]} of {ipa:#x}: our walk says {ours}; QEMU says {theirs}",
        f"    {_settings(tables)}",
    ]
    steps = path(tables, ipa)
    for name, answer in (("our walk", difference.expected), ("QEMU", difference.answer)):
        lines.append(f"    {name}:")
        last = fault_level(difference.asked, answer)
        lines += [
            f"        level {level}, {address_of(index):#x}: {decoded(word, level, tables.setting)}"
            for level, index, word in steps
            if level <= last
        ]
        lines.append(f"        {in_words(difference.asked, answer)}")
    return lines


def fault_level(asked: int, answer: int) -> int:
    """Return the level of a fault; 3 if there is no fault."""
    found = re.search(r"level (\d)$", in_words(asked, answer))
    return int(found.group(1)) if found else 3


def decoded(word: int, level: int, setting: Setting) -> str:
    """Return an entry as text and as a number."""
    granule = setting.granule
    # Without 52-bit addresses these bits must not be shown as address bits.
    meant = word & ~_UPPER_ADDRESS if setting.page_shift == 16 and setting.pa_bits <= 48 else word
    text = describe(meant, level, granule)
    what = kind(word, level, granule)
    if what == LEAF and word & XN_LOW_BIT:
        text += f", execute only at EL{1 if word & XN_BIT else 0}"
    return text if what == INVALID else f"{text} [{unwrap(word):#x}]"
