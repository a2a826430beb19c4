# SPDX-License-Identifier: GPL-2.0-only
"""tlb.c of a tree: the machine executes the instructions that the tree's own code reaches."""

from pathlib import Path
from typing import Final, NamedTuple

import pytest

import candidate
from candidate.tree.building.source import MMU, TLB
from candidate.tree.runtime.tlb import TreeTlb
from fuzz.coverage.exercised import exercise
from fuzz.execution.executor import Executor
from fuzz.judging.differential import Differential
from fuzz.language.program import Program
from fuzz.language.text import load, parse
from reference.events import Observer
from reference.machine.instructions import text as written

from ..unit.console import ROOT
from .trees import planted, real_tree, version

HEADER: Final = "arch/arm64/include/asm/tlbflush.h"
# A block becomes a table (flush by page) and a slot is deleted (flush by range or of the whole VM), with a second CPU.
LOGGED: Final = """\
cpu0 write a+0
cpu1 read a+4K
log a on
cpu0 write a+4K
cpu1 read a+8K
cpu0 read a+2044K
slot a delete
cpu1 read a+8K
"""
# With FEAT_S2FWB, an unmapped range is flushed as a whole.
VM: Final = "s2fuzz 1\nvm cpus=2 fwb=on ttl={} range={}\nslot a size=2M backing=thp\n"


