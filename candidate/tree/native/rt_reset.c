// SPDX-License-Identifier: GPL-2.0-only
/*
 * Each program begins with the same memory: changes of one program are undone before the next. All memory that can change is
 * in the library's variables, in the arena and the pages after it, in its counts, in small memory, and in the array of
 * struct pages.
 */
#define _GNU_SOURCE
#include <link.h>
#undef EV_NONE
#include "rt.h"

/* Used memory beyond this size is given back to the host instead of being zeroed. */
#define ZEROED_BYTES	(1UL << 20)

static char *variables, *saved;
static size_t variable_bytes, small_saved;
static char *small, *small_next;
unsigned long rt_small_start;

/* Small memory is allocated in order and never reused, so a use after free can be detected. */
void *rt_small(unsigned long n)
{
	char *p = small_next;

	if (n > RT_SMALL_BYTES || p + n + 32 > small + RT_SMALL_BYTES)
		shim_refuse("more small allocations than the heap holds");
	*(unsigned long *)p = n;
	small_next += (n + 31) & ~15UL;
	return p + 16;
}

/* End a process in which no program can run. */
void rt_cannot_start(const char *why)
{
	fprintf(stderr, "s2fuzz: %s\n", why);
	exit(2);
}

/* Allocate memory that the reset leaves alone: it lives as long as the process. */
void *rt_keep(unsigned long n)
{
	void *p = mmap(0, n, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (p == MAP_FAILED)
		rt_cannot_start("no memory");
	return p;
}

/* Find the writable part of our image, without the part that the loader has made read-only. */
static int find_variables(struct dl_phdr_info *info, size_t size, void *unused)
{
	char *base = (char *)info->dlpi_addr, *start = 0, *end = 0, *sealed = 0;

	if (base != &__ehdr_start)
		return 0;
	for (int i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *h = &info->dlpi_phdr[i];

		if (h->p_type == PT_LOAD && h->p_flags & PF_W) {
			start = base + h->p_vaddr;
			end = start + h->p_memsz;
		} else if (h->p_type == PT_GNU_RELRO) {
			sealed = base + h->p_vaddr + h->p_memsz;
		}
	}
	variables = sealed > start ? sealed : start;
	/* Exclude the counters, which the driver reads after the program. */
	if (shim_counters && (char *)shim_counters > variables && (char *)shim_counters < end)
		end = (char *)shim_counters;
	variable_bytes = end - variables;
	return 1;
}

/* Set up memory and save it: this is the state in which each program begins. */
void shim_snapshot(void)
{
	small = small_next = rt_keep(RT_SMALL_BYTES);
	rt_small_start = (unsigned long)small;
	rt_make_stacks();
	rt_own(&shim_stack_top, sizeof(shim_stack_top));
	rt_own(&rt_counting_failures, sizeof(rt_counting_failures));
	rt_own(&rt_in_cache, sizeof(rt_in_cache));
	rt_own(&rt_dirty_pfn, sizeof(rt_dirty_pfn));
	rt_own_locks();
	rt_own_rcu();
	rt_own_records();
	rt_own_samples();
#ifdef SHIM_SANITIZE
	rt_zones(small, RT_SMALL_BYTES);
#endif
	shim_start();
	if (!dl_iterate_phdr(find_variables, 0))
		rt_cannot_start("this library cannot find its variables");
	small_saved = small_next - small;
#ifdef SHIM_SANITIZE
	rt_zones_save(small_saved);
#endif
	saved = rt_keep(variable_bytes + small_saved);
	memcpy(saved + variable_bytes, small, small_saved);
	memcpy(saved, variables, variable_bytes);
}

/* Give memory back to the host; it then reads as zero. */
void rt_give_back(char *start, size_t bytes)
{
	if (bytes && madvise(start, bytes, MADV_DONTNEED))
		shim_crash("memory cannot be given back", __builtin_frame_address(0), 0);
}

static void zero(char *start, size_t used)
{
	size_t kept = used > ZEROED_BYTES ? ZEROED_BYTES - ((size_t)start & 4095) : used;

	memset(start, 0, kept);
	/* The part that is given back begins at a page boundary of the host. */
	rt_give_back(start + kept, used - kept);
}

/* At the end of a program: restore all memory to the snapshot. */
void shim_restore(void)
{
	rt_forget_stacks();
	zero((char *)SHIM_ARENA, (size_t)rt_arena_next << RT_PAGE_SHIFT);
	zero(rt_shadow, (size_t)rt_arena_next << RT_PAGE_SHIFT);
	zero((char *)rt_counts, rt_arena_next * sizeof(*rt_counts));
	if (rt_any_unwritten)
		zero(rt_unwritten, rt_arena_next);
	/* The one page that was in use at the snapshot is empty. */
	zero((char *)SHIM_ARENA + SHIM_ARENA_SIZE, (size_t)rt_host_next << RT_PAGE_SHIFT);
	rt_put_back_stock();
#ifdef SHIM_SANITIZE
	rt_zones_restore(small_next - small);
#endif
	zero(small + small_saved, small_next - small - small_saved);
	memcpy(small, saved + variable_bytes, small_saved);
	rt_restore_struct_pages();
	memcpy(variables, saved, variable_bytes);
}
