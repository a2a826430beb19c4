# SPDX-License-Identifier: GPL-2.0-only
"""Random tables, and questions about their interesting addresses.

A tree is grown from the root, with a few entries per table. Questions target the ends of its
branches: leaves of any kind, invalid and reserved entries, tables
whose address is out of range or holds no memory, and tables entered a second time.
"""

import random
from typing import Final

from reference.machine.arena import wrap
from reference.machine.descriptor import AF_BIT, TYPE_BIT, VALID_BIT, address_field
from reference.machine.granule import MAX_LEVELS

from . import layout
from .setting import Setting, all_shapes, output_sizes
from .tables import ADDRESS_BITS, Ask, NoRoomError, TableMemory, Tables, address_of, question

# Tables per guest, besides the root.
MAX_TABLES: Final = 9
_MEMATTR: Final = 0xF << 2
_SHAREABILITY: Final = 3 << 8
# MemAttr encodings that are not reserved, without and with FWB.
_MEMATTRS: Final = (
    tuple(attr << 2 for attr in range(16) if attr < 4 or attr & 3),
    tuple(attr << 2 for attr in (0, 1, 2, 3, 5, 6, 7)),
)
_SHAREABILITIES: Final = (0 << 8, 2 << 8, 3 << 8)
# Instructions are aligned.
_FETCH_MASK: Final = -4

# The kinds of entries.
TABLE: Final = 0
LEAF: Final = 1
WRONG_TYPE: Final = 2
INVALID: Final = 3
FAR_TABLE: Final = 4
NO_TABLE: Final = 5
SHARED_TABLE: Final = 6
ANYTHING: Final = 7
_KINDS: Final = (
    *(TABLE for _ in range(8)),
    *(LEAF for _ in range(10)),
    *(WRONG_TYPE, WRONG_TYPE, INVALID, INVALID, FAR_TABLE, NO_TABLE, SHARED_TABLE, ANYTHING),
)
_LAST_KINDS: Final = (*(LEAF for _ in range(10)), WRONG_TYPE, INVALID, ANYTHING)


class TablesGenerator:
    """A stream of tables.

    :param seed: same seed, same tables
    """

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.shapes = all_shapes()

    def setting(self) -> Setting:
        """Draw the setting of one guest's translation."""
        rng = self.random
        shift, start, ia_bits = rng.choice(self.shapes)
        pa_bits = rng.choice(output_sizes(shift, start, ia_bits))
        bits = rng.getrandbits(3)
        return Setting(shift, ia_bits, start, pa_bits, bits & 4 != 0, bits & 3 != 0)

    def make(self, memory: TableMemory) -> Tables:
        """Store the tables of one guest, and return them with questions.

        :raises NoRoomError: there is no room; nothing has been stored
        """
        setting = self.setting()
        return Tree(self.random, setting, memory).tables


