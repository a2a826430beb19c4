/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The stage 2 of the guest hypervisor; included by glue_nested.h.
 *
 * Its tables map each address to itself, with all permissions: entries at level 2 are blocks and tables of pages in turn.
 * The tables are computed when the tree reads them. They have the page size of the host, and lie at the end of the
 * addresses that the guest hypervisor's CPU has (pa_bits), those of each level in a row, so that the place of an entry
 * tells its level and address.
 */
#define FIRST_LEVEL	(PAGE_SHIFT == 12 ? 1 : 2)	/* VTCR_EL2.SL0 is 1 */
#define LEVEL_ROOM	(1UL << (pa_bits - 9))		/* for the tables of a level: with 4K pages, those of level 3 fill it */
#define ENTRY_TABLE	3UL				/* also of a page, at level 3 */
#define ENTRY_BLOCK	1UL
/* Normal memory, cached; all permissions; inner shareable; accessed. */
#define ENTRY_LEAF	(0xfUL << 2 | 3UL << 6 | 3UL << 8 | 1UL << 10)

static bool stage2_on;			/* from SHIM_CAP_STAGE2 */

static u64 tables_of_level(int level) { return (1UL << pa_bits) - (4 - level) * LEVEL_ROOM; }

/* The bits of an address within one entry of a level. */
static int entry_shift(int level) { return PAGE_SHIFT + (3 - level) * (PAGE_SHIFT - 3); }

/* Registers of a vCPU whose hypervisor has enabled its stage 2. */
static void enable_stage2(struct kvm_vcpu *c)
{
	u64 tg0 = PAGE_SHIFT == 12 ? 0 : PAGE_SHIFT == 14 ? 2 : 1;
	u64 ps = pa_bits == 32 ? 0 : pa_bits == 36 ? 1 : 2;

	ctxt_sys_reg(&c->arch.ctxt, HCR_EL2) = HCR_VM | HCR_RW;
	ctxt_sys_reg(&c->arch.ctxt, VTTBR_EL2) |= tables_of_level(FIRST_LEVEL);
	ctxt_sys_reg(&c->arch.ctxt, VTCR_EL2) = 1UL << 31 | ps << 16 | tg0 << 14 | 1UL << 6 | (64 - pa_bits);
}

/* ID_AA64MMFR0_EL1, by which the tree checks the page size of the guest's tables. */
static void describe_cpu(struct kvm *kvm)
{
#ifdef HAVE_VM_ID_REG
	*__vm_id_reg(&kvm->arch, SYS_ID_AA64MMFR0_EL1) = read_sanitised_ftr_reg(SYS_ID_AA64MMFR0_EL1);
#endif
}

/* The entry of a level that maps an address. */
static u64 guest_entry(int level, u64 ipa)
{
	u64 index = ipa >> entry_shift(level);

	if (level == 3)
		return ipa | ENTRY_LEAF | ENTRY_TABLE;
	if (level == 2 && index % 2 == 0)
		return ipa | ENTRY_LEAF | ENTRY_BLOCK;
	return (tables_of_level(level + 1) + (index << PAGE_SHIFT)) | ENTRY_TABLE;
}

/* Read one entry of a table; false: there is no table at that address of the guest. */
static bool read_guest_table(u64 gpa, u64 *entry, unsigned long len)
{
	int level = FIRST_LEVEL;

	if (!stage2_on || !pa_bits || len != sizeof(*entry) || gpa >= 1UL << pa_bits || gpa < tables_of_level(level))
		return false;
	while (level < 3 && gpa >= tables_of_level(level + 1))
		level++;
	*entry = guest_entry(level, (gpa - tables_of_level(level)) / sizeof(*entry) << entry_shift(level));
	return true;
}
