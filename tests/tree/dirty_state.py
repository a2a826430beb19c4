# SPDX-License-Identifier: GPL-2.0-only
"""Linux 7.3 with dirty state that the hardware manages, for tests: a right version, from which tests derive wrong ones.

Only pages have DBM: a block is split before the guest writes to a part of it, as without DBM. Any store that takes
dirty state from a leaf is an exchange, and marks the page. The log collects the state of all its leaves first.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from candidate.tree import PREFIX
from candidate.tree.building.source import ARM_C, MMU, PGTABLE

from .trees import changed, real_tree

TREE: Final = "7.3"
HEADER: Final = "arch/arm64/include/asm/kvm_pgtable.h"

HELPERS: Final = """\
#define DBM BIT(51)
#define DIRTY (DBM | KVM_PTE_LEAF_ATTR_LO_S2_S2AP_W)
#define WALK_CLEANS BIT(20)
#define HAS_DBM(level) ((level) == KVM_PGTABLE_LAST_LEVEL)

static kvm_pte_t dbm(kvm_pte_t attr, s8 level)
{
	return HAS_DBM(level) && attr & KVM_PTE_LEAF_ATTR_LO_S2_S2AP_W ? DBM : 0;
}

static bool is_dirty(const struct kvm_pgtable_visit_ctx *ctx, kvm_pte_t pte)
{
	return kvm_pte_valid(pte) && !kvm_pte_table(pte, ctx->level) && (pte & DIRTY) == DIRTY;
}

static void mark(const struct kvm_pgtable_visit_ctx *ctx)
{
	u64 size = kvm_granule_size(ctx->level), addr = ALIGN_DOWN(ctx->addr, size), end = addr + size;

	for (; addr < end; addr += PAGE_SIZE)
		mark_page_dirty(kvm_s2_mmu_to_kvm(ctx->pgt->mmu), addr >> PAGE_SHIFT);
}

static void collect(const struct kvm_pgtable_visit_ctx *ctx, kvm_pte_t old, kvm_pte_t new)
{
	if (ctx->pgt && is_dirty(ctx, old) && !is_dirty(ctx, new) && !(ctx->flags & WALK_CLEANS))
		mark(ctx);
}

static int sync_walker(const struct kvm_pgtable_visit_ctx *ctx, enum kvm_pgtable_walk_flags visit)
{
	if (is_dirty(ctx, ctx->old))
		mark(ctx);
	return 0;
}

int kvm_pgtable_stage2_sync_dirty(struct kvm_pgtable *pgt, u64 addr, u64 size)
{
	struct kvm_pgtable_walker walker = { .cb = sync_walker, .flags = KVM_PGTABLE_WALK_LEAF };

	return kvm_pgtable_walk(pgt, addr, size, &walker);
}

"""
SETS: Final = """\
	if (!kvm_pgtable_walk_shared(ctx)) {
		collect(ctx, xchg(ctx->ptep, new), new);
		return true;
	}

	if (cmpxchg(ctx->ptep, ctx->old, new) != ctx->old)
		return false;
	collect(ctx, ctx->old, new);
	return true;
}
"""
UNMAPS: Final = "\t\tcollect(ctx, xchg(ctx->ptep, 0), 0);\n\n\t\tif (kvm_pte_table(ctx->old, ctx->level)) {"
SYNC: Final = """\
void kvm_mmu_sync_dirty_log(struct kvm *kvm, struct kvm_memory_slot *slot)
{
	phys_addr_t start = slot->base_gfn << PAGE_SHIFT, end = start + (slot->npages << PAGE_SHIFT);

	write_lock(&kvm->mmu_lock);
	stage2_apply_range_resched(&kvm->arch.mmu, start, end, kvm_pgtable_stage2_sync_dirty);
	write_unlock(&kvm->mmu_lock);
}