class Instructions(Observer):
    """Records the instructions of tlb.c."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    def instruction(self, op: int, operand: int) -> None:
        self.seen.append(written(op, operand))


def instructions(name: str, program: Program) -> list[str]:
    """Run a program; return the instructions of tlb.c that a version executes."""
    executor = Executor(candidate.get(name), program)
    seen = Instructions()
    executor.side.kernel.on.instruction.append(seen)
    try:
        executor.create()
        for at in range(len(program.operations)):
            if not executor.dead:
                executor.step(at)
        executor.destroy()
    finally:
        executor.dismantle()
    return seen.seen


@pytest.mark.parametrize("path", sorted((ROOT / "corpus" / "seeds").glob("*.s2")), ids=lambda path: path.stem)
def test_instructions_are_those_of_the_port(path: Path) -> None:
    program = load(path)
    if program.vm.split or (program.vm.pa == 52 and program.vm.granule != 64 << 10):
        pytest.skip("5.12.9 has no such part")
    ours, theirs = instructions("v5.12.9", program), instructions(version("5.12.9"), program)
    assert theirs == ours


@pytest.mark.parametrize("tree", ["6.12", "7.3"])
@pytest.mark.parametrize("ttl", ["off", "on"])
@pytest.mark.parametrize("ranges", ["off", "on"])
def test_a_tree_is_clean(tree: str, ttl: str, ranges: str) -> None:
    program = parse(VM.format(ttl, ranges) + LOGGED)
    of_tree = candidate.get(version(tree))
    assert Differential(of_tree, of_tree).run(program).findings == []
    seen = instructions(version(tree), program)
    assert any(each.startswith("tlbi ripas2e1is" if ranges == "on" else "tlbi vmalls12e1is") for each in seen)
    # The operand of a TLBI with a hint has the level and the granule in bits from 44 on.
    hinted = [each for each in seen if each.startswith("tlbi ipas2e1is") and int(each.split("0x")[1], 16) >> 44]
    assert bool(hinted) == (ttl == "on")


class Mistake(NamedTuple):
    """A change of tlb.c or of its header, and the beginning of a finding that it shows; "": it shows nothing."""

    path: str
    text: str
    instead: str
    found: str


# The flush of one address.
FLUSH: Final = "\t__tlbi_level(ipas2e1is, ipa, level);\n"
# The flush of combined entries after it.
COMBINED: Final = "\tdsb(ish);\n\t__tlbi(vmalle1is);\n"
ENTERS: Final = "\tdsb(ishst);\n\n\t/* Switch to requested VMID */\n"
LOADS: Final = "\t__load_stage2(mmu, mmu->arch);\n\tval = read_sysreg(hcr_el2);\n"
RANGE: Final = "scale, num, tlb_level);"
MISTAKES: Final = {
    "stores are not ordered": Mistake(TLB, ENTERS, "\t/* Switch to requested VMID */\n", "regression"),
    "stores are ordered more than required": Mistake(TLB, ENTERS, ENTERS.replace("ishst", "ish"), ""),
    "one CPU only": Mistake(TLB, FLUSH, FLUSH.replace("ipas2e1is", "ipas2e1"), "regression"),
    "outer shareable": Mistake(TLB, FLUSH, FLUSH.replace("ipas2e1is", "ipas2e1os"), ""),
    "nothing": Mistake(TLB, FLUSH, "", "regression"),
    "a wrong hint": Mistake(TLB, FLUSH, FLUSH.replace("level)", "level - 1)"), "regression"),
    "no hint": Mistake(TLB, FLUSH, FLUSH.replace("level)", "TLBI_TTL_UNKNOWN)"), ""),
    "no combined entries": Mistake(TLB, COMBINED, "\tdsb(ish);\n", "regression"),
    "stage 1 too early": Mistake(TLB, "\tdsb(ish);\n\t__tlbi(vmalle1is);\n", "\t__tlbi(vmalle1is);\n", "regression"),
    "the context of the host": Mistake(TLB, "\tval &= ~HCR_TGE;\n", "", "regression"),
    "another context": Mistake(
        TLB, "\twrite_sysreg(HCR_HOST_VHE_FLAGS, hcr_el2);\n", "", "regression context: tlb.c: returned in another"
    ),
    "a range that is too short": Mistake(HEADER, RANGE, RANGE.replace("num", "num - 1"), "regression"),
    # The vCPU that runs has loaded the context.
    "a context that is loaded": Mistake(TLB, LOADS, f"\tif (!vcpu || cxt->mmu)\n\t{LOADS}", ""),
    "a context that nobody has loaded": Mistake(TLB, LOADS, f"\tif (cxt->mmu)\n\t{LOADS}", "regression"),
    "additional barriers": Mistake(TLB, FLUSH, f"{FLUSH}\tdsb(ish);\n\tisb();\n", ""),
}


@pytest.mark.parametrize("mistake", MISTAKES.values(), ids=list(MISTAKES))
def test_a_change(mistake: Mistake, tmp_path: Path) -> None:
    name = planted("6.12", tmp_path / "tree", mistake.path, mistake.text, mistake.instead)
    differential = Differential(candidate.get(version("6.12")), candidate.get(name))
    found = [
        kind for ranges in ("off", "on") for kind in differential.run(parse(VM.format("on", ranges) + LOGGED)).titles()
    ]
    if mistake.found:
        assert any(kind.startswith(mistake.found) for kind in found), found
    else:
        assert not [kind for kind in found if kind.startswith("regression")]


@pytest.mark.parametrize("pa", [48, 52])
def test_the_cpu_uses_the_tables_of_the_running_vcpu(pa: int, tmp_path: Path) -> None:
    """The address of the tables does not matter."""
    loaded = MISTAKES["a context that is loaded"]
    name = planted("6.12", tmp_path / "tree", loaded.path, loaded.text, loaded.instead)
    program = parse(VM.format("on", "on").replace("fwb", f"pa={pa} fwb") + LOGGED)
    assert Differential(candidate.get(version("6.12")), candidate.get(name)).run(program).findings == []


def test_registers_read_by_other_files_are_unknown(tmp_path: Path) -> None:
    """Only tlb.c may read them by name: a tree in which another file reads one has no verdict."""
    text = "\tis_iabt = kvm_vcpu_trap_is_iabt(vcpu);\n"
    name = planted("6.12", tmp_path / "tree", MMU, text, f"{text}\tread_sysreg_el1(SYS_TCR);\n")
    verdict = Differential(candidate.get(version("6.12")), candidate.get(name)).run(
        parse(VM.format("on", "on") + LOGGED)
    )
    assert "ALTERNATIVE" in verdict.refused


def test_lines_of_tlb_c_are_covered(tmp_path: Path) -> None:
    """Coverage and the difference of two trees include the lines of tlb.c."""
    name = planted("6.12", tmp_path / "tree", TLB, FLUSH, f"{FLUSH}\tdsb(ish);\n")
    verdict = Differential(candidate.get(version("6.12")), candidate.get(name)).run(
        parse(VM.format("on", "off") + LOGGED)
    )
    ran = exercise(version("6.12"), name, verdict.counts)
    assert ran is not None
    assert ran.exercised
    assert ran.lines == ran.ran == 1
    assert (real_tree("6.12") / TLB).is_file()


def test_a_flush_in_the_wrong_order_names_its_place_in_tlb_c(tmp_path: Path) -> None:
    """The DSB between RIPAS2E1IS and VMALLE1IS is missing."""
    source = (real_tree("6.12") / TLB).read_text()
    _, _, flush = source.partition("void __kvm_tlb_flush_vmid_range(")
    text, _, _ = flush.partition("__tlbi(vmalle1is)")
    kept, _, rest = text.rpartition("\tdsb(ish);\n")
    name = planted("6.12", tmp_path / "tree", TLB, text, kept + rest)
    text = "s2fuzz 1\nvm cpus=1 fwb=on range=on\nslot a size=2M backing=anon\n"
    text += "cpu0 write a+0\ncpu0 write a+4K\ncpu0 write a+1M\nhost discard a+0 8K\n"
    (found, *_) = Differential(candidate.get(version("6.12")), candidate.get(name)).run(parse(text)).findings
    assert found.signature == "tlb: stage2_unmap_walker: leaf not flushed L3"
    assert "it was flushed by IPA at __kvm_tlb_flush_vmid_range (tlb.c:" in found.reason
    assert "but no DSB came between that and the invalidation of stage 1" in found.reason


def test_an_endless_flush_takes_little_memory(tmp_path: Path) -> None:
    """The slot has so many pages that a call may make 32 million events."""
    right = "addr += __TLBI_RANGE_PAGES(num, scale) << PAGE_SHIFT;"
    name = planted("7.3", tmp_path / "tree", HEADER, right, right.replace("<<", ">>"))
    executor = Executor(candidate.get(name), load(ROOT / "corpus/regressions/b23-largest-range.s2"))
    tlb = executor.side.kernel.tlb
    assert isinstance(tlb, TreeTlb)
    try:
        executor.create()
        executor.step(0)
        outcome, _ = executor.step(1)
        assert outcome.status == "oops"
        assert str(outcome.value).startswith("does not return")
        assert len(tlb.reported.noted) < 5_000_000
    finally:
        tlb.reported.noted.clear()
        executor.dismantle()


MMU_HEADER: Final = "arch/arm64/include/asm/kvm_mmu.h"
VTCRS: Final = {
    "5.12.9": "kern_hyp_va(mmu->kvm)->arch.vtcr",
    "6.1": "arch->vtcr",
    "6.12": "mmu->vtcr",
    "7.3": "mmu->vtcr",
}


@pytest.mark.parametrize("tree", VTCRS)
def test_a_flush_without_the_layout_of_the_tables(tree: str, tmp_path: Path) -> None:
    """A notifier runs on a CPU that may have VTCR_EL2 of another VM; a fault on one that has it of this VM."""
    load = f"write_sysreg({VTCRS[tree]}, vtcr_el2);"
    wrong = candidate.get(planted(tree, tmp_path / "tree", MMU_HEADER, load, ";"))
    sound = candidate.get(version(tree))
    vm = "s2fuzz 1\nvm cpus=1\nslot a size=2M backing=thp log=on\ncpu0 read a+0\n"
    found = Differential(sound, wrong).run(parse(f"{vm}host discard a+0 4K\n")).titles()
    assert "regression lifetime: stage2_unmap_walker: freed before the flush" in found
    assert Differential(sound, wrong).run(parse(f"{vm}cpu0 write a+4K\n")).titles() == []
    assert Differential(sound, sound).run(parse(f"{vm}host discard a+0 4K\n")).titles() == []
