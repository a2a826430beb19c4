# SPDX-License-Identifier: GPL-2.0-only
"""Objects of a program are freed with its verdict, and not left to the garbage collector, which seldom runs.

Garbage that waits for the collector accumulates: the process would grow by the largest programs in the meantime.
"""

import gc
from collections import Counter
from collections.abc import Iterator

import pytest

import candidate
from fuzz.engines.unit_run import offers_of
from fuzz.generation.generator import Generator
from fuzz.judging.differential import Differential
from fuzz.language.program import Program, has_blocks


@pytest.fixture(autouse=True)
def no_collection() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.set_debug(0)
    gc.garbage.clear()
    gc.enable()


def left(differential: Differential, program: Program) -> Counter[str]:
    """Return the objects left over from a program after its verdict is gone, by type."""
    # Modules imported at first use leave classes behind.
    differential.run(program)
    gc.collect()
    differential.run(program)
    gc.set_debug(gc.DEBUG_SAVEALL)
    gc.collect()
    gc.set_debug(0)
    found = Counter(type(each).__name__ for each in gc.garbage)
    gc.garbage.clear()
    return found


@pytest.mark.parametrize("name", ["rfc-v1", "v5.14"])
def test_a_program_leaves_no_objects(name: str) -> None:
    differential = Differential(candidate.get("original"), candidate.get(name))
    differential.features = True
    generator = Generator(3, offers=offers_of(differential.reference, differential.candidate))
    programs = [generator.next() for _ in range(30)]
    assert 3 < sum(map(has_blocks, programs)) < 27
    assert [left(differential, each) for each in programs] == [Counter()] * len(programs)
