/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The tree's header; virtual addresses are physical ones plus SHIM_VA_OFF, struct pages are at SHIM_VMEMMAP.
 */
#ifndef SHIM_ASM_MEMORY_H
#define SHIM_ASM_MEMORY_H

#include <probe.h>
#include <shim.h>

#ifndef HAVE_PFN_VALID_FN
int pfn_valid(unsigned long pfn);
#endif

#include_next <asm/memory.h>

#undef __phys_to_virt
#define __phys_to_virt(x)	((unsigned long)(x) + SHIM_VA_OFF)

static inline void *shim_phys_to_virt(phys_addr_t x)
{
	return (void *)__phys_to_virt(x);
}
#undef phys_to_virt
#define phys_to_virt shim_phys_to_virt

/* TCR_EL1: only DS, bit 59, matters: with it, descriptors hold addresses of 52 bits in the layout of FEAT_LPA2. */
#define read_tcr()		(shim_start_of_memory() ? 1UL << 59 : 0)

#undef VMEMMAP_START
#define VMEMMAP_START		SHIM_VMEMMAP

#undef virt_addr_valid
#define virt_addr_valid(p)	SHIM_IN_ARENA(p)

#endif
