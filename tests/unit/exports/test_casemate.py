# SPDX-License-Identifier: GPL-2.0-only
"""Traces for casemate: each line follows its grammar, and together they are complete for its checker."""

import re
from pathlib import Path
from typing import Final

import pytest

import candidate
from fuzz.exports.casemate import UnsuitableError, casemate
from fuzz.exports.casemate_vm import IDLE, LOCKS
from fuzz.language.text import load, parse
from reference.pgtable import Pgtable, stage2_map_data

from ..console import ROOT, in_process

SEEDS: Final = sorted((ROOT / "corpus" / "seeds").glob("*.s2"))
NUMBER: Final = r"0x[0-9a-f]+"
HINTS: Final = "(?:set_root_lock|set_owner_root|release_table)"
TRANSITIONS: Final = "|".join(
    (
        rf"sysreg-write \(id \d+\) \(tid 0\) \(sysreg (?:vtcr|tcr|mair|sctlr|hcr|vttbr)_el2\) \(value {NUMBER}\)",
        rf"mem-(?:init|free) \(id \d+\) \(tid 0\) \(address {NUMBER}\) \(size {NUMBER}\)",
        rf"mem-write \(id \d+\) \(tid 0\) \(mem-order (?:plain|release)\) \(address {NUMBER}\) \(value {NUMBER}\)",
        rf"hint \(id \d+\) \(tid 0\) \(kind {HINTS}\) \(location {NUMBER}\) \(value {NUMBER}\)",
        rf"(?:un)?lock \(id \d+\) \(tid 0\) \(address {NUMBER}\)",
        r"barrier \(id \d+\) \(tid 0\) (?:isb|dsb \(kind (?:ish|ishst|nsh|sy)\))",
        rf"tlbi \(id \d+\) \(tid 0\) (?:vmalle1is|vmalls12e1is|ipas2e1is \(value {NUMBER}\))",
    )
)
LINE: Final = re.compile(rf'\((?:{TRANSITIONS}) \(src "\w+:\d+"\)\)')
COLLAPSE: Final = """\
s2fuzz 1
vm
slot a size=2M backing=thp
host split a+0
cpu0 write a+0
host collapse a+0
cpu0 write a+0
"""


def number(line: str, field: str) -> int:
    found = re.search(rf"\({field} ({NUMBER})\)", line)
    assert found, line
    return int(found[1], 16)


def suitable(path: Path) -> bool:
    program = load(path)
    return (
        program.vm.granule == 4096
        and program.vm.pa <= 48
        and not re.search("^par|memfd|split=|nested=", path.read_text(), re.MULTILINE)
    )


@pytest.mark.parametrize("stock", [False, True])
@pytest.mark.parametrize("path", [each for each in SEEDS if suitable(each)], ids=lambda path: path.stem)
def test_a_trace_is_complete(path: Path, stock: bool) -> None:
    """Check that tables are declared before stores to them, locks are paired, and a flush names its VM."""
    known: set[int] = set()
    held: set[int] = set()
    root = -1
    for at, line in enumerate(casemate(candidate.get("v5.14"), load(path), stock)):
        assert LINE.fullmatch(line), line
        assert f"(id {at})" in line
        kind = line[1 : line.index(" ")]
        if kind == "mem-init":
            known.add(number(line, "address"))
        elif kind == "mem-free":
            known.remove(number(line, "address"))
        elif kind == "mem-write":
            assert number(line, "address") & -4096 in known
        elif kind == "lock":
            assert number(line, "address") not in held
            held.add(number(line, "address"))
        elif kind == "unlock":
            held.remove(number(line, "address"))
        elif "vttbr_el2" in line:
            root = number(line, "value") & (1 << 48) - 1
            assert root in known
        elif kind == "tlbi":
            assert root != IDLE
            assert held
        if "release_table" in line:
            assert root == IDLE
            assert not held
    assert not held
    assert known == {IDLE}


def test_tables_hang_below_level_0() -> None:
    """Check that KVM's root of two tables of level 2 gets one table of level 1 and one of level 0 above it."""
    text = COLLAPSE.replace("vm\n", "vm ipa=32\n")
    writes = [line for line in casemate(candidate.get("original"), parse(text), False) if "mem-write" in line]
    first = {number(line, "address"): number(line, "value") for line in writes[:5]}
    top, middle = sorted(first)[:2]
    assert top > LOCKS
    assert first[top] == middle & -4096 | 3
    assert [each - middle for each in sorted(first)[1:]] == [0, 8, 16, 24]


