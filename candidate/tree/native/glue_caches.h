/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Names and numbers of memory caches; included by glue.c after glue_vms.h.
 */

/* The number of a vCPU's cache; 0: the cache is no vCPU's. */
static unsigned int number_of_vcpu_cache(const void *mc)
{
	int i, k;

	for (i = 0; i < SHIM_MAX_VMS; i++)
		for (k = 0; vms[i].kvm && k < SHIM_MAX_CPUS && vms[i].vcpus[k]; k++)
			if (mc == &vms[i].vcpus[k]->arch.mmu_page_cache)
				return SHIM_CACHE_OF_VCPUS + i * SHIM_MAX_CPUS + k;
	return 0;
}

const char *shim_cache_name(const void *mc)
{
#ifdef HAVE_SPLIT_CHUNK
	int i;

	for (i = 0; i < SHIM_MAX_VMS; i++)
		if (vms[i].kvm && mc == &vms[i].kvm->arch.mmu.split_page_cache)
			return "split_page_cache";
#endif
	return number_of_vcpu_cache(mc) ? "mmu_page_cache" : NULL;
}

/* The caches of direct calls in progress, one per actor, and other caches that have a number. */
static const void *of_calls[SHIM_MAX_ACTORS];
static struct numbered { const void *at; unsigned int number; } numbered[64];
static unsigned int numbers = SHIM_CACHE_OF_VCPUS + SHIM_MAX_VMS * SHIM_MAX_CPUS;

static void replace_call(const void *from, const void *to)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(of_calls) && of_calls[i] != from; i++)
		;
	if (i < ARRAY_SIZE(of_calls))
		of_calls[i] = to;
}
void shim_cache_of_call(const void *mc) { replace_call(NULL, mc); }

/* Return where a cache has its number, or a free place for one. */
static struct numbered *place_of_number(const void *mc)
{
	struct numbered *free = NULL, *each;

	for (each = numbered; each < numbered + ARRAY_SIZE(numbered); each++)
		if (each->at == mc)
			return each;
		else if (!each->at && !free)
			free = each;
	if (!free)
		shim_refuse("more memory caches than s2fuzz follows");
	return free;
}

unsigned int shim_cache_number(const void *mc)
{
	unsigned int i = number_of_vcpu_cache(mc);
	struct numbered *place;

	if (i)
		return i;
	for (i = 0; i < ARRAY_SIZE(of_calls); i++)
		if (of_calls[i] == mc)
			return SHIM_CACHE_OF_CALL;
	place = place_of_number(mc);
	if (!place->at)
		*place = (struct numbered) { mc, numbers++ };
	return place->number;
}

void shim_cache_freed(const void *mc)
{
	struct numbered *place = place_of_number(mc);

	replace_call(mc, NULL);
	if (place->at == mc)
		place->at = NULL;
}
