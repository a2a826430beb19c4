// SPDX-License-Identifier: GPL-2.0-only
/* TLB maintenance: calls of tlb.c, and the instructions of the tree's own tlb.c. */
#include "rt.h"

/* The tree's own functions, under their second names; weak because a tree may have moved them. */
extern void real___kvm_tlb_flush_vmid_ipa(void *mmu, unsigned long ipa, int level) WEAK;
extern void real___kvm_tlb_flush_vmid_ipa_nsh(void *mmu, unsigned long ipa, int level) WEAK;
extern void real___kvm_tlb_flush_vmid_range(void *mmu, unsigned long ipa, unsigned long pages) WEAK;
extern void real___kvm_tlb_flush_vmid(void *mmu) WEAK;

/* Registers that tlb.c reads back hold the value that was written last. HCR_EL2 initially has E2H and TGE. */
static struct { const char *name; unsigned long value; } registers[] = {
	{ "hcr_el2", 1UL << 34 | 1UL << 27 }, { "vttbr_el2", 0 }, { "SYS_TCR_EL12", 0 }, { "SYS_SCTLR_EL12", 0 },
};
#define VTTBR registers[1].value

/* VTTBR_EL2 of the vCPU that runs; 0: none runs. */
static unsigned long loaded(void)
{
	unsigned long vttbr = shim_loaded_vttbr();

	if (vttbr)
		VTTBR = vttbr;
	return vttbr;
}

/* The driver keeps the instructions of a call until its end: one for each page of the largest slot, and some more. A call with
 * more instructions is an endless loop. */
#define INSTRUCTIONS	((1U << 22) + (1U << 16))
static unsigned int instructions;

/* A call is recorded after its instructions, and that record makes them take effect. At the beginning of the call, the CPU has
 * the VTTBR_EL2 of the vCPU that runs: guest entry or scheduling has loaded it, by code that is not compiled here. */
#define FLUSH(name, kind, mmu, b, c, ...) do {				\
	if (!shim_knows_##name)						\
		shim_refuse("__kvm_tlb_" #name "() with other arguments");	\
	RT_BEFORE(POINT_FLUSH);						\
	if (real___kvm_tlb_##name) {					\
		instructions = 0;					\
		CALL(EV_INSTRUCTION, loaded(), 0, 0, "tlb.c");		\
		real___kvm_tlb_##name(mmu, ##__VA_ARGS__);		\
	}								\
	CALL(kind, shim_vm_of_mmu(mmu), b, c, 0);			\
	RT_AFTER(POINT_FLUSH);						\
} while (0)

void __kvm_tlb_flush_vmid_ipa(void *mmu, unsigned long ipa, int level)
{
	FLUSH(flush_vmid_ipa, EV_TLBI_IPA, mmu, ipa, level, ipa, level);
}
void __kvm_tlb_flush_vmid_ipa_nsh(void *mmu, unsigned long ipa, int level)
{
	FLUSH(flush_vmid_ipa_nsh, EV_TLBI_IPA_LOCAL, mmu, ipa, level, ipa, level);
}
void __kvm_tlb_flush_vmid_range(void *mmu, unsigned long ipa, unsigned long pages)
{
	FLUSH(flush_vmid_range, EV_TLBI_RANGE, mmu, ipa, pages, ipa, pages);
}
void __kvm_tlb_flush_vmid(void *mmu)
{
	FLUSH(flush_vmid, EV_TLBI_VMID, mmu, 0, 0);
}

/* Number of VMID bits, defined by arm.c or vmid.c in a kernel. */
unsigned int kvm_arm_vmid_bits = 16;

unsigned long shim_read_sysreg(const char *name)
{
	for (unsigned int i = 0; i < sizeof(registers) / sizeof(*registers); i++)
		if (!strcmp(registers[i].name, name))
			return registers[i].value;
	return strcmp(name, "CurrentEL") ? 0 : 8; /* EL2: VHE */
}
void shim_write_sysreg(const char *name, unsigned long v) { CALL(EV_CALL, v, 0, 0, name); }

void shim_instruction_at(const char *name, unsigned long operand, void **frame)
{
	if (!strncmp(name, "msr ", 4))
		for (unsigned int i = 0; i < sizeof(registers) / sizeof(*registers); i++)
			if (!strcmp(registers[i].name, name + 4))
				registers[i].value = operand;
	if (++instructions > INSTRUCTIONS)
		shim_crash("does not return", frame, 0);
	rt_emit(EV_INSTRUCTION, operand, 0, 0, name, frame);
}
void shim_instruction(const char *name, unsigned long operand) { shim_instruction_at(name, operand, FRAME); }

/* The assembler turns an arm64 instruction into a call of this function, which preserves all registers. */
asm(".text\n"
    ".globl shim_instruction_asm\n"
    ".type shim_instruction_asm, @function\n"
    "shim_instruction_asm:\n"
    "	push	%rbp\n"
    "	mov	%rsp, %rbp\n"
    "	push	%rcx\n"
    "	push	%rdx\n"
    "	push	%rsi\n"
    "	push	%rdi\n"
    "	push	%r8\n"
    "	push	%r9\n"
    "	push	%r10\n"
    "	push	%r11\n"
    "	mov	16(%rbp), %rdi\n"
    "	mov	24(%rbp), %rsi\n"
    "	mov	%rbp, %rdx\n"
    "	and	$-16, %rsp\n"
    "	call	shim_instruction_at@PLT\n"
    "	lea	-64(%rbp), %rsp\n"
    "	pop	%r11\n"
    "	pop	%r10\n"
    "	pop	%r9\n"
    "	pop	%r8\n"
    "	pop	%rdi\n"
    "	pop	%rsi\n"
    "	pop	%rdx\n"
    "	pop	%rcx\n"
    "	pop	%rbp\n"
    "	ret\n");
