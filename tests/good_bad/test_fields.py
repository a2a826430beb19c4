# SPDX-License-Identifier: GPL-2.0-only
"""A finding on a field of a descriptor names the field, its value and what is allowed."""

from collections.abc import Sequence

import pytest

from candidate import Candidate
from fuzz.checkers.fields import S2AP_NAMES, field_text, set_bits, type_text
from reference.machine.descriptor import CONTIGUOUS_BIT, DBM_BIT, SOFTWARE_BITS
from reference.pgtable import Pgtable, hyp_map_data

from .case import broken, violations

PAGE = "vm cpus=1 fwb={}\nslot a size=4K backing=anon\ncpu0 read a+0\n"
DEVICE = "vm cpus=1 fwb=on\nslot a size=4K backing=device\ncpu0 read a+0\n"
READ_ONLY = "vm cpus=1 fwb=on\nslot a size=4K backing=anon ro=on\ncpu0 read a+0\n"
GROUP = "vm cpus=1\nslot a size=64K backing=hugetlb64k\ntable map a+0 {} rw\n"
HYP = "vm cpus=1\nslot a size=4K backing=anon\nhyp map 0x1000 0x80001000 0x1000 {}\n"


def stage2(clear: int, bits: int) -> Candidate:
    """Return a version whose stage-2 leaves have other bits.

    :param clear: bits that it clears
    :param bits: bits that it sets
    """

    class Other(Pgtable):
        def kvm_init_valid_leaf_pte(self, pa: int, attr: int, level: int) -> int:
            return super().kvm_init_valid_leaf_pte(pa, attr, level) & ~clear | bits

    return broken(Other)


def stage1(flips: int) -> Candidate:
    """Return a version that inverts some bits of EL2 leaves."""

    class Other(Pgtable):
        def hyp_map_walker(self, addr: int, end: int, level: int, ptep: int, flag: int, arg: hyp_map_data) -> int:
            ret = super().hyp_map_walker(addr, end, level, ptep, flag, arg)
            if level == 3:
                self.k.WRITE_ONCE(ptep, self.load(ptep) ^ flips)
            return ret

    return broken(Other)


def reasons(version: Candidate, text: str) -> Sequence[str]:
    return [each.reason for each in violations(version, text) if each.checker in ("translation", "hyp")]


@pytest.mark.parametrize(
    ("clear", "bits", "text", "fields"),
    [
        (3 << 8, 0, PAGE.format("on"), "SH is 0b00 (non-shareable), allowed: 0b11 (inner shareable)"),
        (1 << 8, 0, PAGE.format("on"), "SH is 0b10 (outer shareable), allowed: 0b11 (inner shareable)"),
        (
            0,
            1 << 52,
            PAGE.format("on"),
            "Contiguous, bit 52, is 1, and the entry at 0x40001000 does not belong to the ",
        ),
        (0, 1 << 59, PAGE.format("on"), "bit 59 is 1, allowed: 0"),
        (3 << 8, 1 << 11, PAGE.format("on"), "FnXS, bit 11, is 1, allowed: 0; SH is 0b00 (non-shareable), allowed: "),
        (0xF << 2, 5 << 2, PAGE.format("off"), "MemAttr is 0b0101 (normal-nc), allowed: 0b1111 (normal-wb)"),
        (0xF << 2, 5 << 2, PAGE.format("on"), "MemAttr is 0b0101 (normal-nc), allowed: 0b0110 (normal-wb-forced)"),
        (0, 3 << 2, DEVICE, "MemAttr is 0b0011 (device-GRE), allowed: 0b0000 (device-nGnRnE) or 0b0001 (device-nGnRE)"),
        (0xF << 2, 6 << 2, DEVICE, "MemAttr is 0b0110 (normal-wb-forced), allowed: 0b0000 (device-nGnRnE) or "),
        (1 << 54, 0, DEVICE, "XN is 0b00 (executable), allowed: 0b10 (never executable)"),
        (0, 1 << 7, READ_ONLY, "S2AP is 0b11 (read-write), allowed: 0b01 (read-only) or 0b00 (no access)"),
        (2, 0, PAGE.format("on"), "descriptor type at level 3 is 0b01 (reserved), allowed: 0b11 (page)"),
    ],
)
def test_fields_of_a_stage_2_leaf(clear: int, bits: int, text: str, fields: str) -> None:
    assert any(f": {fields}" in reason for reason in reasons(stage2(clear, bits), text))


