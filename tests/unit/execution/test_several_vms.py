# SPDX-License-Identifier: GPL-2.0-only
"""Notifications of several VMs about one change: in sequence, the newest VM first."""

from typing import Final

import pytest

import candidate
from fuzz.execution.executor import Executor
from fuzz.language.text import parse
from reference.events import Observer

THREE_VMS: Final = "s2fuzz 1\nvm cpus=1 vms=3\n" + "".join(
    f"slot {name} size=64K backing=anon vm={vm}{' alias=a' if vm else ''}\n" for vm, name in enumerate("abc")
)


class Order(Observer):
    """Records the VMs in the order in which their mmu locks are taken."""

    def __init__(self) -> None:
        self.vms: list[int] = []

    def lock(self, name: str, vmid: int) -> None:
        if name == "mmu" and vmid not in self.vms:
            self.vms.append(vmid)


def order(text: str) -> tuple[Executor, list[int]]:
    """Run a program; return its executor and the order of VMs in its last operation."""
    executor = Executor(candidate.get("original"), parse(THREE_VMS + text))
    noted = Order()
    executor.side.kernel.observe(noted)
    assert executor.create() == []
    for at in range(len(executor.program.operations)):
        noted.vms.clear()
        assert executor.step(at)[1] == []
    return executor, noted.vms


@pytest.mark.parametrize("change", ["migrate a+0 4K", "discard a+0 4K", "age a+0 4K", "unmap a+0 4K", "testage a+0"])
def test_the_newest_vm_is_notified_first(change: str) -> None:
    assert order(f"host {change}\n")[1] == [3, 2, 1]


def test_the_end_of_user_space_notifies_the_newest_vm_first() -> None:
    executor, _ = order("cpu0 read a+0\ncpu1 read b+0\ncpu2 read c+0\n")
    noted = Order()
    executor.side.kernel.observe(noted)
    assert executor.destroy() == []
    assert noted.vms == [3, 2, 1]


@pytest.mark.parametrize(
    ("reader", "asked"), [("cpu0 read a", [3, 2, 1]), ("cpu1 read b", [3, 2]), ("cpu2 read c", [3])]
)
def test_no_vm_is_asked_after_one_reports_a_young_page(reader: str, asked: list[int]) -> None:
    assert order(f"{reader}+0\nhost testage a+0\n")[1] == asked


@pytest.mark.parametrize(
    ("before", "unmapped"),
    [
        ("", False),
        ("cpu1 move 0\n", False),
        ("cpu1 evict a+0\n", False),
        ("cpu1 reset\n", False),
        ("cpu1 read a+8K\n", True),
        ("cpu1 cache on\n", True),
        ("cpu1 setway\n", True),
        ("cpu1 abort a+0\n", True),
        ("cpu1 speculate a+0\n", True),
        ("cpu1 read a+8K\ncpu1 reset\ncpu0 read a+0\n", True),
    ],
)
@pytest.mark.parametrize("fwb", ["off", "on"])
def test_reset_unmaps_if_the_vcpu_has_run(before: str, unmapped: bool, fwb: str) -> None:
    text = f"s2fuzz 1\nvm cpus=2 fwb={fwb}\nslot a size=64K backing=anon\ncpu0 read a+0\n{before}cpu1 reset\n"
    executor = Executor(candidate.get("original"), parse(text))
    assert executor.create() == []
    for at in range(len(executor.program.operations)):
        executor.step(at)
    shadow = executor.checkers.shadows[0]
    assert (shadow.lookup(executor.side.by_name["a"].ipa)[0] < 0) == (unmapped and fwb == "off")
