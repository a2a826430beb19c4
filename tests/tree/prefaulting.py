# SPDX-License-Identifier: GPL-2.0-only
"""A copy of a tree with a small KVM_PRE_FAULT_MEMORY for arm64, and mistakes in it."""

from pathlib import Path
from typing import Final

from candidate.tree import PREFIX
from candidate.tree.building.source import ARM, KVM_MAIN, MMU

from .trees import changed, real_tree

TREE: Final = "7.3"
KCONFIG: Final = f"{ARM}/kvm/Kconfig"
# Texts of the tree, each with what replaces it.
EDITS: Final = {
    KCONFIG: {"\tselect KVM_MMIO\n": "\tselect KVM_MMIO\n\tselect KVM_GENERIC_PRE_FAULT_MEMORY\n"},
    MMU: {
        "\tunsigned long\t\thva;\n};": "\tunsigned long\t\thva;\n\tbool\t\t\tahead;\n};",
        "\t\t\tkvm_send_hwpoison_signal(s2fd->hva": "\t\t\tif (s2fd->ahead)\n\t\t\t\treturn -EHWPOISON;\n"
        "\t\t\tkvm_send_hwpoison_signal(s2fd->hva",
    },
}
ADDED: Final = """
static bool find_leaf(struct kvm_vcpu *vcpu, gpa_t gpa, kvm_pte_t *pte, s8 *level)
{
	int ret;

	write_lock(&vcpu->kvm->mmu_lock);
	ret = kvm_pgtable_get_leaf(vcpu->arch.hw_mmu->pgt, gpa, pte, level);
	write_unlock(&vcpu->kvm->mmu_lock);
	return !ret && kvm_pte_valid(*pte);
}

static int map_ahead(struct kvm_s2_fault_desc *desc)
{
	struct kvm_vcpu_fault_info *info = &desc->vcpu->arch.fault, kept = *info;
	int ret;

	info->esr_el2 = ESR_ELx_EC_DABT_LOW << ESR_ELx_EC_SHIFT | ESR_ELx_IL | ESR_ELx_FSC_FAULT_L(3);
	info->hpfar_el2 = HPFAR_EL2_NS | desc->fault_ipa >> 12 << 4;
	ret = kvm_slot_has_gmem(desc->memslot) ? gmem_abort(desc) : user_mem_abort(desc);
	*info = kept;
	return ret;
}

long kvm_arch_vcpu_pre_fault_memory(struct kvm_vcpu *vcpu, struct kvm_pre_fault_memory *range)
{
	struct kvm_s2_fault_desc desc = { .vcpu = vcpu, .fault_ipa = range->gpa, .ahead = true };
	gfn_t gfn = range->gpa >> PAGE_SHIFT;
	u64 done = PAGE_SIZE;
	kvm_pte_t pte;
	s8 level;
	int ret;

	if (vcpu->arch.hw_mmu != &vcpu->kvm->arch.mmu)
		return -EOPNOTSUPP;
	desc.memslot = gfn_to_memslot(vcpu->kvm, gfn);
	if (!desc.memslot)
		return -ENOENT;
	if (desc.memslot->flags & KVM_MEMSLOT_INVALID)
		return -EAGAIN;
	if (!find_leaf(vcpu, range->gpa, &pte, &level)) {
		desc.hva = gfn_to_hva_memslot_prot(desc.memslot, gfn, NULL);
		ret = kvm_is_error_hva(desc.hva) ? -EFAULT : map_ahead(&desc);
		if (ret < 0)
			return ret;
	} else if (!(pte & KVM_PTE_LEAF_ATTR_LO_S2_AF)) {
		handle_access_fault(vcpu, range->gpa);
	}
	if (find_leaf(vcpu, range->gpa, &pte, &level))
		done = kvm_granule_size(level) - (range->gpa & (kvm_granule_size(level) - 1));
	return min(done, range->size);
}
"""


def prefaulting(folder: Path, *mistakes: tuple[str, str, str]) -> str:
    """Copy the tree with the call, and return the name of the version.

    :param mistakes: file, a text that occurs once in it, what replaces it
    """
    original = real_tree(TREE)
    files = {path: (original / path).read_text() for path in (KCONFIG, MMU, KVM_MAIN)}
    for path, edits in EDITS.items():
        for text, instead in edits.items():
            assert files[path].count(text) == 1, text
            files[path] = files[path].replace(text, instead)
    files[MMU] += ADDED
    for path, text, instead in mistakes:
        assert files[path].count(text) == 1, text
        files[path] = files[path].replace(text, instead)
    return f"{PREFIX}{changed(original, folder, dict(files))}"
