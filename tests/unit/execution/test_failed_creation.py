# SPDX-License-Identifier: GPL-2.0-only
"""A slot whose creation failed because of a bug of the version does not exist for later operations."""

import candidate
from fuzz.execution.executor import Executor
from fuzz.language.text import parse

# A device slot that begins within a table's range: B05 leaves its last page mapped, so its creation fails.
PROGRAM = parse(
    "s2fuzz 1\nvm cpus=1\nslot a ipa=1050620K size=8K backing=device\ntable unmap a+0 4K\nslot a delete\n"
    "slot a create\ntable map a+0 4K r\n"
)


def test_nothing_is_mapped_for_a_failed_slot() -> None:
    executor = Executor(candidate.get("original"), PROGRAM)
    executor.create()
    found = [[each.signature for each in executor.step(at)[1]] for at in range(len(PROGRAM.operations))]
    assert found[2] == ["contract: kvm_set_memory_region: error -11"]
    assert found[3] == []
    executor.dismantle()