@pytest.mark.parametrize("bits", [DBM_BIT, 1 << 55, SOFTWARE_BITS])
def test_bits_of_a_stage_2_leaf_that_the_hardware_ignores(bits: int) -> None:
    # DBM is one of them as long as the hardware does not manage the dirty state.
    assert violations(stage2(0, bits), PAGE.format("on")) == []


def test_bits_of_a_hyp_leaf_that_the_hardware_ignores() -> None:
    # The version changes a valid entry, which is another mistake.
    assert not any("illegal field" in each.signature for each in violations(stage1(SOFTWARE_BITS), HYP.format("rw")))
    assert any("illegal field" in each.signature for each in violations(stage1(1 << 53), HYP.format("rw")))


def test_a_uniform_group_of_contiguous_leaves() -> None:
    assert violations(stage2(0, CONTIGUOUS_BIT), GROUP.format("64K")) == []


@pytest.mark.parametrize(
    ("operation", "fields"),
    [
        (GROUP.format("60K"), "the entry at 0x4000f000 does not belong to the group of 16"),
        (
            GROUP.format("64K") + "table wrprotect a+0 4K\n",
            "the entry at 0x40001000 does not belong to the group of 16",
        ),
        (GROUP.format("64K").replace("slot a", "slot a ipa=1048580K"), "is not aligned"),
    ],
)
def test_groups_of_contiguous_leaves_that_are_not_uniform(operation: str, fields: str) -> None:
    found = reasons(stage2(0, CONTIGUOUS_BIT), operation)
    assert found
    assert all("illegal field: Contiguous, bit 52, is 1, and the " in reason for reason in found)
    assert any(fields in reason for reason in found)


@pytest.mark.parametrize(
    ("flips", "prot", "fields"),
    [
        (1 << 8, "rw", "SH is 0b10 (outer shareable), allowed: 0b11 (inner shareable)"),
        (1 << 6, "rw", "AP[1] is 0b0, allowed: 0b1 (as at EL2)"),
        (1 << 6 | 3 << 8, "rw", "AP[1] is 0b0, allowed: 0b1 (as at EL2); SH is 0b00 (non-shareable), allowed: "),
        (1 << 7, "rw", "AP[2] is 0b1 (read-only), allowed: 0b0 (read-write)"),
        (1 << 54, "rx", "XN is 0b1 (never executable), allowed: 0b0 (executable)"),
        (1 << 10, "rw", "AF is 0b0 (not accessed), allowed: 0b1 (accessed)"),
        (5 << 2, "device", "AttrIndx is 0b000 (normal), allowed: 0b101 (device-nGnRE)"),
        (1 << 53, "rw", "PXN, bit 53, is 1, allowed: 0"),
        (1 << 13, "rw", "0x80003000, asked for: 0x80001000"),
    ],
)
def test_fields_of_a_hyp_leaf(flips: int, prot: str, fields: str) -> None:
    assert any(f": {fields}" in reason for reason in reasons(stage1(flips), HYP.format(prot)))


def test_fields_as_text() -> None:
    assert field_text("S2AP", 2, 3, [1], S2AP_NAMES) == "S2AP is 0b11 (read-write), allowed: 0b01 (read-only)"
    assert list(set_bits(1 << 63 | 1, {0: "valid"})) == ["valid, bit 0, is 1, allowed: 0", "bit 63 is 1, allowed: 0"]
    assert type_text(1, 0) == "descriptor type at level 0 is 0b01 (block), allowed: 0b11 (table)"
