# SPDX-License-Identifier: GPL-2.0-only
"""Lock events name the VM that owns the lock."""

import candidate
from fuzz.execution.executor import Executor
from fuzz.language.text import parse
from reference.events import Observer

TWO_VMS = (
    "s2fuzz 1\nvm cpus=1 vms=2\nslot a size=4K backing=anon\nslot b size=4K backing=anon vm=1 alias=a\n"
    "cpu0 read a+0\ncpu1 read b+0\nhost migrate a+0 4K\nlog b on\n"
)


class Locks(Observer):
    """Records each lock taken, and checks that the same VM releases it."""

    def __init__(self) -> None:
        self.held: list[tuple[str, int]] = []
        self.taken: set[tuple[str, int]] = set()

    def lock(self, name: str, vmid: int) -> None:
        self.held.append((name, vmid))
        self.taken.add((name, vmid))

    def unlock(self, name: str, vmid: int) -> None:
        self.held.remove((name, vmid))


def test_lock_events_name_their_vm() -> None:
    executor = Executor(candidate.get("original"), parse(TWO_VMS))
    locks = Locks()
    executor.side.kernel.observe(locks)
    executor.create()
    seen = []
    for at in range(len(executor.program.operations)):
        locks.taken.clear()
        executor.step(at)
        seen.append({vmid for name, vmid in locks.taken if name != "mmap"})
        assert locks.held == []
        assert {vmid for name, vmid in locks.taken if name == "mmap"} <= {0}
    assert seen == [{1}, {2}, {1, 2}, {2}]
    locks.taken.clear()
    executor.destroy()
    assert {vmid for _, vmid in locks.taken} == {1, 2}
