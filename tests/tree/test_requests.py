# SPDX-License-Identifier: GPL-2.0-only
"""A tree's process refuses requests that it cannot do."""

from collections.abc import Iterator
from typing import Final

import pytest

from candidate.tree.library import build
from candidate.tree.runtime import records as r
from candidate.tree.runtime.pool import POOL
from candidate.tree.runtime.process import Process

from .trees import real_tree

# Operation with its arguments -> text of the refusal.
REFUSED: Final = {
    "VM": ((r.OP_UNMAP_VM, r.MAX_VMS), "an unknown VM"),
    "vCPU": ((r.OP_FAULT, 0, r.MAX_CPUS), "an unknown vCPU"),
    "vCPU that the VM does not have": ((r.OP_FAULT, 0, 1), "an unknown vCPU"),
    "operation": ((r.OP_DESTROY_NESTED + 1, 0), "an unknown operation"),
    "copy": (
        (r.OP_COPY, 0, 1 << 30, 4096, r.ANSWERS // 3 + 1, 1 << 20),
        "more pages copied at once than there is room for answers",
    ),
}


@pytest.fixture
def process() -> Iterator[Process]:
    """Return a process in which a program has begun, with a VM that has one vCPU."""
    process = Process(build(real_tree()), POOL.tallies, POOL.driver)
    process.begin()
    assert request(process, r.OP_CREATE, 0, 40, 1) == r.DONE
    assert process.ret == 0
    yield process
    process.close()


def request(process: Process, op: int, *args: int) -> int:
    """Send a request, and return the status of the answer."""
    given = [*args, *(0 for _ in range(8 - len(args)))]
    process.send(op, *given)
    assert process.receive()
    return process.status


@pytest.mark.parametrize("what", REFUSED)
def test_refused(what: str, process: Process) -> None:
    asked, text = REFUSED[what]
    assert request(process, *asked) == r.REFUSED
    assert process.text() == text


def test_last_operation_is_done(process: Process) -> None:
    assert request(process, r.OP_RELEASE, 0) == r.DONE
    assert request(process, r.OP_END, 0) == r.DONE
