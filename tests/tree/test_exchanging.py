# SPDX-License-Identifier: GPL-2.0-only
"""Walks for host and user space that hold the mmu lock for reading, or not at all: drawn, and their races found."""

from pathlib import Path
from random import Random
from typing import Final

import candidate
from candidate.tree.building.source import KVM_MAIN, MMU, PGTABLE
from candidate.tree.runtime.pool import POOL
from fuzz.engines.exchanging import exchanging
from fuzz.engines.unit_run import offers_of
from fuzz.generation.overtaken import with_overtaken_walk
from fuzz.judging.differential import REGRESSION, Differential
from fuzz.language.operations import ClearLog, HostAge
from fuzz.language.program import has_blocks
from fuzz.language.text import parse

from .trees import changed, real_tree, version

PROGRAM: Final = parse("s2fuzz 1\nvm cpus=2\nslot a size=64K backing=anon\ncpu0 read a+0\n")
# Upper bound on the programs until one shows a mistake; of 20 starting points, the slowest took 37.
ENOUGH: Final = 150
# Code of kvm_pgtable_stage2_test_clear_young(), which warns if a walk ends early.
AGES: Final = ".arg\t\t= &data,\n\t\t.flags\t\t= KVM_PGTABLE_WALK_LEAF,\n\t};\n\n\tWARN_ON(kvm_pgtable_walk("
AGES_SHARED: Final = AGES.replace("_LEAF,", "_LEAF | KVM_PGTABLE_WALK_SHARED,")
KCONFIG: Final = "arch/arm64/kvm/Kconfig"
SELECTS: Final = "\tselect KVM_MMIO\n"
# Code of kvm_pgtable_stage2_wrprotect(), which goes on after a lost exchange.
PROTECTS: Final = "\t\t\t\t\tNULL, NULL,\n\t\t\t\t\tKVM_PGTABLE_WALK_IGNORE_EAGAIN);"
PROTECTS_SHARED: Final = PROTECTS.replace("KVM_PGTABLE_WALK_IGN", "KVM_PGTABLE_WALK_SHARED | KVM_PGTABLE_WALK_IGN")
ASSERTS: Final = "\tlockdep_assert_held_write(&kvm->mmu_lock);\n\n\tkvm_stage2_wp_range("
NESTED: Final = "\tkvm_nested_s2_wp(kvm);\n}\n\nstatic void kvm_send_hwpoison_signal("
FORGOTTEN: Final = "translation: stage2_attr_walker: writable and not in the dirty log"
CLEARS: Final = "static int kvm_clear_dirty_log_protect("


def ageing_without_lock(folder: Path) -> str:
    """Return 7.3 with ageing outside of the mmu lock, whose walk ends where it loses an exchange."""
    tree = real_tree("7.3")
    source, kconfig = (tree / PGTABLE).read_text(), (tree / KCONFIG).read_text()
    assert source.count(AGES) == kconfig.count(SELECTS) == 1
    files = {
        PGTABLE: source.replace(AGES, AGES_SHARED),
        KCONFIG: kconfig.replace(SELECTS, f"{SELECTS}\tselect KVM_MMU_LOCKLESS_AGING\n"),
    }
    return f"tree:{changed(tree, folder, files)}"


def clearing_among_readers(folder: Path) -> str:
    """Return 7.3 with KVM_CLEAR_DIRTY_LOG under the mmu lock for reading, which forgets pages where it loses."""
    tree = real_tree("7.3")
    pgtable, mmu, main = ((tree / each).read_text() for each in (PGTABLE, MMU, KVM_MAIN))
    assert pgtable.count(PROTECTS) == mmu.count(ASSERTS) == mmu.count(NESTED) == main.count(f"\n{CLEARS}") == 1
    before, name, after = main.partition(CLEARS)
    clears, end, rest = after.partition("\n}\n")
    for text, instead in (("KVM_MMU_LOCK(kvm)", "read_lock"), ("KVM_MMU_UNLOCK(kvm)", "read_unlock")):
        assert clears.count(text) == 1
        clears = clears.replace(text, f"{instead}(&kvm->mmu_lock)")
    files = {
        PGTABLE: pgtable.replace(PROTECTS, PROTECTS_SHARED),
        MMU: mmu.replace(ASSERTS, ASSERTS.replace("held_write", "held")).replace(NESTED, NESTED.partition(";\n")[2]),
        KVM_MAIN: f"{before}{name}{clears}{end}{rest}",
    }
    return f"tree:{changed(tree, folder, files)}"


def found_within(planted: str, kind: type, signature: str) -> int:
    """Return the number of programs that are judged until one shows a signature; `ENOUGH` if none does."""
    reference, mistaken = candidate.get(version("7.3")), candidate.get(planted)
    assert offers_of(reference, mistaken).overtaken == {kind}
    differential = Differential(reference, mistaken)
    judged = 0
    for number in range(100 * ENOUGH):
        program = with_overtaken_walk(PROGRAM, frozenset([kind]), Random(number))
        if has_blocks(program):
            judged += 1
            worse = [each.signature for each in differential.run(program).findings if each.kind == REGRESSION]
            if judged == ENOUGH or any(each.startswith(signature) for each in worse):
                break
    return judged


def test_no_walk_of_upstream_is_overtaken() -> None:
    """Check also that the probe counts no line as run."""
    upstream = candidate.get(version("7.3"))
    # A process runs some lines when it starts.
    assert Differential(upstream, upstream).run(PROGRAM).findings == []
    before = POOL.counts().to_wire()
    exchanging.cache_clear()
    assert exchanging(upstream) == frozenset()
    assert POOL.counts().to_wire() == before
    assert exchanging(candidate.get("original")) == frozenset()


def test_a_walk_that_ends_where_it_is_overtaken(tmp_path: Path) -> None:
    planted = ageing_without_lock(tmp_path / "tree")
    assert found_within(planted, HostAge, "contract: kvm_pgtable_stage2_test_clear_young: WARN") < ENOUGH


def test_a_walk_that_skips_the_entry_where_it_is_overtaken(tmp_path: Path) -> None:
    planted = clearing_among_readers(tmp_path / "tree")
    assert found_within(planted, ClearLog, FORGOTTEN) < ENOUGH