"""
CALLS: Final = "\tvoid kvm_mmu_sync_dirty_log(struct kvm *kvm, struct kvm_memory_slot *slot);\n\n"
CALL: Final = "\tkvm_mmu_sync_dirty_log(kvm, memslot);\n"

_ONLY_PAGES: Final = "#define HAS_DBM(level) ((level) == KVM_PGTABLE_LAST_LEVEL)\n"
# Blocks have DBM, too, and a write makes all of a block dirty.
BLOCKS: Final = (PGTABLE, _ONLY_PAGES, "#define HAS_DBM(level) true\n")

_SETS_BEFORE: Final = """\
	if (!kvm_pgtable_walk_shared(ctx)) {
		WRITE_ONCE(*ctx->ptep, new);
		return true;
	}

	return cmpxchg(ctx->ptep, ctx->old, new) == ctx->old;
}
"""
_WALKER: Final = "\tstruct kvm_pgtable_walker\t*walker;\n"
_AGES: Final = "\t\tvtcr |= VTCR_EL2_HA;\n"
_MAPS: Final = "\t\tnew = kvm_init_valid_leaf_pte(phys, data->attr, ctx->level);\n\telse\n"
_NEEDS_UPDATE: Final = "static bool stage2_pte_needs_update("
_FLAGS: Final = "\t\t\t\t\tNULL, NULL,\n\t\t\t\t\tKVM_PGTABLE_WALK_IGNORE_EAGAIN"
_DECLARED: Final = "int kvm_pgtable_stage2_wrprotect("
_DECLARATION: Final = "int kvm_pgtable_stage2_sync_dirty(struct kvm_pgtable *pgt, u64 addr, u64 size);\n"
_PROTECTS: Final = "static void kvm_mmu_wp_memory_region("
_EMPTY: Final = "void kvm_arch_sync_dirty_log(struct kvm *kvm, struct kvm_memory_slot *memslot)\n{\n"

# File -> texts to replace, each by another; a text must occur once.
EDITS: Final[Mapping[str, tuple[tuple[str, str], ...]]] = {
    PGTABLE: (
        ("#include <asm/stage2_pgtable.h>\n", "#include <asm/stage2_pgtable.h>\n#include <asm/kvm_mmu.h>\n"),
        (_WALKER, f"{_WALKER}\tstruct kvm_pgtable *pgt;\n"),
        ("\t\t.arg\t= data->walker->arg,\n", "\t\t.arg\t= data->walker->arg,\n\t\t.pgt\t= data->pgt,\n"),
        ("\t\t.walker\t= walker,\n\t};\n\tint r;\n", "\t\t.walker\t= walker,\n\t\t.pgt\t= pgt,\n\t};\n\tint r;\n"),
        (_AGES, f"{_AGES}\tif (cpus_have_final_cap(ARM64_HW_DBM))\n\t\tvtcr |= VTCR_EL2_HD;\n"),
        (_NEEDS_UPDATE, HELPERS + _NEEDS_UPDATE),
        (_SETS_BEFORE, SETS),
        ("\t\tkvm_clear_pte(ctx->ptep);\n\n\t\tif (kvm_pte_table(ctx->old, ctx->level)) {", UNMAPS),
        (_MAPS, _MAPS.replace(";", " | dbm(data->attr, ctx->level);")),
        ("\tpte |= data->attr_set;\n", "\tpte |= data->attr_set | dbm(data->attr_set, ctx->level);\n"),
        (_FLAGS, f"{_FLAGS} | WALK_CLEANS"),
    ),
    HEADER: (
        ("\tvoid\t\t\t\t\t*arg;\n", "\tvoid\t\t\t\t\t*arg;\n\tstruct kvm_pgtable *pgt;\n"),
        ("\t\t\t\t\t KVM_PTE_LEAF_ATTR_HI_S2_XN)\n", "\t\t\t\t\t KVM_PTE_LEAF_ATTR_HI_S2_XN | BIT(51))\n"),
        (_DECLARED, _DECLARATION + _DECLARED),
    ),
    MMU: ((_PROTECTS, SYNC + _PROTECTS),),
    ARM_C: ((f"{_EMPTY}\n}}\n", f"{_EMPTY}{CALLS}{CALL}}}\n"),),
}


def dirty_tree(folder: Path, *mistakes: tuple[str, str, str]) -> str:
    """Return the name of a version in which the hardware manages the dirty state.

    :param mistakes: a file, a text that occurs there once in the right version, and its replacement
    """
    original = real_tree(TREE)
    files: dict[str, str | None] = {}
    for path, edits in EDITS.items():
        source = (original / path).read_text()
        for text, instead in (*edits, *(mistake[1:] for mistake in mistakes if mistake[0] == path)):
            assert source.count(text) == 1, text
            source = source.replace(text, instead)
        files[path] = source
    return f"{PREFIX}{changed(original, folder, files)}"
