# SPDX-License-Identifier: GPL-2.0-only
"""Effects of the instructions of tlb.c: context, scope, order, completion."""

from collections.abc import Sequence

import pytest

from reference.machine import instructions as i
from reference.machine.computer import Computer
from reference.machine.granule import Granule
from reference.machine.processor import ALL_VMIDS

PAGE, OTHER = 0x40001000, 0x40002000
LEAF = (3, 13)
GONE = (-1, 0)
OPERAND = PAGE >> 12
Step = tuple[int, int]
ORDER: Step = (i.ISHST, 0)
DONE: Step = (i.ISH, 0)
BY_IPA: Step = (i.IPAS2E1IS, OPERAND)
STAGE_1: Step = (i.VMALLE1IS, 0)
ALL: Step = (i.VMALLS12E1IS, 0)
VM: tuple[Step, ...] = ((i.VTTBR_EL2, 1 << 48), (i.ISB, 0))


def after(steps: Sequence[Step], vhe: bool = False) -> tuple[Computer, list[int]]:
    """Make a machine of two CPUs that both hold a leaf of VMID 1 and of VMID 2; CPU 0 has executed *steps*.

    The second value lists the TLBIs for the page of VMID 1 that took effect on all CPUs, including on combined entries.
    """
    computer = Computer(Granule(12), 2, 2)
    computer.boot(vhe)
    for vm in computer.tlbs:
        for tlb in vm:
            tlb.fill_leaf(PAGE, *LEAF)
    gone: list[int] = []
    cpu = computer.processors[0]
    for op, operand in steps:
        if op <= i.ISHST:
            done = [each for each in computer.barrier(0, op) if each.cpu < 0 and each.vmid in (1, ALL_VMIDS)]
            gone += [each.op for each in done if each.ipa in (0, PAGE) and each.hint in (0, 3)]
        elif op == i.ISB:
            cpu.synchronize()
        elif op == i.VTTBR_EL2:
            cpu.vttbr = operand
        elif op == i.HCR_EL2:
            cpu.hcr = operand
        else:
            computer.tlbi(0, op, operand)
    return computer, gone


def held(computer: Computer, vmid: int = 1) -> list[bool]:
    """Return for each CPU whether it still translates the page."""
    return [tlb.leaf(PAGE) == LEAF for tlb in computer.tlbs[vmid - 1]]


RIGHT = [*VM, ORDER, BY_IPA, DONE, STAGE_1, DONE]


def test_a_flush_by_address() -> None:
    computer, gone = after(RIGHT)
    assert held(computer) == [False, False]
    assert held(computer, 2) == [True, True]
    assert gone == [i.IPAS2E1]
    assert computer.published == 3


@pytest.mark.parametrize(
    ("steps", "left"),
    [
        ([*VM, BY_IPA], [True, True]),
        ([*VM, BY_IPA, DONE], [True, True]),
        ([*VM, BY_IPA, DONE, STAGE_1], [True, True]),
        ([*VM, BY_IPA, STAGE_1, DONE], [True, True]),
        ([*VM, STAGE_1, DONE, BY_IPA, DONE], [True, True]),
        ([*VM, BY_IPA, (i.ISHST, 0), STAGE_1, DONE], [True, True]),
        ([*VM, (i.IPAS2E1, OPERAND), DONE, STAGE_1, DONE], [False, True]),
        ([*VM, BY_IPA, DONE, (i.VMALLE1, 0), DONE], [False, True]),
        ([*VM, BY_IPA, (i.NSH, 0), STAGE_1, DONE], [True, True]),
        ([*VM, (i.IPAS2E1IS, PAGE), DONE, STAGE_1, DONE], [True, True]),
        ([*VM, (i.IPAS2E1IS, OPERAND | 0xB << 44), DONE, STAGE_1, DONE], [True, True]),
        ([*VM, (i.IPAS2E1IS, OPERAND | 6 << 44), DONE, STAGE_1, DONE], [True, True]),
        ([VM[0], BY_IPA, DONE, STAGE_1, DONE], [True, True]),
        ([BY_IPA, DONE, STAGE_1, DONE], [True, True]),
        ([*VM, ALL], [True, True]),
    ],
    ids=[
        *("never complete", "stage 2 alone", "stage 1 not complete", "no barrier between", "stage 1 first"),
        *("a barrier of stores between", "stage 2 on one CPU", "stage 1 on one CPU", "a barrier of one CPU"),
        *("operand not shifted", "granule of the hint", "level of the hint", "register not in effect", "host's VMID"),
        "whole VMID, not complete",
    ],
)
def test_an_incomplete_flush_leaves_entries(steps: list[Step], left: list[bool]) -> None:
    computer, gone = after(steps)
    assert held(computer) == left
    assert gone == []


@pytest.mark.parametrize("op", [i.VMALLS12E1IS, i.ALLE1IS])
def test_a_flush_of_everything(op: int) -> None:
    computer, gone = after([*VM, (op, 0), DONE])
    assert held(computer) == [False, False]
    assert held(computer, 2) == [op != i.ALLE1IS] * 2
    assert gone == [op & ~i.BROADCAST]


def test_a_local_flush_is_completed_by_the_barrier_of_its_cpu() -> None:
    computer, gone = after([*VM, (i.IPAS2E1, OPERAND), (i.NSH, 0), (i.VMALLE1, 0), (i.NSH, 0)])
    assert held(computer) == [False, True]
    assert gone == []
    assert computer.published == 0


def test_a_host_at_el2_has_its_own_entries() -> None:
    """Check that with TGE, VMALLE1IS acts on the entries of the host."""
    computer, gone = after(RIGHT, vhe=True)
    assert (held(computer), gone) == ([True, True], [])
    computer, gone = after([(i.HCR_EL2, i.HCR_E2H), *RIGHT], vhe=True)
    assert (held(computer), gone) == ([False, False], [i.IPAS2E1])


def test_a_later_flush_of_stage_1_makes_up_for_a_missing_one() -> None:
    computer, gone = after([*VM, BY_IPA, DONE, DONE, STAGE_1, DONE])
    assert (held(computer), gone) == ([False, False], [i.IPAS2E1])


def test_the_parts_of_a_range_are_one_flush() -> None:
    """Flush a range by two operands, of 2 pages and of 1 page."""
    two = 1 << 46 | PAGE >> 12
    computer = Computer(Granule(12), 1)
    computer.boot(False)
    computer.tlbi(0, i.RIPAS2E1IS, two)
    computer.tlbi(0, i.IPAS2E1IS, (PAGE >> 12) + 2)
    computer.barrier(0, i.ISH)
    computer.tlbi(0, i.VMALLE1IS, 0)
    (both,) = computer.barrier(0, i.ISH)
    assert (both.op, both.ipa, both.size) == (i.RIPAS2E1, PAGE, 3 << 12)
