# SPDX-License-Identifier: GPL-2.0-only
"""Calls by which user space has KVM map guest memory in advance, in random programs."""

from typing import Final

import candidate
from fuzz.engines.unit_run import offers_of
from fuzz.generation.capabilities import Offers
from fuzz.generation.generator import Generator
from fuzz.language.bounds import MAX_PREFAULT_PAGES
from fuzz.language.operations import GuestPrefault
from fuzz.language.program import pre_faults
from fuzz.language.text import parse, print_program

COUNT: Final = 200


def test_the_generator_adds_it_where_a_version_has_it() -> None:
    plain, offered = Generator(1), Generator(1, offers=Offers(prefault=True))
    calls = 0
    for _ in range(COUNT):
        without, program = plain.next(), offered.next()
        assert not pre_faults(without)
        assert parse(print_program(program)) == program
        if not pre_faults(program):
            assert program == without
            continue
        for each in program.operations:
            if isinstance(each, GuestPrefault):
                calls += 1
                assert each.size <= MAX_PREFAULT_PAGES * program.vm.granule
    assert calls > COUNT / 2


def test_no_port_has_it() -> None:
    assert not offers_of(candidate.get("original"), candidate.get("rfc-v1")).prefault
