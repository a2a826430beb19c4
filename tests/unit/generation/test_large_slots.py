# SPDX-License-Identifier: GPL-2.0-only
"""Slots of many gigabytes."""

import random
from typing import Final

from fuzz.generation.large_slots import protected_late, with_large_slot
from fuzz.language.operations import GuestAccess, SetLog
from fuzz.language.program import GIB, KIB
from fuzz.language.text import parse, print_program
from reference.tlbflush import MAX_TLBI_RANGE_PAGES

TEXT: Final = "s2fuzz 1\nvm\nslot a size=2M backing=anon log=on\nslot b size=4K backing=device\ncpu0 read a+0\n"
MOST: Final = MAX_TLBI_RANGE_PAGES * 4 * KIB


def test_pages_that_only_a_later_flush_covers_are_protected_and_written() -> None:
    program = parse(TEXT)
    late = 0
    for number in range(2000):
        made = with_large_slot(program, random.Random(number))
        assert made == parse(print_program(made))
        assert made is program or made.slots[0].size >= MOST - 4 * KIB
        if len(made.operations) == 1:
            continue
        late += 1
        assert made.vm.range
        *before, first, logged, again = made.operations
        assert SetLog("a", False) in before
        assert isinstance(first, GuestAccess)
        assert isinstance(again, GuestAccess)
        assert first.kind == again.kind == "write"
        assert MOST <= first.offset == again.offset < made.slots[0].size
        assert logged == SetLog("a", True)
    assert 2000 // 400 < late < 2000 // 50


def test_smaller_and_read_only_slots_get_no_such_page() -> None:
    for text in (TEXT, TEXT.replace("2M backing=anon log=on", "16G backing=anon ro=on")):
        program = parse(text)
        assert protected_late(program, "a", random.Random(1)) is program
    assert MOST < 16 * GIB