class NoFlush(Pgtable):
    """Maps a block over a table whose entry was broken, without a flush."""

    def stage2_map_walk_table_pre(self, addr: int, end: int, level: int, ptep: int, data: stage2_map_data) -> int:
        if data.anchor >= 0 or not self.kvm_block_mapping_supported(addr, end, data.phys, level):
            return 0
        self.kvm_set_invalid_pte(ptep)
        data.anchor = ptep
        return 0


def flushes(lines: list[str]) -> list[str]:
    """Return TLBIs and releases of tables, in order."""
    found = [re.search(r"tlbi .* (ipas2e1is|vmall\w+)|(release_table)", line) for line in lines]
    return [each[1] or each[2] for each in found if each]


def test_a_missing_flush_is_missing_in_the_trace() -> None:
    base = candidate.get("original")
    patched = candidate.Candidate("no-flush", NoFlush, base.mmu, "")
    program = load(ROOT / "corpus" / "regressions" / "cmo-permission-data.s2")
    right = flushes(casemate(base, program, False))
    wrong = flushes(casemate(patched, program, False))
    assert wrong.count("vmalls12e1is") == right.count("vmalls12e1is") - 1


def test_stock_traces_avoid_events_that_the_unmodified_checker_rejects() -> None:
    """Check that leaves have the access flag, stores use release, and replacing a table entry flushes the whole VM."""
    operations = ("cpu0 write a+0", "host discard a+0 2M", "cpu0 write a+0", "host age a+0 4K")
    text = "\n".join(["s2fuzz 1", "vm", "slot a size=2M backing=anon", *operations, ""])
    plain, stock = (casemate(candidate.get("v5.14"), parse(text), each) for each in (False, True))
    assert any("mem-order plain" in line for line in plain if "vttbr" not in line)
    tables = [line for line in stock if "mem-write" in line and number(line, "address") < LOCKS]
    assert all("release" in line for line in tables)
    leaves = [number(line, "value") for line in tables if number(line, "value") & 1 << 6]
    assert leaves
    assert all(each & 1 << 10 for each in leaves)


@pytest.mark.parametrize(
    ("program", "why"),
    [
        ("s2fuzz 1\nvm granule=64K\nslot a size=2M backing=anon\ncpu0 read a+0\n", "casemate supports 4K only"),
        ("s2fuzz 1\nvm pa=52\nslot a size=2M backing=anon\ncpu0 read a+0\n", "casemate supports 48 only"),
    ],
)
def test_programs_unsupported_by_casemate_are_refused(program: str, why: str) -> None:
    with pytest.raises(UnsuitableError, match=why):
        casemate(candidate.get("v5.14"), parse(program), False)


def test_a_trace_has_the_instructions_of_tlb_c() -> None:
    """Check that another tlb.c gives another trace: here the level hint is at another place of the operand."""
    text = "s2fuzz 1\nvm ttl=on\nslot a size=2M backing=anon\ncpu0 write a+0\nhost discard a+0 4K\n"
    right, wrong = (casemate(candidate.get(name), parse(text), False) for name in ("original", "bug-tlb-shift"))
    assert len(right) == len(wrong)
    differ = [(a, b) for a, b in zip(right, wrong, strict=True) if a != b]
    assert differ
    assert all("ipas2e1is" in a and "ipas2e1is" in b for a, b in differ)


def test_an_instruction_without_a_name_in_casemate_is_refused() -> None:
    text = "s2fuzz 1\nvm\nslot a size=2M backing=anon\ncpu0 write a+0\nhost discard a+0 4K\n"
    with pytest.raises(UnsuitableError, match=r"`tlbi ipas2e1`, which casemate does not support"):
        casemate(candidate.get("bug-tlb-local"), parse(text), False)


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = in_process(capsys, "export")
    file = str(ROOT / "corpus" / "seeds" / "thp-blocks.s2")
    code, out, err = run("--casemate", file)
    assert (code, err) == (0, "")
    assert out.splitlines() == casemate(candidate.get("v5.14"), load(Path(file)), False)
    code, out, err = run("--casemate", "--stock", file, "-o", str(tmp_path / "trace.log"))
    assert (code, out) == (0, "")
    assert "casemate does not see" in err
    assert (tmp_path / "trace.log").read_text().splitlines() == casemate(candidate.get("v5.14"), load(Path(file)), True)
    assert run("--stock", "--events", file)[0] == 2
