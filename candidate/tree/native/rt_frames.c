// SPDX-License-Identifier: GPL-2.0-only
/* Frames of the host: lookups, marks, devices; and exits of a guest. */
#include "rt.h"

typedef long (*any_function)(long, long, long, long, long, long, long, long);
extern long real_gfn_to_pfn_prot(long, long, long, long, long, long, long, long) WEAK;
extern long real___gfn_to_pfn_memslot(long, long, long, long, long, long, long, long) WEAK;
extern long real___kvm_faultin_pfn(long, long, long, long, long, long, long, long) WEAK;

/* As EV_GFN has it. */
#define LOOKED_UP	(shim_looked_up_write | shim_looked_up_writable << 1 | shim_slots_locked() << 2)

/* Lookups forward all registers and stack words that may be arguments, because these differ between trees. */
#define LOOK_UP(name) \
long name(long a, long gfn, long c, long d, long e, long f, long g, long h) \
{ \
	long pfn; \
\
	RT_BEFORE(POINT_LOOKUP); \
	pfn = real_##name(a, gfn, c, d, e, f, g, h); \
	rt_emit(EV_GFN, gfn, pfn, LOOKED_UP, 0, FRAME); \
	RT_AFTER(POINT_LOOKUP); \
	return pfn; \
}
LOOK_UP(gfn_to_pfn_prot)
LOOK_UP(__gfn_to_pfn_memslot)
LOOK_UP(__kvm_faultin_pfn)

extern int real_kvm_is_transparent_hugepage(unsigned long) WEAK;
int kvm_is_transparent_hugepage(unsigned long pfn)
{
	int yes = real_kvm_is_transparent_hugepage(pfn) & 0xff;

	rt_emit(EV_THP, pfn, yes, 0, 0, FRAME);
	return yes;
}

extern void real_kvm_set_pfn_dirty(unsigned long) WEAK;
unsigned long rt_dirty_pfn = -1UL;
void kvm_set_pfn_dirty(unsigned long pfn)
{
	RT_LOADED();
	rt_dirty_pfn = pfn;
	real_kvm_set_pfn_dirty(pfn);
	rt_dirty_pfn = -1UL;
}

extern void real_mark_page_dirty(void *, unsigned long) WEAK;
extern void real_mark_page_dirty_in_slot(void *, void *, unsigned long) WEAK;
void mark_page_dirty(void *kvm, unsigned long gfn)
{
	real_mark_page_dirty(kvm, gfn);
	rt_emit(EV_MARK, gfn, shim_slots_locked(), 0, 0, FRAME);
}

void mark_page_dirty_in_slot(void *kvm, void *slot, unsigned long gfn)
{
	real_mark_page_dirty_in_slot(kvm, slot, gfn);
	rt_emit(EV_MARK, gfn, shim_slots_locked(), 0, 0, FRAME);
}

static int mark(const void *page, unsigned int kind, void **frame)
{
	rt_use_struct_page(page, 1, frame);
	rt_emit(kind, rt_pfn_of(page), 0, 0, 0, frame);
	return 1;
}
void mark_page_accessed(void *page) { mark(page, EV_ACCESSED, FRAME); }
void folio_mark_accessed(void *folio) { mark(folio, EV_ACCESSED, FRAME); }
int folio_mark_dirty(void *folio) { return mark(folio, EV_DIRTY, FRAME); }
int set_page_dirty(void *page) { return mark(page, EV_DIRTY, FRAME); }

void mte_clear_page_tags(void *va)
{
	unsigned long pfn = ((unsigned long)va - SHIM_VA_OFF) >> RT_PAGE_SHIFT;

	RT_BEFORE(POINT_TAGS);
	rt_emit(EV_TAGS, pfn, shim_flagged_as_tagged(pfn), 0, 0, FRAME);
	RT_AFTER(POINT_TAGS);
}

static int is_device(unsigned long pfn)
{
	for (unsigned int i = 0; i < shim_control->host.ndevice; i++)
		if (pfn - shim_control->device[i].pfn < shim_control->device[i].pages)
			return 1;
	return 0;
}
int pfn_is_map_memory(unsigned long pfn) { return !is_device(pfn); }
_Bool memblock_is_memory(unsigned long address) { return !is_device(address >> RT_PAGE_SHIFT); }
ALIAS(memblock_is_map_memory, memblock_is_memory)
int pfn_valid(unsigned long pfn) { return !is_device(pfn); }

/* Kernel code accesses a struct page, by an address within it: a frame of a device has none. */
void rt_use_struct_page(const void *page, int write, void **frame)
{
	if (rt_recording && is_device(rt_pfn_of(page)))
		rt_emit(EV_NO_STRUCT_PAGE, rt_pfn_of(page), write, 0, 0, frame);
}

/* ---- exits ---- */

int io_mem_abort(void *v, unsigned long ipa) { CALL(EV_IO, ipa, 0, 0, 0); return 1; }
#define INJECT(name, what) long name(void *v, unsigned long a) { CALL(EV_INJECT, a, 0, 0, what); return 1; }
INJECT(kvm_inject_dabt, "dabt")
INJECT(kvm_inject_pabt, "pabt")
INJECT(kvm_inject_vabt, "vabt")
int kvm_inject_sea(void *v, int iabt, unsigned long a)
{
	CALL(EV_INJECT, a, 0, 0, iabt & 0xff ? "pabt" : "dabt");
	return 1;
}
int kvm_inject_serror_esr(void *v, unsigned long esr) { CALL(EV_INJECT, 0, 0, 0, "vabt"); return 1; }
int send_sig_mceerr(int code, void *addr, short lsb, void *task) { CALL(EV_SIGBUS, addr, lsb, 0, 0); return 0; }
int force_sig_mceerr(int code, void *addr, short lsb) { CALL(EV_SIGBUS, addr, lsb, 0, 0); return 0; }
