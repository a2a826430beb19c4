# SPDX-License-Identifier: GPL-2.0-only
"""Minimising par blocks: no block, fewer operations and switches, earlier anchors."""

from collections.abc import Callable

import pytest

from fuzz.judging.finding import REGRESSION, Finding
from fuzz.language.operations import GuestAccess, Par
from fuzz.language.program import Program
from fuzz.language.text import parse, print_program
from fuzz.minimizing.measure import measure
from fuzz.minimizing.minimize import minimized

TEXT = """\
s2fuzz 1
vm cpus=4
slot b size=4M backing=anon
slot c size=4M backing=anon
cpu2 read b+0
par
  cpu2 write c+12K
  cpu1 write b+8K
  cpu3 read b+0
  cpu2 fetch c+1
  switch cpu2 to cpu1 after fault 1
  switch cpu1 to cpu2 before cmpxchg 7 fault=2
  switch cpu3 to cpu1 after load 2
end
cpu2 write b+0
"""
BLOCK = "par\ncpu0 read a+0\ncpu1 write a+0\nswitch cpu0 to cpu1 before cmpxchg 1\nend"


def block_of(program: Program) -> Par | None:
    return next((each for each in program.operations if isinstance(each, Par)), None)


def written_by_two(program: Program) -> bool:
    """Return whether one vCPU writes in a block, and another yields before a compare-exchange."""
    block = block_of(program)
    return (
        block is not None
        and any(isinstance(each, GuestAccess) and each.kind == "write" for each in block.operations)
        and any(each.point == "cmpxchg" and each.when == "before" for each in block.switches)
    )


@pytest.mark.parametrize(
    ("shows", "smallest"),
    [
        (
            written_by_two,
            "s2fuzz 1\nvm\nslot a size=4K backing=anon\n" + BLOCK,
        ),
        (
            lambda program: any("fetch" in text for text in print_program(program).split()),
            "s2fuzz 1\nvm cpus=1\nslot a size=4K backing=anon\ncpu0 fetch a+0",
        ),
    ],
    ids=["block", "no block"],
)
def test_blocks_shrink_to_the_smallest_program(shows: Callable[[Program], bool], smallest: str) -> None:
    finding = Finding(REGRESSION, "signature", "reason", 1)

    def judge(program: Program) -> list[Finding]:
        return [finding] if shows(program) else []

    best = minimized(parse(TEXT), finding.key, judge, seconds=None).program
    # Compare operations, slots, VMs, vCPUs.
    assert measure(best)[:4] == measure(parse(smallest))[:4]
    assert shows(best)
    assert len(best.operations) == 1
    block = block_of(best)
    if block is not None:
        assert (len(block.operations), len(block.switches)) == (2, 1)
        assert block.switches[0].count == block.switches[0].fault == 1
        assert block.actors == (0, 1)
