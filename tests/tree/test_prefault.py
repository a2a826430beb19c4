# SPDX-License-Identifier: GPL-2.0-only
"""KVM_PRE_FAULT_MEMORY of kernel trees."""

from pathlib import Path
from typing import Final

import pytest

import candidate
from candidate.tree.building.source import KVM_MAIN, MMU
from fuzz.engines.unit_run import offers_of
from fuzz.generation.generator import Generator
from fuzz.judging.differential import Differential
from fuzz.language.program import KIB, Program, pre_faults
from fuzz.language.text import load, parse

from .fidelity import Stream
from .prefaulting import TREE, prefaulting
from .runs import trace
from .trees import version

SEED: Final = load(Path(__file__).parents[2] / "corpus" / "seeds" / "prefault.s2")
HEAD: Final = "s2fuzz 1\nvm cpus=2\nslot a size=4M backing=thp\nslot b size=64K backing=anon\n"
# Number of random programs.
PROGRAMS: Final = 100


def judged(name: str, program: Program) -> list[str]:
    """Return the findings of a version with the call against the tree without it, as class and signature."""
    verdict = Differential(candidate.get(version(TREE)), candidate.get(name)).run(program)
    assert not verdict.refused
    return [f"{each.kind} {each.signature}" for each in verdict.findings if not each.known]


def test_pages_are_mapped_before_the_guest_reads_them(tmp_path: Path) -> None:
    name = prefaulting(tmp_path / "tree")
    program = parse(f"{HEAD}host write a+0 2M\ncpu0 prefault a+4K 8K\ncpu0 prefault b+0 16K\ncpu1 read b+12K\n")
    steps = Stream(name, program).steps
    _, (_, block, mapping), (_, pages, _), (_, read, reading) = steps[1:5]
    assert (block, pages, read) == ("ok 0", "ok 0", "ok 0")
    # The read takes no fault: nothing is locked or looked up.
    assert not {"lock", "gfn_to_pfn"} & {event[0] for event in reading}
    # One step maps the whole block.
    assert [event[0] for event in mapping].count("pre_fault") == 1
    lines = trace(name, program)
    assert f"pre-fault {0x4000_1000:#x}, 0x2000 bytes left" in lines
    assert "pre-faulted 0x2000 bytes" in lines


def test_it_is_a_feature_that_trees_have(tmp_path: Path) -> None:
    feature = "pre-faulting (KVM_PRE_FAULT_MEMORY)"
    base, having = candidate.get(version(TREE)), candidate.get(prefaulting(tmp_path / "tree"))
    assert feature in having.main.FEATURES
    assert feature not in base.main.FEATURES
    assert offers_of(base, having).prefault
    assert not offers_of(base).prefault


def test_trees_without_it_have_no_verdict() -> None:
    name = version(TREE)
    verdict = Differential(candidate.get(name), candidate.get(name)).run(SEED)
    assert verdict.refused == f"KVM_PRE_FAULT_MEMORY (prefault), which {name} does not have"


def test_the_seed_is_clean(tmp_path: Path) -> None:
    name = prefaulting(tmp_path / "tree")
    assert judged(name, SEED) == []
    both = Differential(candidate.get(name), candidate.get(name)).run(SEED)
    assert (both.refused, both.findings) == ("", [])


def test_random_programs_are_clean(tmp_path: Path) -> None:
    base, having = candidate.get(version(TREE)), candidate.get(prefaulting(tmp_path / "tree"))
    generator = Generator(1, 4 * KIB, offers_of(base, having)._replace(par=False, nested=False))
    both, found, ran = Differential(base, having), [], 0
    while ran < PROGRAMS:
        program = generator.next()
        if pre_faults(program):
            ran += 1
            found += [each.signature for each in both.run(program).findings if not each.known]
    assert found == []


