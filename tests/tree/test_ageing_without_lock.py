# SPDX-License-Identifier: GPL-2.0-only
"""Ageing without the mmu lock, under RCU, in kernels that select CONFIG_KVM_MMU_LOCKLESS_AGING."""

from pathlib import Path
from typing import Final

import candidate
from candidate.tree import PREFIX
from candidate.tree.building.source import PGTABLE
from fuzz.judging.differential import REGRESSION, Differential
from fuzz.language.text import parse

from .trees import changed, real_tree, version

KCONFIG: Final = "arch/arm64/kvm/Kconfig"
SELECTS: Final = "\tselect KVM_MMIO\n"
# Code of kvm_pgtable_stage2_test_clear_young().
FLAGS: Final = ".arg\t\t= &data,\n\t\t.flags\t\t= KVM_PGTABLE_WALK_LEAF,\n\t};\n\n\tWARN_ON(kvm_pgtable_walk("
SHARED: Final = FLAGS.replace("_LEAF,", "_LEAF | KVM_PGTABLE_WALK_SHARED,").replace("WARN_ON(", "(void)(")
# Code of stage2_unmap_walker().
FREES: Final = "kvm_granule_size(ctx->level));\n\n\tif (childp)\n\t\tmm_ops->put_page(childp);\n"
LATER: Final = FREES.replace("put_page(childp)", "free_unlinked_table(childp, ctx->level)")
AGE: Final = "s2fuzz 1\nvm\nslot a size=2M backing=anon\ncpu0 read a+0\n{}cpu0 read a+0\n"
ALONE: Final = parse(AGE.format("host age a+0 4K\n"))
BESIDE: Final = parse(
    AGE.format("par\nhost0 age a+0 4K\nhost1 discard a+0 2M\nswitch host0 to host1 after load 2\nend\n")
)


def ageing(folder: Path, frees: str) -> Differential:
    """Compare 7.3 with a copy that ages pages without the lock.

    :param frees: code that frees a table that has become empty
    """
    tree = real_tree("7.3")
    source, kconfig = (tree / PGTABLE).read_text(), (tree / KCONFIG).read_text()
    for text, instead in ((FLAGS, SHARED), (FREES, frees)):
        assert source.count(text) == 1, text
        source = source.replace(text, instead)
    assert SELECTS in kconfig
    kconfig = kconfig.replace(SELECTS, f"{SELECTS}\tselect KVM_MMU_LOCKLESS_AGING\n", 1)
    copy = changed(tree, folder, {PGTABLE: source, KCONFIG: kconfig})
    return Differential(candidate.get(version("7.3")), candidate.get(f"{PREFIX}{copy}"))


def test_tables_freed_after_the_readers_are_clean(tmp_path: Path) -> None:
    differential = ageing(tmp_path / "tree", LATER)
    assert differential.run(ALONE).findings == []
    assert differential.run(BESIDE).findings == []


def test_tables_freed_at_once_are_found(tmp_path: Path) -> None:
    differential = ageing(tmp_path / "tree", FREES)
    assert differential.run(ALONE).findings == []
    worse = [each.signature for each in differential.run(BESIDE).findings if each.kind == REGRESSION]
    assert any(each.startswith("lifetime: ") for each in worse), worse
