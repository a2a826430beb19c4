/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The tree's header; tlb.c accesses EL1 registers by name, as a kernel at EL2 does. In other files that is refused.
 */
#ifndef SHIM_ASM_KVM_HYP_H
#define SHIM_ASM_KVM_HYP_H

#include_next <asm/kvm_hyp.h>

#ifdef SHIM_TLB_C
#undef read_sysreg_elx
#undef write_sysreg_elx
#define read_sysreg_elx(r, nvh, vh)	read_sysreg_s(r##vh)
#define write_sysreg_elx(v, r, nvh, vh)	write_sysreg_s(v, r##vh)
#endif

#endif
