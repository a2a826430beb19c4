#ifndef SHIM_ASM_MEMORY_H
#define SHIM_ASM_MEMORY_H
#include <shim.h>
#include <probe.h>
#ifndef HAVE_PFN_VALID_FN
int pfn_valid(unsigned long pfn);
#endif
extern unsigned long shim_vmemmap;
#include_next <asm/memory.h>
#undef __phys_to_virt
#define __phys_to_virt(x)	((unsigned long)(x) + shim_va_off)
static inline void *shim_phys_to_virt(phys_addr_t x) { return (void *)__phys_to_virt(x); }
#undef phys_to_virt
#define phys_to_virt shim_phys_to_virt
#undef VMEMMAP_START
#define VMEMMAP_START		shim_vmemmap
#undef virt_addr_valid
#define virt_addr_valid(p)	SHIM_IN_ARENA(p)
#endif