LOGGED: Final = f"{HEAD}log b on\ncpu0 prefault b+0 16K\ncpu1 write b+0\nlog b get\n"
ONE: Final = f"{HEAD}cpu0 prefault b+0 16K\ncpu1 read b+8K\n"
# A file, a text in it, what replaces the text, a program, the finding.
MISTAKES: Final = {
    "a step counts nothing": (
        *(MMU, "\treturn min(done, range->size);\n", "\treturn 0;\n", ONE),
        "regression contract: kvm_vcpu_pre_fault_memory: WARN",
    ),
    "a step counts the next page too": (
        *(MMU, "\treturn min(done, range->size);\n", "\treturn min(2 * done, range->size);\n", ONE),
        "regression contract: kvm_vcpu_pre_fault_memory: counts a page that is not mapped, pre-faulting",
    ),
    "a step counts the whole block": (
        *(MMU, "\treturn min(done, range->size);\n", "\treturn done;\n"),
        f"{HEAD}host write a+0 2M\ncpu0 prefault a+4K 8K\n",
        "regression contract: kvm_vcpu_pre_fault_memory: counts other bytes than it was asked for, pre-faulting",
    ),
    "slots may go meanwhile": (
        *(KVM_MAIN, "\tidx = srcu_read_lock(&vcpu->kvm->srcu);\n\n\tfull_size", "\tidx = 0;\n\n\tfull_size", ONE),
        "regression locking: gfn_to_pfn_prot: slots used outside of srcu",
    ),
    "pages of a logged slot are writable": (
        *(MMU, "\treturn kvm_s2_fault_map(s2fd, &s2vi, prot, memcache);\n"),
        (
            "\tif (s2fd->ahead)\n\t\tprot |= KVM_PGTABLE_PROT_W;\n"
            "\treturn kvm_s2_fault_map(s2fd, &s2vi, prot, memcache);\n"
        ),
        *(LOGGED, "divergence result: log get"),
    ),
    "notifiers are not noticed": (
        *(MMU, "\tif (mmu_invalidate_retry(kvm, s2vi->mmu_seq))\n\t\tgoto out_unlock;\n\n\tperm_fault_granule"),
        "\tif (!s2fd->ahead && mmu_invalidate_retry(kvm, s2vi->mmu_seq))\n\t\tgoto out_unlock;\n\n\tperm_fault_granule",
        ONE,
        (
            "regression fault-order: kvm_vcpu_pre_fault_memory: mapped without mmu_notifier_retry() "
            "after a translation fault"
        ),
    ),
    "pages stay pinned": (
        *(MMU, "\tkvm_release_faultin_page(kvm, s2vi->page, !!ret, writable);\n\tkvm_fault_unlock(kvm);\n\n\t/*"),
        (
            "\tif (!s2fd->ahead)\n\t\tkvm_release_faultin_page(kvm, s2vi->page, !!ret, writable);\n"
            "\tkvm_fault_unlock(kvm);\n\n\t/*"
        ),
        ONE,
        "regression page-reference: kvm_vcpu_pre_fault_memory: frame still pinned after a translation fault",
    ),
    "tables are not allocated in advance": (
        *(MMU, "\tif (!perm_fault || memslot_is_logging(s2fd->memslot) ||\n"),
        "\tif ((!s2fd->ahead && (!perm_fault || memslot_is_logging(s2fd->memslot))) ||\n",
        ONE,
        "regression memcache: stage2_map_walker: allocation without a top-up after a translation fault",
    ),
    "another error without a slot": (
        *(MMU, "\t\treturn -ENOENT;\n\tif (desc.memslot->flags", "\t\treturn -EINVAL;\n\tif (desc.memslot->flags"),
        f"{HEAD}slot b delete\ncpu0 prefault b+0 4K\n",
        "regression contract: kvm_vcpu_pre_fault_memory: error -22, pre-faulting",
    ),
    "failed memory counts as mapped": (
        *(MMU, "\t\t\tif (s2fd->ahead)\n\t\t\t\treturn -EHWPOISON;\n", ""),
        f"{HEAD}cpu0 read b+0\nhost poison b+0\ncpu0 prefault b+0 4K\n",
        "regression contract: kvm_vcpu_pre_fault_memory: counts a page that is not mapped, pre-faulting",
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_planted_mistake(tmp_path: Path, mistake: str) -> None:
    path, text, instead, program, finding = MISTAKES[mistake]
    assert finding in judged(prefaulting(tmp_path / "tree", (path, text, instead)), parse(program))