class Tree:
    """Builder of one guest's tables."""

    def __init__(self, rng: random.Random, setting: Setting, memory: TableMemory) -> None:
        self.random = rng
        self.setting = setting
        self.memory = memory
        self.granule = setting.granule
        # The address field of an entry.
        self.field = self.granule.address_mask
        self.memattrs = _MEMATTRS[setting.fwb]
        root = memory.take(setting.root_pages, setting.page_shift)
        self.tables = Tables(setting, root, setting.vtcr())
        # First words of tables, to which further entries may point.
        self.made = [root]
        self.questions: dict[int, None] = {}
        # Tables to fill: level, first word, guest address, log2 of the number of entries.
        left = [(setting.start_level, root, 0, setting.root_bits)]
        while left:
            level, first, base, bits = left.pop()
            left += self.fill(level, first, base, bits)
        self.ask_elsewhere()
        self.tables.questions = list(self.questions)
        memory.load(self.tables.entries)
        if setting.pa_bits < 48 and not rng.getrandbits(6):
            # Put the root's own address out of range.
            self.tables.root |= 1 << rng.randrange(setting.pa_bits, 48) >> 3

    def fill(self, level: int, first: int, base: int, bits: int) -> list[tuple[int, int, int, int]]:
        """Give a table some entries; return the new, still empty tables below it."""
        rng = self.random
        shift = self.granule.level_shift(level)
        last = (1 << bits) - 1
        below: list[tuple[int, int, int, int]] = []
        entries = self.tables.entries
        for _ in range(2 + rng.getrandbits(2)):
            # The ends matter more than the middle, and so do neighbours of present entries.
            pick = rng.getrandbits(3)
            index = rng.getrandbits(bits) if pick > 1 else last * pick
            if first + index in entries:
                continue
            what = rng.choice(_KINDS if level < MAX_LEVELS - 1 else _LAST_KINDS)
            if what == TABLE:
                table = self.take()
                if table >= 0:
                    entries[first + index] = wrap(self.pointer(address_of(table)))
                    below.append((level + 1, table, base + (index << shift), self.granule.page_shift - 3))
                    continue
                what = LEAF
            entries[first + index] = wrap(self.word(what, level))
            self.ask(base + (index << shift), shift)
        return below

    def take(self) -> int:
        """Return the first word of a new table; -1 if there are no more."""
        if len(self.made) > MAX_TABLES:
            return -1
        try:
            table = self.memory.take(1, self.setting.page_shift)
        except NoRoomError:
            return -1
        self.made.append(table)
        return table

    def word(self, what: int, level: int) -> int:
        """Return an entry that is not a new table, unsigned."""
        rng = self.random
        if what == NO_TABLE:
            bits = self.setting.pa_bits if self.setting.lpa2 else min(self.setting.pa_bits, 48)
            return self.pointer(rng.randrange(layout.FREE, 1 << bits))
        if what == SHARED_TABLE:
            return self.pointer(address_of(rng.choice(self.made)))
        if what == FAR_TABLE:
            return self.pointer(self.far(address_of(self.made[0])))
        if what == ANYTHING:
            # A random table descriptor could point anywhere, even into QEMU's own memory.
            return self.leaf(level) & ~VALID_BIT if level < MAX_LEVELS - 1 else self.leaf(level) ^ rng.getrandbits(2)
        word = self.leaf(level)
        if what == WRONG_TYPE:
            return word & ~TYPE_BIT if level == MAX_LEVELS - 1 or rng.getrandbits(1) else word & ~VALID_BIT | TYPE_BIT
        return word & ~VALID_BIT if what == INVALID else word

    def leaf(self, level: int) -> int:
        """Return a page or block with random attributes, and random values in ignored bits."""
        rng = self.random
        word = rng.getrandbits(64)
        pa_bits = self.setting.pa_bits
        address = word & self.field
        if pa_bits < 48:
            address &= (1 << pa_bits) - 1
        if address < layout.FREE:
            # Outside of QEMU's memory: in a table entered a second time the entry may be read as a table descriptor.
            address |= layout.FREE
        if word >> 60 == 0:
            address = self.far(address)
        word = word & ~(self.field | TYPE_BIT) | address | VALID_BIT
        if word >> 56 & 7:
            word |= AF_BIT
        return self.attributes(word | TYPE_BIT if level == MAX_LEVELS - 1 else word)

    def attributes(self, word: int) -> int:
        """Return *word* with attributes that are not reserved, in case it is read as a leaf."""
        rng = self.random
        word = word & ~_MEMATTR | rng.choice(self.memattrs)
        # With FEAT_LPA2 the shareability field is part of the address.
        return word if self.setting.lpa2 else word & ~_SHAREABILITY | rng.choice(_SHAREABILITIES)

    def far(self, address: int) -> int:
        """Return an address that is out of range, if such addresses exist."""
        pa_bits = self.setting.pa_bits
        return address | 1 << self.random.randrange(pa_bits, 48) if pa_bits < 48 else address

    def pointer(self, address: int) -> int:
        """Return a table descriptor with random values in ignored bits."""
        noise = self.random.getrandbits(64) & ~self.field
        if self.setting.granule.page_shift == 16:
            # Without 52-bit addresses the implementation decides whether these are bits 51:48 of the address.
            noise &= ~(0xF << 12)
        return self.attributes(noise | address_field(address, self.granule) | TYPE_BIT | VALID_BIT)

    def ask(self, base: int, shift: int) -> None:
        """Ask about an entry: at a random address inside, and at one of its ends."""
        rng = self.random
        questions = self.questions
        inside = base + rng.getrandbits(shift)
        end = base + (-rng.getrandbits(1) & (1 << shift) - 1)
        for ipa in (inside, end):
            questions[question(Ask.READ, ipa)] = None
            questions[question(Ask.WRITE, ipa)] = None
        pick = rng.getrandbits(2)
        if not pick & 1:
            questions[question(Ask.FETCH if pick else Ask.FETCH_EL0, inside & _FETCH_MASK)] = None

    def ask_elsewhere(self) -> None:
        """Ask about addresses without a prepared entry: anywhere, and outside of the address space."""
        rng = self.random
        bits = self.setting.ia_bits
        for ipa in (rng.getrandbits(bits), 1 << bits, rng.getrandbits(bits) | 1 << rng.randrange(bits, ADDRESS_BITS)):
            self.questions[question(rng.getrandbits(1), ipa)] = None
        ipa = rng.getrandbits(ADDRESS_BITS) & _FETCH_MASK
        self.questions[question(Ask.FETCH, ipa)] = None
